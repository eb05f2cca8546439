"""Runs that share stages: what is taken over is what would have been trained, and only where all is equal."""

import json
import shutil

import pandas as pd
import pytest

from ldyn.run.run import run
from ldyn.store import read_run


@pytest.fixture(scope="module")
def shared(smoke, outputs):
    """A run into an exchange of its own, beside which others are laid."""
    directory = outputs / "stages"
    return lambda name, *overrides: read_run(run(smoke(name, f"paths.stages={directory}", *overrides)))


@pytest.fixture(scope="module")
def alone(smoke):
    return read_run(run(smoke("alone")))


@pytest.fixture(scope="module")
def giver(shared):
    return shared("giver")


def taken_from(run) -> dict[str, str]:
    return {stage: entry["stage"] for stage, entry in run.manifest.get("shared_stages", {}).items()}


def same_numbers(one, other):
    pd.testing.assert_frame_equal(one.trajectories, other.trajectories, check_exact=True)
    pd.testing.assert_frame_equal(one.train_log, other.train_log, check_exact=True)
    assert one.samples == other.samples
    assert one.findings == other.findings


def test_a_run_that_takes_its_stages_over_is_the_run_that_trains_them(alone, giver, shared):
    taker = shared("taker")
    assert taken_from(giver) == {}
    assert taken_from(taker) == {"sft": "sft", "dpo": "dpo"}
    same_numbers(alone, giver)
    same_numbers(alone, taker)


@pytest.mark.usefixtures("giver")
def test_only_stages_that_differ_are_trained(shared):
    assert taken_from(shared("other_beta", "algorithm.beta=0.2")) == {"sft": "sft"}
    assert taken_from(shared("fewer_moments", "probes.schedule.points=2")) == {"sft": "sft", "dpo": "dpo"}
    assert taken_from(shared("more_moments", "probes.schedule.every=1")) == {}
    assert taken_from(shared("other_world", "seed=1")) == {}


@pytest.mark.usefixtures("giver")
def test_a_run_with_snapshots_makes_its_own(shared):
    snapshots = "{kind: linear, points: 2, every: null}"
    kept = shared("snapshots", f"trainer.snapshots={snapshots}")
    assert taken_from(kept) == {}
    assert list((kept.path / "checkpoints" / "sft").glob("snapshot-*"))


def test_a_run_that_has_gone_is_not_missed(smoke, outputs):
    directory = outputs / "stages_of_one_that_goes"
    gone = run(smoke("gone", f"paths.stages={directory}"))
    shutil.rmtree(gone)
    for entry in directory.glob("*.json"):
        assert json.loads(entry.read_text())["run"].endswith("gone")
    assert taken_from(read_run(run(smoke("after", f"paths.stages={directory}")))) == {}
