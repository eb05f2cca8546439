"""The methods that are compared. Each scores the same responses with the same model and returns log π(y|x) of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from ldyn.bench.padded import score_padded
from ldyn.bench.published import score_published
from ldyn.bench.settings import BenchConfig
from ldyn.probes.engine import Tokens
from ldyn.probes.scorer import score_probes
from ldyn.records import EncodedProbeExample

Score = Callable[[PreTrainedModel, Sequence[EncodedProbeExample], Tokens, int], list[float]]


@dataclass(frozen=True, slots=True)
class Method:
    """label: for a reader. score: (model, examples, token budget, pad id) -> log π(y|x) of every response, in order.

    token_budget: the budget that the configuration gives this method; None where it has none.
    """

    label: str
    score: Score
    token_budget: Callable[[BenchConfig], Tokens | None]


def score_ours(
    model: PreTrainedModel, examples: Sequence[EncodedProbeExample], token_budget: Tokens, pad_id: int
) -> list[float]:
    """log π(y|x) as the runs score it."""
    return [score.logp for score in score_probes(model, examples, token_budget=token_budget, pad_id=pad_id)]


def _published(
    model: PreTrainedModel,
    examples: Sequence[EncodedProbeExample],
    _token_budget: Tokens,  # batch 1 has neither a budget
    _pad_id: int,  # nor padding
) -> list[float]:
    return score_published(model, examples)


PUBLISHED, PADDED, OURS, LEAST_MEMORY = "published", "padded", "ours", "least_memory"

METHODS: dict[str, Method] = {
    PUBLISHED: Method("published", _published, lambda _: None),
    PADDED: Method("padded batch", score_padded, lambda bench: bench.token_budget),
    OURS: Method("ours", score_ours, lambda bench: bench.token_budget),
    LEAST_MEMORY: Method("ours, least memory", score_ours, lambda bench: bench.least_memory_token_budget),
}
