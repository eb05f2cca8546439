"""The loss of docs/YOUR_LOSS.md line by line: the files it shows, a stage of two updates, the numbers."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ldyn.algorithms import (
    ALGORITHMS,
    Responses,
    algorithm_faults,
    algorithm_of,
    algorithm_parameters,
    registry,
    residual_coefficients,
)
from ldyn.records import StageInfo
from ldyn.training.plan import StagePlan
from ldyn.training.settings import TrainerConfig
from ldyn.training.stage import make_trainer

PAGE = (Path(__file__).parents[2] / "docs" / "YOUR_LOSS.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Add a loss in ten lines")[1].split("\n## ")[0]
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", SECTION, flags=re.DOTALL | re.MULTILINE))


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """The algorithm block of the README's YAML, in a directory with its module."""
    monkeypatch.chdir(tmp_path)
    Path(BLOCKS["python"].split("\n")[0].lstrip("# ")).write_text(BLOCKS["python"], encoding="utf-8")
    block = yaml.safe_load(BLOCKS["yaml"])
    yield block
    sys.modules.pop(block["module"], None)
    registry._registered.pop(block["name"], None)


def test_they_are_ten_lines():
    lines = [line for block in BLOCKS.values() for line in block.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 10


def test_the_loss_trains(settings, make_model, tokenizer, pairs, tmp_path):
    assert algorithm_faults(settings) == []
    algorithm, parameters = algorithm_of(settings), algorithm_parameters(settings)
    info = StageInfo("mine", algorithm.name, algorithm.kind, ("chosen", "rejected"), "base")
    plan = StagePlan(info, algorithm, parameters, TrainerConfig(learning_rate=1e-3, max_steps=2, batch_size=13))
    trainer = make_trainer(plan, make_model(), tokenizer, pairs, directory=tmp_path, seed=0)
    trainer.train()
    first, second = (row for row in trainer.state.log_history if "loss" in row)
    assert second["loss"] < first["loss"]
    assert float(first["coefficient_rejected_mean"]) == pytest.approx(-parameters["beta"] / 2, abs=1e-4)


def test_it_does_what_the_readme_says(settings):
    """As DPO, until y⁻ has fallen by more than the floor: then there is no push on it any more."""
    algorithm, parameters = algorithm_of(settings), algorithm_parameters(settings)
    lengths = torch.ones(2)
    chosen = Responses(torch.tensor([-5.0, -5.0]), lengths, lengths.mean(), torch.tensor([-6.0, -6.0]))
    fallen = torch.tensor([-parameters["floor"] + 1, -parameters["floor"] - 1])
    rejected = dataclasses.replace(chosen, logp=fallen, reference_logp=torch.zeros(2))
    mine = residual_coefficients(algorithm, parameters, chosen, rejected)
    dpo = residual_coefficients(ALGORITHMS["dpo"], {"beta": parameters["beta"]}, chosen, rejected)
    assert mine[1][0] == dpo[1][0] < 0
    assert mine[1][1] == 0
