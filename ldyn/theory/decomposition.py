"""All tables of a decomposition: take each update again and measure it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch

from ldyn.data.seeding import seeded_random
from ldyn.errors import TrainingError
from ldyn.records import EncodedPair
from ldyn.theory.changes import change_tables, stage_changes_table
from ldyn.theory.displacement import displacement_table
from ldyn.theory.kernel import kernel_table
from ldyn.theory.responses import SPLIT, Observed, observe
from ldyn.theory.settings import DecompositionConfig
from ldyn.theory.updates import Experiment, Update, take_update
from ldyn.training.plan import StagePlan

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
Tables = dict[str, pd.DataFrame]


def decompose(
    experiment: Experiment,
    updates: Sequence[Update],
    pair_ids: Sequence[str] | None,
    settings: DecompositionConfig,
    trajectories: pd.DataFrame,
    report: Callable[[str], None],
) -> Tables:
    """Take every update and measure it; the tables of all updates, by name.

    ``pair_ids``: the pairs to update on, None for the batch that the run used. ``trajectories``: of the run, for the
    later change of y⁺; may be empty. ``report`` prints progress. Raises DataError before the first step if nothing can
    be observed.
    """
    observed = observe(experiment.probes, settings.examples)
    parts: dict[str, list[pd.DataFrame]] = {}
    for number, update in enumerate(updates, start=1):
        name = f"step {update.step + 1} of {update.plan.info.name}"
        report(f"decomposing {name} ({number} of {len(updates)})")
        found = _tables_of(update, experiment, observed, pair_ids, settings)
        if not found:
            report(f"skipped {name}: its learning rate is 0, as warm-up begins")
        for table, frame in found.items():
            parts.setdefault(table, []).append(frame)
    if not parts:
        raise TrainingError(
            "Every update to decompose has learning rate 0, expected one that moves weights; set "
            "trainer.warmup_steps=0, or choose later steps with decompose.steps."
        )
    tables = {name: pd.concat(found, ignore_index=True) for name, found in parts.items()}
    begun = [update.plan for update in updates if update.step == 0]
    report("predicting the changes over whole stages")
    whole = [
        stage_changes_table(experiment, plan, observed, PRECISIONS[settings.precision], settings.token_budget)
        for plan in begun
    ]
    if found_whole := [table for table in whole if len(table)]:
        tables["stage_changes"] = pd.concat(found_whole, ignore_index=True)
    starts = [plan for plan in begun if plan.info.kind == "pairwise"]
    if starts:
        report("scoring pairs by gradient entanglement and CHES")
        probed = [example.example_id for example in experiment.probes if example.split == SPLIT]
        tables["displacement"] = pd.concat(
            [displacement_table(experiment, plan, probed, trajectories) for plan in starts]
        )
    return tables


def _tables_of(
    update: Update,
    experiment: Experiment,
    observed: Observed,
    pair_ids: Sequence[str] | None,
    settings: DecompositionConfig,
) -> Tables:
    info, pairs = update.plan.info, _by_id(experiment, update.plan)
    taken = take_update(experiment, update, pair_ids, PRECISIONS[settings.precision])
    if taken.taken.learning_rate == 0:
        return {}
    tables = change_tables(taken, observed, settings, update.plan.trainer.max_grad_norm)
    noise = seeded_random(experiment.seed, "projections", info.name, str(update.step)).randrange(2**32)
    tables["kernel_norms"] = kernel_table(taken.model, observed, pairs, info.view, settings, noise)
    labels: dict[str, str | float] = {
        "stage": info.name,
        "step": update.step,
        "learning_rate": taken.taken.learning_rate,
    }
    return {name: table.assign(**labels)[[*labels, *table.columns]] for name, table in tables.items() if len(table)}


def _by_id(experiment: Experiment, plan: StagePlan) -> dict[str, EncodedPair]:
    return {pair.pair_id: pair for pair in experiment.pairs_of(plan)}
