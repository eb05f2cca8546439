"""Updates as the trainer's optimizer makes them: split by source, and predicted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from ldyn.theory.changes import REST, change_tables
from ldyn.theory.responses import observe
from ldyn.theory.settings import DecompositionConfig
from ldyn.theory.update_sources import delta_by_source
from ldyn.theory.updates import TakenUpdate, Update, kept_updates, take_update
from ldyn.training.settings import LoraConfig

SETTINGS = DecompositionConfig(examples=8, step_sizes=(0.1, 1.0), token_budget=200)
FLOAT32, FLOAT64 = torch.float32, torch.float64


def first_step(experiment, dtype=FLOAT32) -> TakenUpdate:
    return take_update(experiment, Update(experiment.plans[0], 0, None), None, dtype)


def joined(weights) -> torch.Tensor:
    return torch.cat([weights[name].flatten() for name in sorted(weights)])


@pytest.mark.parametrize(("algorithm", "settings"), [
    ("sft", {}), ("dpo", {"gradient_accumulation": 2}), ("dpo", {"optimizer": "rmsprop"}),
    ("dpo", {"optimizer": "sgd", "max_grad_norm": 0.1}), ("simpo", {"optimizer": "sgd", "max_grad_norm": 1e6}),
])  # fmt: skip
def test_sources_add_up_to_the_first_update(algorithm, settings, untrained, plan_of):
    """Before it there was no gradient, so nothing is left over: with clipping, accumulation, and every optimizer."""
    plan = plan_of("s", algorithm, "base", learning_rate=1e-2, **settings)
    update = first_step(untrained(plan))
    deltas = delta_by_source(update, plan.trainer.max_grad_norm, 200)
    assert list(deltas) == (["chosen"] if algorithm == "sft" else ["chosen", "rejected"])
    whole, parts = joined(update.delta), sum(joined(delta) for delta in deltas.values())
    assert (whole - parts).norm() < 2e-3 * whole.norm()


def test_coefficients_are_those_of_the_papers_table(experiment):
    """Before the first update of DPO, a = σ(0) = 1/2: c = ±β/2, over the four pairs of the batch. SFT: 1 over four."""
    dpo = first_step(replace(experiment, plans=experiment.plans[1:]))
    assert sorted(one.coefficient for one in dpo.updated) == pytest.approx(
        [-0.1 / 2 / 4] * 4 + [0.1 / 2 / 4] * 4, rel=1e-4
    )
    assert [one.coefficient for one in first_step(experiment).updated] == [0.25] * 4


def test_adapters_are_decomposed_as_what_is_trained(untrained, plan_of, probes):
    """LoRA: the update is of A and B alone, and moves log π as predicted."""
    plan = plan_of("s", "dpo", "base", optimizer="sgd", learning_rate=0.5, lora=LoraConfig(rank=2))
    update = first_step(untrained(plan), FLOAT64)
    assert update.delta
    assert all("lora" in name for name in update.delta)
    table = change_tables(update, observe(probes, 4), SETTINGS, 1.0)["changes"]
    small = table[table["step_size"] == 0.1]
    assert np.corrcoef(small["predicted"], small["actual"])[0, 1] > 0.99


@pytest.mark.parametrize("settings", [{"weight_decay": 0.1}, {"optimizer": "rmsprop"}])
def test_an_update_is_proportional_to_the_learning_rate(settings, untrained, plan_of):
    """So a multiple of the update is the step at that multiple of the learning rate."""
    small, large = (
        joined(first_step(untrained(plan_of("s", "dpo", "base", learning_rate=rate, **settings))).delta)
        for rate in (1e-4, 1e-3)
    )
    assert (large - 10 * small).norm() < 1e-3 * large.norm()


@pytest.fixture(scope="module")
def tables(experiment) -> dict[str, pd.DataFrame]:
    """Of the step after two updates of DPO, in float64."""
    [update] = kept_updates(experiment, ["dpo"], [2])
    return change_tables(take_update(experiment, update, None, FLOAT64), observe(experiment.probes, 8), SETTINGS, 1.0)


def test_changes_have_a_row_for_each_response_and_step_size(tables, probes):
    table = tables["changes"]
    assert len(table) == 8 * 3 * 2
    assert set(table["example_id"]) == {example.example_id for example in probes[:8]}
    small, own = (table[table["step_size"] == size] for size in (0.1, 1.0))
    assert (0.1 * own["predicted"].to_numpy()) == pytest.approx(small["predicted"].to_numpy())
    assert 0 < own["in_batch"].groupby(own["example_id"]).first().sum() <= 4
    assert np.corrcoef(small["predicted"], small["actual"])[0, 1] > 0.99


def test_error_falls_a_hundredfold_when_the_step_is_a_tenth(tables):
    table = tables["changes"].assign(error=lambda t: (t["actual"] - t["predicted"]) ** 2)
    errors = table.groupby("step_size")["error"].mean() ** 0.5
    assert errors[1.0] / errors[0.1] == pytest.approx(100, rel=0.15)


def test_parts_and_sources_add_up_to_the_response(tables):
    own = tables["changes"][tables["changes"]["step_size"] == 1].set_index(["example_id", "probe"])
    for name in ("change_parts", "change_sources"):
        sums = tables[name].groupby(["example_id", "probe"])["predicted"].sum()
        assert sums.reindex(own.index).to_numpy() == pytest.approx(own["predicted"].to_numpy(), rel=1e-6, abs=1e-10)
    assert list(tables["change_sources"]["source"].unique()) == ["chosen", "rejected", REST]
    parts = ["embeddings", "layer 1", "layer 2", "unembedding", "final norm"]
    assert sorted(tables["change_parts"]["part"].unique()) == sorted(parts)


def test_plain_descent_is_the_update_of_plain_descent(untrained, plan_of):
    """Of a stage whose optimizer is SGD, unclipped, the two columns of parts are one."""
    plan = plan_of("s", "dpo", "base", optimizer="sgd", learning_rate=0.05, max_grad_norm=1e6)
    experiment = untrained(plan)
    parts = change_tables(first_step(experiment), observe(experiment.probes, 4), SETTINGS, 1e6)["change_parts"]
    scale = parts["predicted"].abs().mean()
    assert parts["gradient_descent"].to_numpy() == pytest.approx(
        parts["predicted"].to_numpy(), rel=1e-2, abs=1e-3 * scale
    )


def test_what_raises_chosen_raises_it_in_its_own_batch(experiment):
    """The first update of SFT: y⁺ of a question in the batch gains more than y⁺ of one that is not."""
    table = change_tables(first_step(experiment), observe(experiment.probes, 13), SETTINGS, 1.0)["change_sources"]
    own = table[(table["source"] == "chosen") & (table["probe"] == "chosen")]
    means = own.groupby("in_batch")["predicted"].mean()
    assert means[True] > means[False]
