"""What an ``algorithm`` block may say, what is wrong with one, and how a loss from outside ldyn joins."""

from __future__ import annotations

import re
import sys

import pytest

from ldyn.algorithms import (
    ALGORITHMS,
    GATES,
    Algorithm,
    Parameter,
    algorithm_faults,
    algorithm_of,
    algorithm_parameters,
    register,
    registry,
)
from ldyn.algorithms.coefficients import check_loss
from ldyn.errors import TrainingError

GATE = {"name": "sequence", "threshold": 0.2}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"name": "dpoo", "beta": 0.1}, r"name: found 'dpoo'; did you mean dpo.* expected one of alphapo, apo_zero"),
        ({}, "name: found 'None'; expected one of"),
        ({"name": "dpo", "beta": 0.0}, r"beta: found 0.0, expected a number in \(0, inf\): β"),
        ({"name": "dpo", "beta": "high"}, "found 'high'"),
        ({"name": "dpo", "beta": float("nan")}, "found nan"),
        ({"name": "dpo", "beta": True}, "found True"),
        ({"name": "dpo", "gamma": 1.0}, "gamma: dpo has no such parameter; it has beta"),
        ({"name": "sft", "beta": 1.0}, "beta: sft has no such parameter; it has none"),
        ({"name": "cdpo", "flip_rate": 0.5}, r"flip_rate: found 0.5, expected a number in \[0, 0.5\): ε"),
        ({"name": "dpo_shift", "rejected_weight": 1.01}, r"rejected_weight: .* in \[0, 1\]: λ"),
        ({"name": "dpo", "gate": "sequence"}, "gate: found 'sequence', expected a mapping with the name of a gate"),
        ({"name": "dpo", "gate": {"name": "quantil"}}, "gate.name: found 'quantil'; did you mean quantile?"),
        ({"name": "dpo", "gate": {**GATE, "tau": 1}}, "gate.tau: the sequence gate has no such parameter"),
        ({"name": "dpo", "gate": {**GATE, "threshold": 2}}, r"gate.threshold: found 2, expected .* in \[0, 1\]: τ"),
        ({"name": "sft", "gate": GATE}, "gate: found one on sft, expected a pairwise loss"),
        ({"name": "x", "module": "no_such_module"}, "module: could not import 'no_such_module' .*ModuleNotFoundError"),
    ],
)
def test_faults_say_what_was_found_and_what_is_expected(settings, expected):
    (fault,) = algorithm_faults(settings)
    assert re.search(expected, fault)


def test_a_gate_is_part_of_the_algorithm():
    settings = {"name": "ipo", "beta": 0.2, "gate": GATE}
    assert algorithm_faults(settings) == []
    assert algorithm_of(settings).name == "gate_ipo"
    assert algorithm_parameters(settings) == {"beta": 0.2, "gate_threshold": 0.2, "gate_sharpness": 20.0}


MODULE = """
from ldyn.algorithms import Algorithm, Parameter, register
def loss(chosen, rejected, *, weight):
    return weight * (rejected.logp - chosen.logp)
register(Algorithm("of_a_user", "pairwise", loss, {"weight": Parameter(1.0, low=0.0)}))
"""


@pytest.fixture
def losses_of_a_user(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "losses_of_a_user.py").write_text(MODULE)
    yield {"name": "of_a_user", "module": "losses_of_a_user", "weight": 2.0}
    sys.modules.pop("losses_of_a_user", None)
    registry._registered.pop("of_a_user", None)


def test_a_module_of_the_current_directory_registers_its_loss(losses_of_a_user):
    before = list(sys.path)
    assert algorithm_faults(losses_of_a_user) == []
    assert sys.path == before
    assert algorithm_parameters(losses_of_a_user) == {"weight": 2.0}
    assert algorithm_of(losses_of_a_user).kind == "pairwise"


def test_a_module_that_breaks_is_told_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_losses.py").write_text("x = 1\nraise RuntimeError('oh no')\n")
    (fault,) = algorithm_faults({"name": "mine", "module": "broken_losses"})
    assert re.search(r"\(RuntimeError: oh no in .*broken_losses.py, line 2\)", fault)


def test_a_name_belongs_to_one_module():
    def loss(chosen, rejected):
        return rejected.logp - chosen.logp

    with pytest.raises(ValueError, match=r"second algorithm called 'dpo'; ldyn.algorithms.losses defines one"):
        register(Algorithm("dpo", "pairwise", loss))
    assert register(ALGORITHMS["dpo"]) is ALGORITHMS["dpo"]  # of the same module: as when a notebook cell runs again


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda chosen, rejected, *, beta: (chosen.logp - rejected.logp).mean(), r"shape \[\] for 2 examples"),
        (lambda chosen, rejected, *, beta: 1.0, "returned float for 2 examples"),
        (lambda chosen, rejected, *, beta: chosen.logp / chosen.nothing, "raises AttributeError"),
    ],
)
def test_a_loss_without_one_value_per_example_is_refused(loss, words):
    algorithm = Algorithm("own", "pairwise", loss, {"beta": Parameter(0.1)})
    with pytest.raises(TrainingError, match=words):
        check_loss(algorithm, {"beta": 0.1})


def test_all_losses_and_gates_give_one_value_per_example():
    for name in ALGORITHMS:
        blocks = [{"name": name}] + [{"name": name, "gate": {"name": gate}} for gate in GATES]
        for block in blocks[: None if ALGORITHMS[name].kind == "pairwise" else 1]:
            check_loss(algorithm_of(block), algorithm_parameters(block))
