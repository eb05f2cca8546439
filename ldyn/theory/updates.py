"""The updates of a run that can be decomposed, and how to take one again.

An update is the step that follows the start of a stage, or one of its snapshots. The trainer's own optimizer takes it
with the state it had: on the batch that the run used next, or on pairs that the user chooses.

A loss ℓ(s₊, s₋) of summed log-probabilities s has ∂ℓ/∂z_l = (∂ℓ/∂s) (e_{y_l} − π_l) at every response token, so the
loss L of a batch (the mean of ℓ over its examples) has the residual

    G_l = c (π_l − e_{y_l}),      c = −∂L/∂s,  one number for each response of the batch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers import PreTrainedModel

from ldyn.algorithms import residual_coefficients
from ldyn.errors import DataError, RunDirectoryError
from ldyn.models.base import BaseModel
from ldyn.records import EncodedPair, EncodedProbeExample
from ldyn.theory.responses import Response, Weights, under_all_names
from ldyn.training.checkpoints import final_directory, snapshot_directory, snapshot_steps, start_weights
from ldyn.training.plan import StageLength, StagePlan
from ldyn.training.single_step import StepTaken, take_step

Side = Literal["chosen", "rejected"]
SIDES: tuple[Side, Side] = ("chosen", "rejected")


@dataclass(frozen=True)
class Experiment:
    """The parts of a run that its updates depend on.

    pairs_of: what a stage trains on. stage_directory: stage -> directory of its final weights and snapshots.
    """

    plans: Sequence[StagePlan]
    base: BaseModel
    pairs_of: Callable[[StagePlan], Sequence[EncodedPair]]
    probes: Sequence[EncodedProbeExample]
    stage_directory: Callable[[str], Path]
    seed: int


@dataclass(frozen=True)
class Update:
    """The update that follows ``step`` updates of a stage; ``snapshot`` is None at the stage's start."""

    plan: StagePlan
    step: int
    snapshot: Path | None


@dataclass(frozen=True, slots=True)
class UpdatedResponse:
    """χ_u, a response of the training pair ``example_id``; ``coefficient`` is c, positive if it is raised."""

    example_id: str
    side: Side
    response: Response
    coefficient: float


@dataclass(frozen=True)
class TakenUpdate:
    """An update that was taken, with the model as it was before, and the responses that it trained on."""

    model: PreTrainedModel
    taken: StepTaken
    updated: Sequence[UpdatedResponse]

    @property
    def delta(self) -> Weights:
        """Δθ under all names of its tensors."""
        return under_all_names(self.model, self.taken.delta)


def kept_updates(experiment: Experiment, stages: Sequence[str] | None, steps: Sequence[int] | None) -> list[Update]:
    """The updates that can be decomposed, in the order of the run: all, or those of the named stages and steps.

    Stages of GRPO have none. Raises RunDirectoryError, listing what there is, if a stage or step is missing.
    """
    found: list[Update] = []
    plans = [plan for plan in experiment.plans if plan.info.kind != "groupwise"]
    if sampling := {plan.info.name for plan in experiment.plans if plan not in plans}.intersection(stages or ()):
        raise RunDirectoryError(
            f"decompose.stages: found {', '.join(sorted(sampling))}, expected stages of SFT or of a loss on pairs "
            f"({', '.join(plan.info.name for plan in plans)}): an update of grpo cannot be repeated, as its answers "
            "are not kept. rollouts.parquet has what it did to each of them."
        )
    for plan in plans:
        if plan.info.start == "base" or final_directory(experiment.stage_directory(plan.info.start)).exists():
            directory = experiment.stage_directory(plan.info.name)
            found.append(Update(plan, 0, None))
            found += [Update(plan, step, snapshot_directory(directory, step)) for step in snapshot_steps(directory)]
    chosen = [
        update
        for update in found
        if (stages is None or update.plan.info.name in stages) and (steps is None or update.step in steps)
    ]
    missing_stages = set(stages or ()) - {plan.info.name for plan in plans}
    missing_steps = set(steps or ()) - {update.step for update in chosen}
    if missing_stages or missing_steps or not chosen:
        there = "; ".join(f"{plan.info.name}: {_steps(found, plan)}" for plan in plans)
        asked = ", ".join([*sorted(missing_stages), *(f"step {step}" for step in sorted(missing_steps))]) or "any step"
        raise RunDirectoryError(
            f"The run has no weights of {asked}; it has {there}. A run keeps more with trainer.snapshots, as in "
            "`ldyn train +exp=decompose`."
        )
    return chosen


