"""Predicted and actual change of every observed response under one update: whole, and in parts.

Log-probabilities in nats; ``predicted`` is of first order, ``actual`` is what happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from ldyn.theory.prediction import logps_at, model_parts, predicted_changes, split_changes
from ldyn.theory.responses import Observed
from ldyn.theory.settings import DecompositionConfig
from ldyn.theory.update_sources import delta_by_source, gradient_descent
from ldyn.theory.updates import TakenUpdate

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
    by_source = _by_source(update, observed, settings, max_grad_norm, whole)
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
    update: TakenUpdate,
    observed: Observed,
    settings: DecompositionConfig,
    max_grad_norm: float,
    whole: Sequence[float],
) -> list[Mapping[str, Any]]:
    budget = settings.token_budget
    predicted = {
        source: _sums(predicted_changes(update.model, observed.responses, delta, budget))
        for source, delta in delta_by_source(update, max_grad_norm, budget).items()
    }
    rest = np.array(whole) - np.sum(list(predicted.values()), axis=0)
    return [{"source": source, "predicted": values} for source, values in {**predicted, REST: rest.tolist()}.items()]
