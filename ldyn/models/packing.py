"""Packing: responses to one prompt share it, and a row holds several prompts with their responses.

A *document* is a prompt followed by some responses; a row holds documents one after the other. Token i sees token j
where j <= i, both are of one document, and j is of its prompt or of the response of i. Position ids start at 0 in each
document, and each response continues from its prompt:

    row 0    P0 P0 P0 | a a a | b b b b | P1 P1 | c c        P: prompts, a to e: responses
    row 1    P2 P2 P2 P2 P2 | d d d d d | e e e | pad

A model whose attention takes no such mask (``why_plain`` in ``ldyn.models.packed_forward``) gets *plain* rows: one
response each, for its own causal mask and positions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

PADDING = -1

# c in the rules for the length of rows: 6 by count of operations; measured it is less, because a masked attention runs
# at a lower rate than a matrix product.
ATTENTION_TRADE = 3.0


@dataclass(frozen=True, slots=True)
class Document:
    """A prompt and the responses that share it. ``keys`` (any values) name the responses."""

    prompt_ids: tuple[int, ...]
    keys: tuple[Any, ...]
    responses: tuple[tuple[int, ...], ...]

    @property
    def n_response_tokens(self) -> int:
        return sum(map(len, self.responses))

    @property
    def n_tokens(self) -> int:
        return len(self.prompt_ids) + self.n_response_tokens


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """B rows of S tokens, padded behind, with N response tokens in all. All tensors are int64.

    input_ids, position_ids: [B, S]; no position ids in a batch of plain rows, where the model counts for itself.
    segments: [B, S], which prompt or response of its row a token is of. prompts: [B, S], the segment of its document's
    prompt. Both are PADDING for padding.
    needed: [U], ascending, the tokens b · S + column whose logits are needed. rows: [N], for each response token the
    place in ``needed`` of the token that predicts it. labels: [N].
    documents: what was packed; the labels are the tokens of their responses, in order.
    """

    input_ids: Tensor
    position_ids: Tensor | None
    segments: Tensor
    prompts: Tensor
    needed: Tensor
    rows: Tensor
    labels: Tensor
    documents: tuple[Document, ...]

    @property
    def keys(self) -> tuple[Any, ...]:
        """Of the responses, in the order of the labels."""
        return tuple(key for document in self.documents for key in document.keys)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Of the responses, in tokens."""
        return tuple(len(response) for document in self.documents for response in document.responses)

    def to(self, device: torch.device) -> PackedBatch:
        tensors = {name: value for name in self.__slots__ if torch.is_tensor(value := getattr(self, name))}
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in tensors.items()}
        return replace(self, **moved)


def pack(rows: Sequence[Sequence[Document]], *, pad_id: int, plain: bool = False) -> PackedBatch:
    """Lay out rows of documents (on the CPU). ``plain``: each row is one document of one response."""
    laid = [_lay(row) for row in rows]
    width = max(len(tokens) for tokens, _ in laid)
    padding = (pad_id, 0, PADDING, PADDING)
    table = torch.tensor([[*tokens, *[padding] * (width - len(tokens))] for tokens, _ in laid])  # [B, S, 4]
    input_ids, position_ids, segments, prompts = table.permute(2, 0, 1).contiguous()
    needed = torch.tensor([b * width + column for b, (_, columns) in enumerate(laid) for column in columns])
    unique, places = needed.unique(return_inverse=True)
    documents = tuple(document for row in rows for document in row)
    labels = torch.tensor([token for document in documents for response in document.responses for token in response])
    return PackedBatch(input_ids, None if plain else position_ids, segments, prompts, unique, places, labels, documents)


def _lay(row: Sequence[Document]) -> tuple[list[tuple[int, int, int, int]], list[int]]:
    """(id, position, segment, prompt) of each token; for each response token the column that predicts it."""
    tokens: list[tuple[int, int, int, int]] = []
    columns: list[int] = []
    segment = 0
    for document in row:
        prompt, n_prompt = segment, len(document.prompt_ids)
        tokens += [(token, position, prompt, prompt) for position, token in enumerate(document.prompt_ids)]
        last = len(tokens) - 1
        for segment, response in enumerate(document.responses, start=prompt + 1):
            columns += [last, *range(len(tokens), len(tokens) + len(response) - 1)]
            tokens += [(token, position, segment, prompt) for position, token in enumerate(response, start=n_prompt)]
        segment += 1
    return tokens, columns


def may_attend(batch: PackedBatch) -> Tensor:
    """Bool [B, S, S], true at [b, i, j] where token i sees token j.

    Padding sees padding, so that no softmax is over nothing.
    """
    own, prompt, of_key = batch.segments[:, :, None], batch.prompts[:, :, None], batch.segments[:, None, :]
    width = batch.segments.shape[1]
    causal = torch.ones(width, width, dtype=torch.bool, device=own.device).tril()
    return causal & ((own == of_key) | (prompt == of_key))


def in_rows(documents: Sequence[Document], hidden_size: float) -> list[list[Document]]:
    """Documents in the number of rows that takes the least time, of 1, 2, 4 …

    Per layer a token costs about 24 h² operations in the matrix products and 4 S h in an attention over the S tokens of
    its row (h = hidden size; infinite where a longer row costs no attention), so n rows of S tokens cost, in tokens,
    n S (1 + S / (c h)) with ``ATTENTION_TRADE`` c.
    """
    counts = itertools.takewhile(lambda n: n < 2 * len(documents), (2**power for power in itertools.count()))
    return min((_distributed(documents, n) for n in counts), key=lambda rows: _cost(rows, hidden_size))


def _cost(rows: Sequence[Sequence[Document]], hidden_size: float) -> float:
    width = max(sum(document.n_tokens for document in row) for row in rows)
    return len(rows) * width * (1 + width / (ATTENTION_TRADE * hidden_size))


def _distributed(documents: Sequence[Document], n_rows: int) -> list[list[Document]]:
    """Rows of nearly equal length: the longest document first, always into the shortest row."""
    rows: list[list[Document]] = [[] for _ in range(min(n_rows, len(documents)))]
    lengths = [0] * len(rows)
    for document in sorted(documents, key=lambda document: -document.n_tokens):
        shortest = lengths.index(min(lengths))
        rows[shortest].append(document)
        lengths[shortest] += document.n_tokens
    return rows


def split(documents: Sequence[Document]) -> Iterator[Document]:
    """One document for each response."""
    for document in documents:
        for key, response in zip(document.keys, document.responses, strict=True):
            yield Document(document.prompt_ids, (key,), (response,))