def _steps(found: Sequence[Update], plan: StagePlan) -> str:
    steps = [update.step for update in found if update.plan is plan]
    return f"step {', '.join(map(str, steps))}" if steps else "nothing, as the stage before it is not finished"


def take_update(
    experiment: Experiment, update: Update, pair_ids: Sequence[str] | None, precision: torch.dtype
) -> TakenUpdate:
    """Take the update on its own batch, or on the named pairs. Model and Δθ are in ``precision`` afterwards."""
    plan, pairs = update.plan, experiment.pairs_of(update.plan)
    batch = pairs if pair_ids is None else _chosen_pairs(pairs, pair_ids, plan.trainer.batch_size)
    model = start_weights(plan.info.start, experiment.base, experiment.stage_directory)
    with tempfile.TemporaryDirectory() as scratch:
        taken = take_step(
            plan,
            model,
            experiment.base.tokenizer,
            batch,
            scratch=Path(scratch),
            seed=experiment.seed,
            snapshot=update.snapshot,
            planned_steps=StageLength.of(plan, len(pairs)).total_steps,
            in_order=pair_ids is None,
        )
    taken.delta = {name: change.to(precision) for name, change in taken.delta.items()}
    model = model.to(precision).eval()  # type: ignore[arg-type]  # the stub asks for a device
    return TakenUpdate(model, taken, _updated_responses(plan, taken, pairs))


def _chosen_pairs(pairs: Sequence[EncodedPair], pair_ids: Sequence[str], at_most: int) -> list[EncodedPair]:
    known = {pair.pair_id: pair for pair in pairs}
    if missing := [pair_id for pair_id in pair_ids if pair_id not in known]:
        raise DataError(
            f"decompose.pairs: no such pair among the {len(known)} that can be trained on: {', '.join(missing)}; "
            f"expected ids such as {', '.join(list(known)[:3])}. Pairs are excluded if truncation or an empty text "
            "leaves no token of the prompt or of a response; the run's manifest counts them."
        )
    if len(set(pair_ids)) > at_most:
        raise DataError(
            f"decompose.pairs: found {len(set(pair_ids))} pairs, expected at most {at_most}, the batch of the stage; "
            "name fewer, or raise trainer.batch_size."
        )
    return [known[pair_id] for pair_id in dict.fromkeys(pair_ids)]


def responses_of(pair: EncodedPair, side: Side) -> Response:
    """χ = [x ; y⁺] or [x ; y⁻] of a training pair."""
    return Response(pair.prompt_ids, pair.chosen_ids if side == "chosen" else pair.rejected_ids)


def _updated_responses(plan: StagePlan, taken: StepTaken, pairs: Sequence[EncodedPair]) -> list[UpdatedResponse]:
    """Everything that the step trained on, with its residual coefficient c at the weights before the step."""
    known = {responses_of(pair, side): (pair.pair_id, side) for pair in pairs for side in SIDES}
    updated = []
    counted = [batch for batch in taken.micro_batches if batch.n_rows]
    share = 1 / sum(batch.n_rows for batch in counted)  # the loss of an update is the mean over all its rows
    for batch in counted:
        by_side = residual_coefficients(plan.algorithm, plan.parameters, *batch.responses)
        for sequence, coefficient in zip(batch.sequences, torch.cat(by_side).tolist(), strict=True):
            response = Response(*sequence)
            updated.append(UpdatedResponse(*known[response], response, share * coefficient))
    return updated
