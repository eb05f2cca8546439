"""One update against what it did: predicted and actual change of every observed response, whole and in parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ldyn.theory.decompose_settings import DecompositionConfig
from ldyn.theory.groups import grouping
from ldyn.theory.observed import Observed
from ldyn.theory.prediction import logps_at, predicted_changes, split_changes
from ldyn.theory.proxies import proxies, residual_norm
from ldyn.theory.residuals import UpdatedResponse
from ldyn.theory.responses import Weights, under_all_names
from ldyn.theory.sources import REST, delta_by_source, gradient_descent
from ldyn.theory.token_statistics import token_statistics
from ldyn.training.single_step import StepTaken

OWN = 1.0  # the optimizer's own step, among the step sizes


@dataclass(frozen=True)
class Update:
    """A step that was taken, the model as it was before, and what was trained on."""

    model: PreTrainedModel
    taken: StepTaken
    updated: Sequence[UpdatedResponse]

    @property
    def delta(self) -> Weights:
        """Δθ under all names of its tensors."""
        return under_all_names(self.model, self.taken.delta)

    def saw(self, example_id: str) -> bool:
        """Whether the update trained on this question."""
        return any(one.example_id == example_id for one in self.updated)


@dataclass(frozen=True)
class Changes:
    """Of each observed response: log π of its tokens before, the predicted change, and the actual one by step size."""

    before: list[Tensor]
    predicted: list[Tensor]
    actual: dict[float, list[Tensor]]

    @classmethod
    def of(cls, update: Update, observed: Observed, settings: DecompositionConfig) -> Changes:
        model, responses, budget = update.model, observed.responses, settings.token_budget
        before = logps_at(model, responses, budget)
        predicted = predicted_changes(model, responses, update.delta, budget, settings.method)
        actual = {}
        for size in sorted(settings.step_sizes):
            moved = logps_at(model, responses, budget, update.delta, size)
            actual[size] = [after - start for after, start in zip(moved, before, strict=True)]
        return cls(before, predicted, actual)

    @property
    def is_per_token(self) -> bool:
        """Whether the prediction is known for each token, not only for their sum."""
        return all(len(one) == len(known) for one, known in zip(self.predicted, self.before, strict=True))


def change_tables(
    update: Update, observed: Observed, settings: DecompositionConfig, max_grad_norm: float
) -> dict[str, pd.DataFrame]:
    """The tables ``changes`` (each response and step size), ``change_tokens`` (each token, at the own step),
    ``change_parts`` (by part of the model), ``change_sources`` (by what was trained) and ``kernel_proxies``.

    Log-probabilities in nats; ``predicted`` is of first order, ``actual`` what happened.
    """
    changes = Changes.of(update, observed, settings)
    tables = {
        "changes": _by_step_size(update, observed, changes),
        "change_parts": _by_part(update, observed, changes, settings.token_budget),
        "change_sources": _by_source(update, observed, changes, settings, max_grad_norm),
        "kernel_proxies": _proxies(update, observed, changes, settings.token_budget),
    }
    if changes.is_per_token:
        columns = {"predicted": changes.predicted, "actual": changes.actual[OWN]}
        tables["change_tokens"] = observed.token_frame(**{n: [one.tolist() for one in v] for n, v in columns.items()})
    return tables


def _sums(per_token: Sequence[Tensor]) -> list[float]:
    return [values.double().sum().item() for values in per_token]


def _by_step_size(update: Update, observed: Observed, changes: Changes) -> pd.DataFrame:
    predicted, in_batch = _sums(changes.predicted), _in_batch(update, observed)
    frames = [
        observed.frame(
            in_batch=in_batch,
            step_size=size,
            logp=_sums(changes.before),
            predicted=[size * value for value in predicted],
            actual=_sums(actual),
        )
        for size, actual in changes.actual.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _in_batch(update: Update, observed: Observed) -> list[bool]:
    return [update.saw(example_id) for example_id, _ in observed.keys]


def _by_part(update: Update, observed: Observed, changes: Changes, token_budget: int) -> pd.DataFrame:
    """``gradient_descent``: what the part would change by plain gradient descent, the theory's own optimizer."""
    model, responses, group_of = update.model, observed.responses, grouping(update.model)
    plain = gradient_descent(model, update.taken, update.updated, token_budget)
    own, other = (split_changes(model, responses, delta, group_of) for delta in (update.delta, plain))
    actual = _sums(changes.actual[OWN])
    frames = [
        observed.frame(
            part=part,
            predicted=[parts[part] for parts in own],
            actual=actual,
            gradient_descent=[parts[part] for parts in other],
        )
        for part in own[0]
    ]
    return pd.concat(frames, ignore_index=True)


def _by_source(
    update: Update, observed: Observed, changes: Changes, settings: DecompositionConfig, max_grad_norm: float
) -> pd.DataFrame:
    model, budget = update.model, settings.token_budget
    deltas = delta_by_source(model, update.taken, update.updated, max_grad_norm, budget)
    predicted = {
        source: _sums(predicted_changes(model, observed.responses, delta, budget, settings.method))
        for source, delta in deltas.items()
    }
    rest = np.array(_sums(changes.predicted)) - np.sum(list(predicted.values()), axis=0)
    in_batch = _in_batch(update, observed)
    frames = [
        observed.frame(in_batch=in_batch, source=source, predicted=values)
        for source, values in {**predicted, REST: rest.tolist()}.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _proxies(update: Update, observed: Observed, changes: Changes, token_budget: int) -> pd.DataFrame:
    trained = token_statistics(update.model, [one.response for one in update.updated], token_budget)
    coefficients = [torch.full_like(s.logp, u.coefficient) for s, u in zip(trained, update.updated, strict=True)]
    residuals = torch.cat([stats.residual_norm for stats in trained])
    pushed = residual_norm(torch.cat(coefficients), residuals, update.taken.learning_rate)
    seen = token_statistics(update.model, observed.responses, token_budget)
    found = [
        proxies(change, stats.residual_norm.cpu(), stats.a_norm.cpu(), pushed)
        for change, stats in zip(changes.actual[OWN], seen, strict=True)
    ]
    names = ("lower_bound", "paper_lower_bound", "sign_delta")
    return observed.frame(**{name: [getattr(one, name) for one in found] for name in names})
