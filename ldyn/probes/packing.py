"""Pack probe examples: the responses of one example share its prompt, so the prompt is computed once.

A *packed row* is a prompt followed by some of its example's responses. A mask keeps each response from seeing another,
and its position ids continue the prompt's. Several rows make a batch:

    row 0   pad pad  P0 P0 P0 | a a a | b b b b | c c          P: prompt, a–g: responses
    row 1    P1 P1 P1 P1 P1   | d d d d d | e e e | pad         prompts are padded on the left, so that the responses
    row 2   pad  P2 P2 P2 P2  | f f f | g g g g g g             of all rows begin in one column

A model that follows no mask of ours gets *plain* rows (``lay_plainly``): one response each, padding behind; its own
causal mask and positions are then right.

How many responses share a row is a trade: each further row repeats the prompt (P tokens), each further response in a
row makes its S tokens attend, masked, to more. Per layer a token costs about 24 h² operations in the matrix products
and 4 S h in a dense S × S attention (h = hidden size), so n rows of R response tokens in all cost, in tokens,
n P + R² / (n c h) with c = 6 by count of operations. The minimum lies at R / n = sqrt(c P h) response tokens a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ldyn.records import EncodedProbeExample

# c above, measured rather than counted, because a masked attention runs at a lower rate than a matrix product.
ATTENTION_TRADE = 3.0

MAX_PADDING = 0.1  # share of a batch's tokens

ResponseKey = tuple[int, str]  # (index of the example, probe)


@dataclass(frozen=True, slots=True)
class PackedRow:
    """One prompt and the responses that share it. ``keys``: which responses they are."""

    prompt_ids: tuple[int, ...]
    keys: tuple[ResponseKey, ...]
    responses: tuple[tuple[int, ...], ...]

    @property
    def n_response_tokens(self) -> int:
        return sum(map(len, self.responses))

    @property
    def n_tokens(self) -> int:
        return len(self.prompt_ids) + self.n_response_tokens


def plan_rows(
    examples: Sequence[EncodedProbeExample],
    *,
    hidden_size: int,
    token_budget: int,
    indices: Iterable[int] | None = None,
) -> list[PackedRow]:
    """Distribute each example's responses over packed rows of about the best length (the module's rule).

    ``indices``: of the examples to take; None for all.
    """
    return [
        row
        for index in (range(len(examples)) if indices is None else indices)
        for row in _rows_of_example(index, examples[index], hidden_size, token_budget)
    ]


def best_length(n_prompt: int, hidden_size: int) -> float:
    """Response tokens of a row that take the least time, by the module's rule."""
    return math.sqrt(ATTENTION_TRADE * n_prompt * hidden_size)


def single_rows(examples: Sequence[EncodedProbeExample], indices: Iterable[int]) -> list[PackedRow]:
    """A row of its own for each response of the examples ``indices``."""
    return [
        PackedRow(examples[index].prompt_ids, ((index, probe),), (response,))
        for index in indices
        for probe, response in examples[index].responses.items()
    ]


def _rows_of_example(
    index: int, example: EncodedProbeExample, hidden_size: int, token_budget: int
) -> Iterator[PackedRow]:
    """Longest response first, always into the shortest row: rows of nearly equal length, for little padding."""
    n_prompt = len(example.prompt_ids)
    tokens_per_row = max(1.0, min(best_length(n_prompt, hidden_size), token_budget - n_prompt))
    n_tokens = sum(map(len, example.responses.values()))
    n_rows = min(len(example.responses), math.ceil(n_tokens / tokens_per_row))
    probes_of_row: list[list[str]] = [[] for _ in range(n_rows)]
    lengths = [0] * n_rows
    for probe in sorted(example.responses, key=lambda probe: -len(example.responses[probe])):
        shortest = lengths.index(min(lengths))
        probes_of_row[shortest].append(probe)
        lengths[shortest] += len(example.responses[probe])
    for probes in probes_of_row:
        responses = tuple(example.responses[probe] for probe in probes)
        yield PackedRow(example.prompt_ids, tuple((index, probe) for probe in probes), responses)


def split_row(row: PackedRow) -> list[PackedRow]:
    """One row for each response of ``row``."""
    return [
        PackedRow(row.prompt_ids, (key,), (response,)) for key, response in zip(row.keys, row.responses, strict=True)
    ]


def narrowed(row: PackedRow, token_budget: int) -> list[PackedRow]:
    """``row`` halved until each part fits ``token_budget`` or has one response only."""
    if row.n_tokens <= token_budget or len(row.keys) == 1:
        return [row]
    middle = len(row.keys) // 2
    halves = (slice(None, middle), slice(middle, None))
    parts = (PackedRow(row.prompt_ids, row.keys[half], row.responses[half]) for half in halves)
    return [narrow for part in parts for narrow in narrowed(part, token_budget)]


def plan_batches(rows: Sequence[PackedRow], *, token_budget: int) -> list[list[PackedRow]]:
    """Group rows of similar shape, longest first, into batches of at most ``token_budget`` tokens, padding included.

    No batch is more than MAX_PADDING padding: a further forward pass costs less. A single row longer than the budget
    makes a batch of its own. Longest first: if memory lacks, it shows at once.
    """
    batches: list[list[PackedRow]] = []
    shape = _Shape()
    for row in sorted(rows, key=lambda row: (-row.n_response_tokens, -len(row.prompt_ids))):
        joint = shape.with_row(row)
        if batches and joint.fits(token_budget):
            batches[-1].append(row)
            shape = joint
        else:
            batches.append([row])
            shape = _Shape().with_row(row)
    return batches


