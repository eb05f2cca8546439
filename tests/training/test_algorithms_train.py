"""Every YAML of configs/algorithm through the real trainer, and what the train log says of its residuals."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.config.groups import config_directory
from ldyn.config.loading import load_config
from ldyn.run.stages import stage_plans
from ldyn.training.plan import StagePlan
from ldyn.training.settings import TrainerConfig
from ldyn.training.stage import make_trainer

NAMES = {path.stem for path in (config_directory() / "algorithm").glob("*.yaml")}
OPTIONS = sorted(NAMES - {"grpo"})  # it trains on rewards: test_grpo.py
PAIRWISE = [option for option in OPTIONS if not option.startswith("sft")]
CONFIG = TrainerConfig(learning_rate=3e-3, max_steps=6, batch_size=13)  # all pairs in each step: the loss must fall
STATISTICS = ("mean", "p10", "p50", "p90")


def plan_for(*overrides: str, stage: int = -1, config: TrainerConfig = CONFIG) -> StagePlan:
    """A stage of the smoke experiment (SFT, then a pairwise loss), with another length."""
    plan = stage_plans(load_config(composed_settings("train", ["+exp=smoke", *overrides])))[stage]
    return dataclasses.replace(plan, trainer=config)


@pytest.fixture(scope="module")
def plans() -> dict[str, StagePlan]:
    """Every pairwise algorithm as a stage of one experiment, and both losses of SFT."""
    stages = [f"+algorithm@stages.{option}.algorithm={option}" for option in PAIRWISE]
    rest = "{view: [chosen,rejected], start: sft, trainer: {max_steps: 2}}"
    more = [f"++stages.{option}={rest}" for option in PAIRWISE]
    pairwise = stage_plans(load_config(composed_settings("train", ["+exp=smoke", *stages, *more])))[1:]
    sft = {
        option: plan_for(f"algorithm@sft.algorithm={option}", stage=0) for option in OPTIONS if option not in PAIRWISE
    }
    return {plan.info.name: plan for plan in pairwise} | sft


def log_of(plan: StagePlan, model, tokenizer, pairs, directory: Path) -> list[dict[str, float]]:
    """Train and return the rows of the log."""
    trainer = make_trainer(plan, model, tokenizer, pairs, directory=directory, seed=0)
    trainer.train()
    return [{key: float(value) for key, value in row.items()} for row in trainer.state.log_history if "loss" in row]


def weights(model) -> torch.Tensor:
    return torch.cat([value.flatten() for _, value in sorted(model.state_dict().items())])


@pytest.mark.parametrize("option", OPTIONS)
def test_every_algorithm_composes_and_its_loss_falls(option, plans, make_model, tokenizer, pairs, tmp_path):
    is_sft = option not in PAIRWISE
    plan = dataclasses.replace(plans[option], trainer=dataclasses.replace(CONFIG, max_steps=3))
    assert plan.algorithm.name == option
    log = log_of(plan, make_model(), tokenizer, pairs, tmp_path)
    assert len(log) == 3
    assert all(math.isfinite(value) for row in log for value in row.values())
    assert log[-1]["loss"] < log[0]["loss"]
    sides = ("chosen",) if is_sft else ("chosen", "rejected")
    columns = {f"{what}_{side}_{one}" for what in ("coefficient", "energy") for side in sides for one in STATISTICS}
    assert columns == {key for key in log[0] if key.startswith(("coefficient", "energy"))}
    assert log[0]["coefficient_chosen_p90"] > 0
    assert is_sft or log[0]["coefficient_rejected_p10"] < 0


def test_the_log_has_the_coefficients_of_the_formula_and_the_energies_of_the_residuals(
    make_model, tokenizer, pairs, tmp_path
):
    """At the first step of DPO every h is 0, so c± = ±β/2, and the model is known: its residuals are written out."""
    model = make_model()
    norms = {"chosen": [], "rejected": []}
    for pair in pairs:
        for side, response in (("chosen", pair.chosen_ids), ("rejected", pair.rejected_ids)):
            ids = torch.tensor([[*pair.prompt_ids, *response]])
            with torch.no_grad():
                logits = model(ids).logits[0, len(pair.prompt_ids) - 1 : -1].double()
            residual = logits.softmax(-1) - torch.nn.functional.one_hot(torch.tensor(response), logits.shape[-1])
            norms[side].append(residual.square().sum().sqrt())
    log = log_of(plan_for("algorithm=dpo", "algorithm.beta=0.4"), model, tokenizer, pairs, tmp_path)[0]
    for side, coefficient in (("chosen", 0.2), ("rejected", -0.2)):
        energies = 0.2 * torch.stack(norms[side])
        for statistic in STATISTICS:
            assert log[f"coefficient_{side}_{statistic}"] == pytest.approx(coefficient, abs=1e-4)
        assert log[f"energy_{side}_mean"] == pytest.approx(energies.mean().item(), rel=1e-3)
        for statistic, level in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9)):
            assert log[f"energy_{side}_{statistic}"] == pytest.approx(energies.quantile(level).item(), rel=1e-3)


def test_weights_are_bit_identical_whether_or_not_residuals_are_logged(plans, make_model, tokenizer, pairs, tmp_path):
    models, logs = {every: make_model() for every in (1, 3, 100)}, {}
    for every, model in models.items():
        config = dataclasses.replace(CONFIG, batch_size=4, log_every=every)
        plan = dataclasses.replace(plans["quantile_gate_dpo"], trainer=config)
        logs[every] = log_of(plan, model, tokenizer, pairs, tmp_path / str(every))
    assert [len(log) for log in logs.values()] == [6, 2, 0]
    assert torch.equal(weights(models[1]), weights(models[3]))
    assert torch.equal(weights(models[1]), weights(models[100]))
    # A row's residuals are those of its own step; the loss beside them is the mean since the row before.
    assert logs[3][1]["energy_chosen_mean"] == logs[1][5]["energy_chosen_mean"]
    assert logs[3][1]["loss"] == pytest.approx(sum(row["loss"] for row in logs[1][3:]) / 3, rel=1e-5)


def test_a_scheduled_loss_sees_how_far_the_stage_is(make_model, tokenizer, pairs, tmp_path):
    """β = 2·10⁻⁶ keeps a at 1/2, so that the coefficients are β/2 and −λβ/2, with λ from 0 to 1 over six updates."""
    overrides = ["algorithm=dpo_shift_linear", "algorithm.beta=2e-6", "algorithm.first_rejected_weight=0"]
    log = log_of(plan_for(*overrides), make_model(), tokenizer, pairs, tmp_path)
    shares = [-row["coefficient_rejected_mean"] / row["coefficient_chosen_mean"] for row in log]
    assert shares == pytest.approx([step / 6 for step in range(6)], abs=1e-3)
