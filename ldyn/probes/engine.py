"""The loop over batches: nothing is lost or doubled when memory runs out, and processes that must keep step do."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from ldyn.errors import ModelError
from ldyn.models.evaluation import is_sharded
from ldyn.probes.budget import FEWEST_TOKENS, TokenBudget, is_out_of_memory
from ldyn.probes.forward import batch_stats
from ldyn.probes.packing import lay_plainly, pack
from ldyn.probes.reduction import Reduction, Scored
from ldyn.probes.rows import PackedRow, ResponseKey, narrowed, plan_batches
from ldyn.processes.group import any_process


@dataclass(frozen=True)
class Engine:
    """Scores rows.

    budget: of one forward pass; ``longest_row`` is what it is estimated for. pad_id: fills gaps that nothing sees.
    plain: one response a row, for a model that follows no mask of ours. reduction: what is kept of a response.
    idle_row: what this process scores, in vain, while others have work left and need its part of the weights.
    """

    model: PreTrainedModel
    budget: TokenBudget
    longest_row: int
    pad_id: int
    plain: bool
    reduction: Reduction
    idle_row: PackedRow

    @property
    def tokens(self) -> int:
        """The budget as things are now."""
        return self.budget.tokens(self.model, self.longest_row)

    @functools.cached_property
    def lockstep(self) -> bool:
        """Whether all processes must run every forward pass together."""
        return is_sharded(self.model)

    def score(self, rows: Sequence[PackedRow]) -> dict[ResponseKey, Scored]:
        """Score each response of ``rows`` once. Raises ModelError where a single response is too much for memory."""
        tokens = self.tokens
        scored: dict[ResponseKey, Scored] = {}
        queue = _queued(rows, tokens)
        while self._is_needed(queue):
            try:
                of_batch = self._score_batch(queue[0] if queue else [self.idle_row], tokens)
            except (RuntimeError, MemoryError) as error:
                tokens = self._less(tokens, queue, error)
                queue = _queued([row for batch in queue for row in batch], tokens)
            else:
                if queue:
                    queue.popleft()
                    scored.update(of_batch)
        return scored

    def _is_needed(self, queue: deque[list[PackedRow]]) -> bool:
        return any_process(bool(queue), self.model.device) if self.lockstep else bool(queue)

    def _score_batch(self, rows: Sequence[PackedRow], tokens: int) -> Mapping[ResponseKey, Scored]:
        batch = (lay_plainly if self.plain else pack)(rows, pad_id=self.pad_id)
        stats = batch_stats(self.model, batch, token_budget=tokens, watched=self.reduction.watched(batch))
        return self.reduction.reduce(batch, stats)

    def _less(self, tokens: int, queue: deque[list[PackedRow]], error: RuntimeError | MemoryError) -> int:
        """The budget to go on with; raises ``error`` if it is not about memory or cannot be helped."""
        if not is_out_of_memory(error):
            raise error
        if self.lockstep:
            error.add_note("Processes that share weights cannot go back: set a smaller probes.token_budget.")
            raise error
        said = str(error).partition("\n")[0]
        if tokens <= FEWEST_TOKENS:
            raise ModelError(self._no_room(queue[0][0], said)) from error
        return self.budget.halve(tokens, said)

    def _no_room(self, row: PackedRow, said: str) -> str:
        index, probe = row.keys[0]
        example = self.reduction.examples[index]
        return (
            f"Memory does not suffice to score probe {probe!r} of {example.split} example {example.example_id!r} alone "
            f"({row.n_tokens} tokens with its prompt, {FEWEST_TOKENS} logits at a time): {said}. Lower max_tokens of "
            "the encoding, take a smaller model or dtype, or free memory."
        )


def _queued(rows: Sequence[PackedRow], token_budget: int) -> deque[list[PackedRow]]:
    fitting = [narrow for row in rows for narrow in narrowed(row, token_budget)]
    return deque(plan_batches(fitting, token_budget=token_budget))
