"""Which responses of a probe example share a row, and which rows share a batch (laid out by ``ldyn.models.packing``).

How many responses share a row is a trade: each further row repeats the prompt (P tokens), each further response in a
row makes its S tokens attend, masked, to more. Per layer a token costs about 24 h² operations in the matrix products
and 4 S h in a dense S × S attention (h = hidden size), so n rows of R response tokens in all cost, in tokens,
n P + R² / (n c h) with c = 6 by count of operations and ``ATTENTION_TRADE`` as measured. The minimum lies at
R / n = sqrt(c P h) response tokens a row. Where attention is computed by documents h counts as infinite: a single row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from ldyn.models.packing import ATTENTION_TRADE, Document
from ldyn.records import EncodedProbeExample

MAX_PADDING = 0.1  # share of a batch's tokens

ResponseKey = tuple[int, str]  # (index of the example, probe)


def plan_rows(
    examples: Sequence[EncodedProbeExample],
    *,
    hidden_size: float,
    token_budget: int,
    indices: Iterable[int] | None = None,
) -> list[Document]:
    """Distribute each example's responses over packed rows of about the best length (the module's rule).

    ``indices``: of the examples to take; None for all.
    """
    return [
        row
        for index in (range(len(examples)) if indices is None else indices)
        for row in _rows_of_example(index, examples[index], hidden_size, token_budget)
    ]


def single_rows(examples: Sequence[EncodedProbeExample], indices: Iterable[int]) -> list[Document]:
    """A row of its own for each response of the examples ``indices``."""
    return [
        Document(examples[index].prompt_ids, ((index, probe),), (response,))
        for index in indices
        for probe, response in examples[index].responses.items()
    ]


def _rows_of_example(
    index: int, example: EncodedProbeExample, hidden_size: float, token_budget: int
) -> Iterator[Document]:
    """Longest response first, always into the shortest row: rows of nearly equal length, for little padding."""
    n_prompt = len(example.prompt_ids)
    best_length = math.sqrt(ATTENTION_TRADE * n_prompt * hidden_size)
    tokens_per_row = max(1.0, min(best_length, token_budget - n_prompt))
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
        yield Document(example.prompt_ids, tuple((index, probe) for probe in probes), responses)


def narrowed(row: Document, token_budget: int) -> list[Document]:
    """``row`` halved until each part fits ``token_budget`` or has one response only."""
    if row.n_tokens <= token_budget or len(row.keys) == 1:
        return [row]
    middle = len(row.keys) // 2
    halves = (slice(None, middle), slice(middle, None))
    parts = (Document(row.prompt_ids, row.keys[half], row.responses[half]) for half in halves)
    return [narrow for part in parts for narrow in narrowed(part, token_budget)]


def plan_batches(rows: Sequence[Document], *, token_budget: int, joined: bool = False) -> list[list[Document]]:
    """Group rows of similar length, longest first, into batches of at most ``token_budget`` tokens, padding included.

    ``joined``: a batch becomes one row, without padding.

    No batch is more than MAX_PADDING padding: a further forward pass costs less. A single row longer than the budget
    makes a batch of its own. Longest first: if memory lacks, it shows at once.
    """
    batches: list[list[Document]] = []
    width = total = 0
    for row in sorted(rows, key=lambda row: -row.n_tokens):
        with_row = total + row.n_tokens
        padded = with_row if joined else width * (len(batches[-1]) + 1 if batches else 0)
        if batches and padded <= token_budget and padded - with_row <= MAX_PADDING * padded:
            batches[-1].append(row)
            total = with_row
        else:
            batches.append([row])
            width = total = row.n_tokens
    return batches
