"""One update, made by the trainer's own optimizer from a stage's own state: what a run did next, or would do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer import OPTIMIZER_NAME
from transformers.trainer_utils import SaveStrategy

from ldyn.algorithms import Algorithm, Responses
from ldyn.errors import TrainingError
from ldyn.models.packing import split
from ldyn.records import EncodedPair
from ldyn.training.checkpoints import step_of
from ldyn.training.plan import StagePlan
from ldyn.training.stage import make_trainer

STATE_OF: dict[str, set[str]] = {"adamw": {"exp_avg", "exp_avg_sq"}, "rmsprop": {"square_avg"}, "sgd": set()}
"""Tensors of the optimizer's state, by the name of the optimizer in TrainerConfig, without momentum and amsgrad."""


@dataclass(frozen=True)
class MicroBatch:
    """A part of an update, for which there was one forward and backward pass.

    sequences: prompt and response ids, all chosen ones and then all rejected ones, as the loss saw them in
    ``responses``. n_rows: how many of its rows count for the update.
    """

    sequences: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    responses: tuple[Responses, ...]
    n_rows: int


@dataclass
class StepTaken:
    """An update. The model it was taken with holds the weights *before* it again, to the bit.

    step: updates that the stage had made before. delta: name -> what the update added. learning_rate: of this update.
    micro_batches: as many as were accumulated. optimizer: has its state after the step.
    """

    step: int
    delta: dict[str, Tensor] = field(default_factory=dict)
    learning_rate: float = 0.0
    micro_batches: list[MicroBatch] = field(default_factory=list)
    optimizer: torch.optim.Optimizer | None = None


def take_step(
    plan: StagePlan,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[EncodedPair],
    *,
    scratch: Path,
    seed: int,
    snapshot: Path | None,
    planned_steps: int,
    in_order: bool = True,
) -> StepTaken:
    """Take the step that follows ``snapshot`` (None: the first of the stage).

    ``model`` has the weights from which the stage starts, which are its reference if it needs one; afterwards it has
    those of the snapshot. ``planned_steps``: of the whole stage, for losses that change as it goes. ``in_order``: the
    batch is the one whose turn it is in the stage, else the first of ``pairs``. ``scratch``: a directory for the
    trainer's own files. Raises TrainingError for a loss or gradient that is not finite, and for a snapshot whose
    optimizer state does not fit.
    """
    step = _check_snapshot(snapshot, plan) if snapshot else 0
    watch = _StepWatch(StepTaken(step), model)
    one_more = replace(plan.trainer, max_steps=max(planned_steps, step + 1), epochs=None, snapshots=None)
    watched = replace(plan, trainer=one_more, algorithm=watch.loss_of(plan.algorithm))
    trainer = make_trainer(watched, model, tokenizer, pairs, directory=scratch, seed=seed)
    trainer.args.save_strategy = SaveStrategy.NO  # the Trainer would save after the last step
    trainer.args.ignore_data_skip = not in_order
    trainer.train_part = watch.parts_of(trainer.train_part)  # type: ignore[method-assign]
    trainer.add_callback(watch)
    try:
        with _quietly():
            trainer.train(resume_from_checkpoint=str(snapshot) if snapshot else None)
    except (ValueError, KeyError, RuntimeError) as error:
        raise TrainingError(f"No step could be taken from {snapshot or 'the start of the stage'}: {error}.") from error
    return watch.taken


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the Trainer's warnings that a resumed run differs: this one makes one step more, and that is all."""
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(level)


class _StepWatch(TrainerCallback):
    """Turns the weights before and after the optimizer's step into its update; then the weights are those before.

    It notes what the step was made from, and ends the training after it.
    """

    def __init__(self, taken: StepTaken, model: PreTrainedModel):
        self.taken, self._model = taken, model
        self._before: dict[str, Tensor] = {}
        self._seen: list[tuple[Responses, ...]] = []

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        """By name; of adapters, which the trainer's constructor puts into the model, their own weights alone."""
        return [(name, weight) for name, weight in self._model.named_parameters() if weight.requires_grad]

    def loss_of(self, algorithm: Algorithm) -> Algorithm:
        """``algorithm``, whose loss also notes the responses that it is called with."""

        def loss(*responses: Responses, **parameters: float) -> Tensor:
            self._seen.append(responses)
            return algorithm.loss(*responses, **parameters)

        return replace(algorithm, loss=loss)

    def parts_of(self, train_part: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """``train_part``, which also notes what it is called with, and what its loss saw."""

        def watched(model: nn.Module, part: dict[str, Any], *arguments: Any, **options: Any) -> Tensor:
            self._seen.clear()
            loss = train_part(model, part, *arguments, **options)
            single = sorted(split(part["packed"].documents), key=lambda document: document.keys[0])
            sequences = tuple((document.prompt_ids, document.responses[0]) for document in single)
            # The log may call the loss again.
            self.taken.micro_batches.append(MicroBatch(sequences, self._seen[0], part["n_rows"]))
            return loss

        return watched

    def on_pre_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, optimizer: Any = None, **kwargs: Any
    ) -> None:
        self._before = {name: weight.detach().clone() for name, weight in self._trained()}
        self.taken.learning_rate = float(optimizer.param_groups[0]["lr"])

    def on_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, optimizer: Any = None, **kwargs: Any
    ) -> None:
        for name, weight in self._trained():
            before = self._before.pop(name)
            # In place of both copies: the weights become the old ones, the new ones become the difference.
            self.taken.delta[name], weight.data = weight.data.sub_(before), before
        self.taken.optimizer = getattr(optimizer, "optimizer", optimizer)  # inside accelerate's wrapper
        control.should_training_stop = True


def _check_snapshot(snapshot: Path, plan: StagePlan) -> int:
    """The snapshot's step; raises TrainingError where it is incomplete or of another optimizer."""
    step, path = step_of(snapshot), snapshot / OPTIMIZER_NAME
    if step is None or not path.exists():
        raise TrainingError(
            f"{snapshot} is no complete snapshot, expected {OPTIMIZER_NAME} and trainer_state.json in it; run the "
            "stage again with trainer.snapshots."
        )
    state = torch.load(path, map_location="cpu", weights_only=True)["state"].values()
    found = {name for entries in state for name, value in entries.items() if torch.is_tensor(value) and value.ndim}
    expected = STATE_OF[plan.trainer.optimizer]
    if found != expected:
        raise TrainingError(
            f"The optimizer state in {path} holds {', '.join(sorted(found)) or 'nothing'}, expected "
            f"{', '.join(sorted(expected)) or 'nothing'}, as {plan.trainer.optimizer} keeps it; decompose with the "
            "settings that the snapshot was trained with."
        )
    return step
