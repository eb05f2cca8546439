"""All tables of a decomposition: moment after moment, with what each needs computed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict

import pandas as pd
import torch

from ldyn.data.seeding import seeded_random
from ldyn.errors import TrainingError
from ldyn.records import EncodedPair
from ldyn.theory.changes import Update, change_tables
from ldyn.theory.decompose_settings import DecompositionConfig
from ldyn.theory.displacement import displacement
from ldyn.theory.kernels import check_influence_memory, influence_table, kernel_table
from ldyn.theory.moments import Experiment, Moment, step_from
from ldyn.theory.observed import SPLIT, Observed, observe
from ldyn.theory.sources import responses_of, updated_responses
from ldyn.training.checkpoints import start_weights
from ldyn.training.stage import StagePlan

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
Tables = dict[str, pd.DataFrame]
Say = Callable[[str], None]


def decompose(
    experiment: Experiment,
    moments: Sequence[Moment],
    pair_ids: Sequence[str] | None,
    settings: DecompositionConfig,
    trajectories: pd.DataFrame,
    say: Say,
) -> Tables:
    """Take the step of every moment and measure it; the tables of all moments, by name.

    ``pair_ids``: the pairs to update on, None for the batch whose turn it is. ``trajectories``: of the run, for what
    became of y⁺ later; may be empty. ``say`` is told of the progress. Raises LdynError before the first step where
    nothing can be observed or memory lacks.
    """
    observed = observe(experiment.probes, settings.examples)
    for plan in {moment.plan.info.name: moment.plan for moment in moments}.values():
        check_influence_memory(experiment.base.model, observed, _by_id(experiment, plan), settings)
    parts: dict[str, list[pd.DataFrame]] = {}
    for number, moment in enumerate(moments, start=1):
        say(f"decomposing step {moment.step + 1} of {moment.plan.info.name} ({number} of {len(moments)})")
        found = _at(moment, experiment, observed, pair_ids, settings)
        if not found:
            say(f"step {moment.step + 1} of {moment.plan.info.name} has learning rate 0, as warm-up begins: left out")
        for name, table in found.items():
            parts.setdefault(name, []).append(table)
    if not parts:
        raise TrainingError(
            "Every update to decompose has learning rate 0, expected one that moves weights; set "
            "trainer.warmup_steps=0, or take later moments."
        )
    tables = {name: pd.concat(found, ignore_index=True) for name, found in parts.items()}
    starts = [moment for moment in moments if moment.step == 0 and moment.plan.info.kind == "pairwise"]
    if starts:
        say("scoring pairs by gradient entanglement and CHES")
        tables["displacement"] = pd.concat([_displacements(experiment, one, trajectories) for one in starts])
    return tables


def _at(
    moment: Moment,
    experiment: Experiment,
    observed: Observed,
    pair_ids: Sequence[str] | None,
    settings: DecompositionConfig,
) -> Tables:
    """The tables of one moment; none where its update moves nothing, the learning rate being 0."""
    plan, pairs = moment.plan, _by_id(experiment, moment.plan)
    model, taken = step_from(experiment, moment, pair_ids, PRECISIONS[settings.precision])
    if taken.learning_rate == 0:
        return {}
    updated = updated_responses(plan, taken, list(pairs.values()))
    tables = change_tables(Update(model, taken, updated), observed, settings, plan.trainer.max_grad_norm)
    noise = seeded_random(experiment.seed, "projections", plan.info.name, str(moment.step)).randrange(2**32)
    tables["kernel_norms"] = kernel_table(model, observed, pairs, plan.info.view, settings, noise)
    tokenizer = experiment.base.tokenizer
    tables["influence"] = influence_table(model, tokenizer, observed, pairs, plan.info, settings)
    labels: dict[str, str | float] = {
        "stage": plan.info.name,
        "step": moment.step,
        "learning_rate": taken.learning_rate,
    }
    return {name: _labelled(table, labels) for name, table in tables.items() if len(table)}


def _by_id(experiment: Experiment, plan: StagePlan) -> dict[str, EncodedPair]:
    return {pair.pair_id: pair for pair in experiment.pairs_of(plan)}


def _labelled(table: pd.DataFrame, labels: Mapping[str, str | float]) -> pd.DataFrame:
    return table.assign(**labels)[[*labels, *table.columns]]


def _displacements(experiment: Experiment, start: Moment, trajectories: pd.DataFrame) -> pd.DataFrame:
    """Gradient entanglement and CHES of every probed pair at the start of a stage, and the change of y⁺ over it."""
    info = start.plan.info
    model = start_weights(info.start, experiment.base, experiment.stage_directory).eval()
    probed = {example.example_id for example in experiment.probes if example.split == SPLIT}
    change = _change_of_chosen(trajectories, info.name)
    rows = []
    for pair in experiment.pairs_of(start.plan):
        if pair.pair_id in probed:
            found = displacement(model, responses_of(pair, "chosen"), responses_of(pair, "rejected"))
            row = {"stage": info.name, "example_id": pair.pair_id, **asdict(found), "entanglement": found.entanglement}
            rows.append({**row, "change": change.get(pair.pair_id, float("nan"))})
    return pd.DataFrame(rows)


def _change_of_chosen(trajectories: pd.DataFrame, stage: str) -> Mapping[Hashable, float]:
    """Example id -> log π(y⁺) at the stage's last evaluation less that at its first, nats."""
    frame = trajectories
    own = frame[(frame["stage"] == stage) & (frame["split"] == SPLIT) & (frame["probe"] == "chosen")]
    by_example = own.sort_values("step").groupby("example_id", observed=True)["logp"]
    changes: dict[Hashable, float] = (by_example.last() - by_example.first()).to_dict()
    return changes
