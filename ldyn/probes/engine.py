"""Score rows batch by batch, within a budget of tokens that is halved when memory runs out.

``token_budget: auto`` is CPU_TOKENS on a CPU: on two cores a model of 1 M parameters gains nothing above it, and with
50,304 logits a token larger batches are slower, as activations leave the cache. On an accelerator it is
ACCELERATOR_TOKENS: matrix products of so many rows keep any of them busy.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedModel

from ldyn.errors import ModelError
from ldyn.models.document_attention import takes_documents
from ldyn.models.evaluation import is_sharded
from ldyn.models.packing import Document, pack
from ldyn.probes.forward import FEWEST_TOKENS, batch_stats, scores_of
from ldyn.probes.rows import ResponseKey, narrowed, plan_batches
from ldyn.processes.group import any_process
from ldyn.records import EncodedProbeExample, ProbeScore

CPU_TOKENS = 2048
ACCELERATOR_TOKENS = 16_384

Tokens = int | Literal["auto"]


class TokenBudget:
    """The tokens of one forward pass. Shared by all scoring with one model, so that a reduced budget stays reduced."""

    def __init__(self, tokens: Tokens):
        self._wanted = tokens
        self._ceiling: int | None = None  # half of the last budget that was too much

    def tokens(self, model: PreTrainedModel) -> int:
        """The budget as it is now."""
        automatic = CPU_TOKENS if model.device.type == "cpu" else ACCELERATOR_TOKENS
        wanted = automatic if self._wanted == "auto" else self._wanted
        return wanted if self._ceiling is None else min(wanted, self._ceiling)

    def halve(self, tokens: int, reason: str) -> int:
        """The budget after ``tokens`` were too many for the allocator's ``reason``; warns the first time."""
        if self._ceiling is None:
            warnings.warn(
                f"Memory ran out while scoring {tokens} tokens in one forward pass ({reason}). The budget is halved "
                "and scoring continues. Set a smaller probes.token_budget to start with it.",
                stacklevel=2,
            )
        self._ceiling = max(FEWEST_TOKENS, tokens // 2)
        return self._ceiling


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. On a CPU torch raises a plain RuntimeError for that."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


@dataclass(frozen=True)
class Engine:
    """Scores rows of ``examples``.

    budget: of one forward pass. pad_id: fills gaps that nothing sees.
    plain: one response a row, for a model that follows no mask of ours.
    idle_row: what this process scores, without effect, while other processes need its part of the weights.
    """

    model: PreTrainedModel
    budget: TokenBudget
    pad_id: int
    plain: bool
    examples: Sequence[EncodedProbeExample]
    idle_row: Document

    def score(self, rows: Sequence[Document]) -> dict[ResponseKey, ProbeScore]:
        """Score each response of ``rows`` once. Raises ModelError where a single response is too much for memory."""
        tokens, lockstep = self.budget.tokens(self.model), is_sharded(self.model)
        scored: dict[ResponseKey, ProbeScore] = {}
        queue = self._queued(rows, tokens)
        while any_process(bool(queue), self.model.device) if lockstep else queue:
            members = queue[0] if queue else [self.idle_row]
            laid_out = [members] if self._is_joined else [[row] for row in members]
            batch = pack(laid_out, pad_id=self.pad_id, plain=self.plain)
            try:
                stats = batch_stats(self.model, batch, token_budget=tokens)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if lockstep:
                    error.add_note("Processes that share weights cannot retry: set a smaller probes.token_budget.")
                    raise
                tokens = self._less(tokens, queue[0][0], error)
                queue = self._queued([row for batch in queue for row in batch], tokens)
            else:
                if queue:
                    queue.popleft()
                    scored.update(scores_of(batch, stats, self.examples))
        return scored

    @property
    def _is_joined(self) -> bool:
        """Whether a batch is one row of several documents, else one row for each."""
        return takes_documents(self.model) and not self.plain

    def _queued(self, rows: Sequence[Document], tokens: int) -> deque[list[Document]]:
        fitting = [narrow for row in rows for narrow in narrowed(row, tokens)]
        return deque(plan_batches(fitting, token_budget=tokens, joined=self._is_joined))

    def _less(self, tokens: int, row: Document, error: Exception) -> int:
        """A smaller budget; raises ModelError where there is none for ``row``, the first that is left."""
        reason = str(error).partition("\n")[0]
        if tokens > FEWEST_TOKENS:
            return self.budget.halve(tokens, reason)
        index, probe = row.keys[0]
        example = self.examples[index]
        raise ModelError(
            f"Memory does not suffice to score probe {probe!r} of {example.split} example {example.example_id!r} alone "
            f"({row.n_tokens} tokens with its prompt, {FEWEST_TOKENS} logits at a time): {reason}. Lower max_tokens of "
            "the encoding, take a smaller model or dtype, or free memory."
        ) from error