@dataclass(frozen=True, slots=True)
class _Shape:
    """Of a batch: its rows, the longest prompt and the longest responses of a row, and its tokens without padding."""

    n_rows: int = 0
    longest_prompt: int = 0
    longest_responses: int = 0
    n_tokens: int = 0

    def with_row(self, row: PackedRow) -> _Shape:
        n_prompt, n_responses = len(row.prompt_ids), row.n_response_tokens
        return _Shape(
            self.n_rows + 1,
            max(self.longest_prompt, n_prompt),
            max(self.longest_responses, n_responses),
            self.n_tokens + n_prompt + n_responses,
        )

    def fits(self, token_budget: int) -> bool:
        n_padded = self.n_rows * (self.longest_prompt + self.longest_responses)
        return n_padded <= token_budget and n_padded - self.n_tokens <= MAX_PADDING * n_padded


NO_SEGMENT, PROMPT_SEGMENT = -1, 0


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Tensors of B packed rows of S tokens, with N response tokens in all.

    input_ids: [B, S] int64. position_ids: [B, S] int64; None in a plain batch, where the model counts for itself.
    segments: [B, S] int64, NO_SEGMENT for padding, PROMPT_SEGMENT, then 1, 2 … for the responses of a row.
    needed: [U] int64, ascending, the tokens b · S + column whose logits are needed. rows: [N] int64, for each response
    token the place in ``needed`` of the token that predicts it. labels: [N] int64.
    keys and lengths: whose tokens these are, in order.
    """

    input_ids: Tensor
    position_ids: Tensor | None
    segments: Tensor
    needed: Tensor
    rows: Tensor
    labels: Tensor
    keys: tuple[ResponseKey, ...]
    lengths: tuple[int, ...]


def pack(rows: Sequence[PackedRow], *, pad_id: int) -> PackedBatch:
    """Lay the rows out as one batch (on the CPU), see the top of the file."""
    n_prompt = max(len(row.prompt_ids) for row in rows)
    width = n_prompt + max(row.n_response_tokens for row in rows)
    ids, positions, segments = [], [], []
    needed: list[int] = []  # b · S + column of the logits that predict each label
    for b, row in enumerate(rows):
        before, after = n_prompt - len(row.prompt_ids), width - n_prompt - row.n_response_tokens
        ids.append([*[pad_id] * before, *row.prompt_ids, *_concatenated(row.responses), *[pad_id] * after])
        positions.append([*[0] * before, *range(len(row.prompt_ids)), *_positions(row), *[0] * after])
        segments.append([*[NO_SEGMENT] * before, *[PROMPT_SEGMENT] * len(row.prompt_ids)])
        start = n_prompt
        for number, response in enumerate(row.responses, start=1):
            segments[-1] += [number] * len(response)
            needed += [b * width + n_prompt - 1, *range(b * width + start, b * width + start + len(response) - 1)]
            start += len(response)
        segments[-1] += [NO_SEGMENT] * after
    return _batch(rows, ids, torch.tensor(positions), torch.tensor(segments), needed)


def lay_plainly(rows: Sequence[PackedRow], *, pad_id: int) -> PackedBatch:
    """Lay out rows of one response each for the model's own causal mask and positions (on the CPU)."""
    sequences = [(*row.prompt_ids, *row.responses[0]) for row in rows]
    width = max(map(len, sequences))
    ids = [[*sequence, *[pad_id] * (width - len(sequence))] for sequence in sequences]
    is_token = torch.arange(width) < torch.tensor([[len(sequence)] for sequence in sequences])
    segments = torch.where(is_token, PROMPT_SEGMENT, NO_SEGMENT)
    needed = [
        b * width + column for b, row in enumerate(rows) for column in range(len(row.prompt_ids) - 1, row.n_tokens - 1)
    ]
    return _batch(rows, ids, None, segments, needed)


def _batch(
    rows: Sequence[PackedRow], ids: list[list[int]], positions: Tensor | None, segments: Tensor, needed: list[int]
) -> PackedBatch:
    unique, places = torch.tensor(needed).unique(return_inverse=True)
    return PackedBatch(
        input_ids=torch.tensor(ids),
        position_ids=positions,
        segments=segments,
        needed=unique,
        rows=places,
        labels=torch.tensor([token for row in rows for token in _concatenated(row.responses)]),
        keys=tuple(key for row in rows for key in row.keys),
        lengths=tuple(len(response) for row in rows for response in row.responses),
    )


def _concatenated(responses: Sequence[tuple[int, ...]]) -> list[int]:
    return [token for response in responses for token in response]


def _positions(row: PackedRow) -> list[int]:
    """Position ids of the response tokens: each response continues where the prompt ends."""
    start = len(row.prompt_ids)
    return [position for response in row.responses for position in range(start, start + len(response))]


def may_attend(segments: Tensor) -> Tensor:
    """[B, S] segments -> bool [B, S, S], true at [b, i, j] where token i sees token j.

    Causal, within the own segment or to the prompt; padding sees padding, so that no softmax is over nothing.
    """
    queries, keys = segments[:, :, None], segments[:, None, :]
    width = segments.shape[1]
    causal = torch.ones(width, width, dtype=torch.bool, device=segments.device).tril()
    return causal & ((queries == keys) | ((keys == PROMPT_SEGMENT) & (queries != NO_SEGMENT)))
