"""How much of the change over a whole stage the first order explains.

    log π_T − log π_0  ≈  ⟨∇_θ log π at θ_0, θ_T − θ_0⟩                 the kernel at the stage's start alone
                       ≈  Σ_i ⟨∇_θ log π at θ_i, θ_{i+1} − θ_i⟩         first-order steps from snapshot to snapshot

The first is what a model that is linear in its weights would do with the updates that the run made. The second is the
sum over all first-order steps if every step has a snapshot (``trainer.snapshots``); with fewer, each covers several.
"""

from __future__ import annotations

import pandas as pd
import torch
from transformers import PreTrainedModel

from ldyn.theory.prediction import logps_at, predicted_changes
from ldyn.theory.responses import Observed, under_all_names
from ldyn.theory.updates import Experiment
from ldyn.training.checkpoints import final_directory, snapshot_steps, snapshot_weights, start_weights
from ldyn.training.plan import StageLength, StagePlan


def stage_changes_table(
    experiment: Experiment, plan: StagePlan, observed: Observed, precision: torch.dtype, token_budget: int
) -> pd.DataFrame:
    """One row a response: its change over the stage, nats, ``actual`` and both predictions; ``segments`` between them.

    Empty if the stage is not finished. Needs three times the memory of the weights.
    """
    directory = experiment.stage_directory(plan.info.name)
    if not final_directory(directory).exists():
        return pd.DataFrame()

    def weights(step: int | None) -> PreTrainedModel:
        """After ``step`` updates; None: the last weights."""
        if step is None:
            model = start_weights(plan.info.name, experiment.base, experiment.stage_directory)
        elif step == 0:
            model = start_weights(plan.info.start, experiment.base, experiment.stage_directory)
        else:
            model = snapshot_weights(plan, step, experiment.base, experiment.stage_directory)
        model.to(precision)  # type: ignore[arg-type]  # the stub asks for a device
        model.eval()
        return model

    def first_order(model: PreTrainedModel, later: PreTrainedModel) -> torch.Tensor:
        after = dict(later.named_parameters())
        moved = {name: (after[name] - weight).detach() for name, weight in model.named_parameters()}
        changes = predicted_changes(model, observed.responses, under_all_names(model, moved), token_budget)
        return torch.stack([change.double().sum() for change in changes])

    total = StageLength.of(plan, len(experiment.pairs_of(plan))).total_steps
    steps = [step for step in snapshot_steps(directory) if step < total]
    first, last = weights(0), weights(None)
    before, after = (logps_at(model, observed.responses, token_budget) for model in (first, last))
    at_start = first_order(first, last)
    at_snapshots, current = torch.zeros_like(at_start), first
    for step in [*steps, None]:
        following = last if step is None else weights(step)
        at_snapshots += first_order(current, following)
        current = following
    return observed.frame(
        actual=[float((b.double() - a.double()).sum()) for a, b in zip(before, after, strict=True)],
        kernel_at_start=at_start.tolist(),
        kernel_at_snapshots=at_snapshots.tolist(),
        segments=len(steps) + 1,
    ).assign(stage=plan.info.name)
