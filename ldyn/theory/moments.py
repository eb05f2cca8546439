"""The moments of a run at which an update is decomposed, and taking that update.

A moment is a stage and a number of updates made: 0, the stage's start, or a snapshot that it kept. What is decomposed
is the step that comes next, taken by the trainer's own optimizer with its state: the one that the run took, on the
batch whose turn it was; or a step on pairs of the user's choice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from ldyn.errors import DataError, RunDirectoryError
from ldyn.models.base import BaseModel
from ldyn.records import EncodedPair, EncodedProbeExample
from ldyn.training.checkpoints import final_directory, snapshot_directory, snapshot_steps, start_weights
from ldyn.training.single_step import StepTaken, take_step
from ldyn.training.stage import StageLength, StagePlan


@dataclass(frozen=True)
class Experiment:
    """A run as far as its updates are concerned: stages, base, encoded pairs and probes, and where its stages lie.

    pairs_of: what a stage trains on. stage_directory: stage -> where its final weights and snapshots lie, if it has
    any.
    """

    plans: Sequence[StagePlan]
    base: BaseModel
    pairs_of: Callable[[StagePlan], Sequence[EncodedPair]]
    probes: Sequence[EncodedProbeExample]
    stage_directory: Callable[[str], Path]
    seed: int


@dataclass(frozen=True)
class Moment:
    """After ``step`` updates of a stage; ``snapshot`` is None at its start."""

    plan: StagePlan
    step: int
    snapshot: Path | None


def moments(experiment: Experiment, stages: Sequence[str] | None, steps: Sequence[int] | None) -> list[Moment]:
    """The moments to decompose, in the order of the run: all there are, or those of the named stages and steps.

    Raises RunDirectoryError, saying what there is, where a stage or step is asked for that there is not.
    """
    found = [moment for plan in experiment.plans for moment in _of_stage(experiment, plan)]
    chosen = [
        moment
        for moment in found
        if (stages is None or moment.plan.info.name in stages) and (steps is None or moment.step in steps)
    ]
    missing_stages = set(stages or ()) - {plan.info.name for plan in experiment.plans}
    missing_steps = set(steps or ()) - {moment.step for moment in chosen}
    if missing_stages or missing_steps or not chosen:
        there = "; ".join(f"{plan.info.name}: {_steps(found, plan)}" for plan in experiment.plans)
        asked = (
            ", ".join([*sorted(missing_stages), *(f"step {step}" for step in sorted(missing_steps))]) or "any moment"
        )
        raise RunDirectoryError(
            f"The run has kept nothing of {asked}; there is {there}. More moments are kept by a run with "
            "trainer.snapshots, as in `ldyn train +exp=decompose`."
        )
    return chosen


def _of_stage(experiment: Experiment, plan: StagePlan) -> Iterator[Moment]:
    directory = experiment.stage_directory(plan.info.name)
    if plan.info.start == "base" or final_directory(experiment.stage_directory(plan.info.start)).exists():
        yield Moment(plan, 0, None)
        yield from (Moment(plan, step, snapshot_directory(directory, step)) for step in snapshot_steps(directory))


def _steps(found: Sequence[Moment], plan: StagePlan) -> str:
    steps = [moment.step for moment in found if moment.plan is plan]
    return f"step {', '.join(map(str, steps))}" if steps else "nothing, as the stage before it is not finished"


def step_from(
    experiment: Experiment, moment: Moment, pair_ids: Sequence[str] | None, precision: torch.dtype
) -> tuple[PreTrainedModel, StepTaken]:
    """Take the step; the model holds the weights before it, in ``precision``, as does the update."""
    pairs = experiment.pairs_of(moment.plan)
    planned = StageLength.of(moment.plan, len(pairs)).total_steps
    if pair_ids is not None:
        pairs = chosen_pairs(pairs, pair_ids, moment.plan.trainer.batch_size)
    model = start_weights(moment.plan.info.start, experiment.base, experiment.stage_directory)
    with tempfile.TemporaryDirectory() as scratch:
        taken = take_step(
            moment.plan,
            model,
            experiment.base.tokenizer,
            pairs,
            scratch=Path(scratch),
            seed=experiment.seed,
            snapshot=moment.snapshot,
            planned_steps=planned,
            in_order=pair_ids is None,
        )
    taken.delta = {name: change.to(precision) for name, change in taken.delta.items()}
    return model.to(precision).eval(), taken  # type: ignore[arg-type]  # the stub wants a device


def chosen_pairs(pairs: Sequence[EncodedPair], pair_ids: Sequence[str], at_most: int) -> list[EncodedPair]:
    """The pairs to update on. Raises DataError for ids that are no training pair (any more), or too many of them."""
    known = {pair.pair_id: pair for pair in pairs}
    missing = [pair_id for pair_id in pair_ids if pair_id not in known]
    if missing:
        some = ", ".join(list(known)[:3])
        raise DataError(
            f"{', '.join(missing)}: found no such pair among the {len(known)} that can be trained on, expected ids "
            f"such as {some}. A pair is left out where truncation or an empty text leaves no token of its prompt or of "
            "a response; the run's manifest counts them."
        )
    if len(set(pair_ids)) > at_most:
        raise DataError(
            f"An update on {len(set(pair_ids))} pairs was asked for, expected at most {at_most}, the "
            "batch of the stage; name fewer, or raise trainer.batch_size."
        )
    return [known[pair_id] for pair_id in dict.fromkeys(pair_ids)]
