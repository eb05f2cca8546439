"""Predicted and actual change of every observed response: under one update, whole and in parts, and over a stage.

Log-probabilities in nats; ``predicted`` is of first order, ``actual`` is what happened. Over a stage of T updates

    log π_T − log π_0  ≈  ⟨∇_θ log π at θ_0, θ_T − θ_0⟩                 the kernel at the stage's start alone
                       ≈  Σ_i ⟨∇_θ log π at θ_i, θ_{i+1} − θ_i⟩         first-order steps from snapshot to snapshot

The first is what a model that is linear in its weights would do with the updates that the run made. The second is the
sum over all first-order steps if every step has a snapshot (``trainer.snapshots``); with fewer, each covers several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ldyn.theory.prediction import logps_at, model_parts, predicted_changes, split_changes
from ldyn.theory.responses import Observed, under_all_names
from ldyn.theory.settings import DecompositionConfig
from ldyn.theory.update_sources import delta_by_source, gradient_descent
from ldyn.theory.updates import Experiment, TakenUpdate
from ldyn.training.checkpoints import final_directory, snapshot_steps, snapshot_weights, start_weights
from ldyn.training.plan import StageLength, StagePlan

OWN = 1.0  # the optimizer's own step, among the step sizes
REST = "earlier batches"


def change_tables(
    update: TakenUpdate, observed: Observed, settings: DecompositionConfig, max_grad_norm: float
) -> dict[str, pd.DataFrame]:
    """The tables ``changes`` (each response and step size), ``change_parts`` (by part of the model) and
    ``change_sources`` (by what was trained on).

    ``gradient_descent`` in ``change_parts``: the change by plain gradient descent, the theory's own optimizer.
    """
    model, responses, budget = update.model, observed.responses, settings.token_budget
    trained_on = {one.example_id for one in update.updated}
    in_batch = [example_id in trained_on for example_id, _ in observed.keys]
    before = logps_at(model, responses, budget)
    whole = _sums(predicted_changes(model, responses, update.delta, budget))
    actual = {}
    for size in sorted(settings.step_sizes):
        moved = logps_at(model, responses, budget, update.delta, size)
        actual[size] = _sums([after - start for after, start in zip(moved, before, strict=True)])
    by_step_size: list[Mapping[str, Any]] = [
        {"step_size": size, "logp": _sums(before), "predicted": [size * one for one in whole], "actual": changes}
        for size, changes in actual.items()
    ]
    by_source = _by_source(update, observed, max_grad_norm, whole, budget)
    return {
        "changes": _concatenated(observed, by_step_size, in_batch=in_batch),
        "change_parts": _concatenated(observed, _by_part(update, observed, actual[OWN], budget)),
        "change_sources": _concatenated(observed, by_source, in_batch=in_batch),
    }


def _sums(per_token: Sequence[Tensor]) -> list[float]:
    return [values.double().sum().item() for values in per_token]


def _concatenated(observed: Observed, parts: Sequence[Mapping[str, Any]], **columns: Sequence[Any]) -> pd.DataFrame:
    return pd.concat([observed.frame(**columns, **part) for part in parts], ignore_index=True)


def _by_part(
    update: TakenUpdate, observed: Observed, actual: Sequence[float], token_budget: int
) -> list[Mapping[str, Any]]:
    deltas = update.delta, gradient_descent(update, token_budget)
    part_of = model_parts(update.model)
    own, plain = (split_changes(update.model, observed.responses, delta, part_of) for delta in deltas)
    return [
        {
            "part": part,
            "predicted": [parts[part] for parts in own],
            "actual": actual,
            "gradient_descent": [parts[part] for parts in plain],
        }
        for part in own[0]
    ]


def _by_source(
    update: TakenUpdate, observed: Observed, max_grad_norm: float, whole: Sequence[float], budget: int
) -> list[Mapping[str, Any]]:
    predicted = {
        source: _sums(predicted_changes(update.model, observed.responses, delta, budget))
        for source, delta in delta_by_source(update, max_grad_norm, budget).items()
    }
    rest = np.array(whole) - np.sum(list(predicted.values()), axis=0)
    return [{"source": source, "predicted": values} for source, values in {**predicted, REST: rest.tolist()}.items()]


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
