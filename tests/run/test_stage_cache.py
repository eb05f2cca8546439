"""A stage from the cache equals the stage trained anew, and is reused only where all settings are equal."""

import shutil

import pandas as pd
import pytest

from ldyn.run.run import run
from ldyn.store import read_run


@pytest.fixture(scope="module")
def shared(smoke, outputs):
    """Run with one stage cache for all."""
    directory = outputs / "stages"
    return lambda name, *overrides: read_run(run(smoke(name, f"paths.stages={directory}", *overrides)))


@pytest.fixture(scope="module")
def alone(smoke):
    return read_run(run(smoke("alone")))


@pytest.fixture(scope="module")
def storer(shared):
    return shared("storer")


def reused(run) -> dict[str, str]:
    return {stage: entry["stage"] for stage, entry in run.manifest.get("shared_stages", {}).items()}


def same_numbers(one, other):
    pd.testing.assert_frame_equal(one.trajectories, other.trajectories, check_exact=True)
    pd.testing.assert_frame_equal(one.train_log, other.train_log, check_exact=True)
    assert one.samples == other.samples
    assert one.findings == other.findings


def test_a_reused_stage_has_the_numbers_of_a_trained_one(alone, storer, shared):
    reuser = shared("reuser")
    assert reused(storer) == {}
    assert reused(reuser) == {"sft": "sft", "dpo": "dpo"}
    same_numbers(alone, storer)
    same_numbers(alone, reuser)


@pytest.mark.usefixtures("storer")
def test_only_stages_that_differ_are_trained(shared):
    assert reused(shared("other_beta", "algorithm.beta=0.2")) == {"sft": "sft"}
    assert reused(shared("fewer_steps", "probes.schedule.points=2")) == {"sft": "sft", "dpo": "dpo"}
    assert reused(shared("more_steps", "probes.schedule.every=1")) == {}


@pytest.mark.usefixtures("storer")
def test_a_run_with_snapshots_trains_its_stages(shared):
    snapshots = "{kind: linear, points: 2, every: null}"
    kept = shared("snapshots", f"trainer.snapshots={snapshots}")
    assert reused(kept) == {}
    assert list((kept.path / "checkpoints" / "sft").glob("snapshot-*"))


@pytest.mark.usefixtures("storer")
def test_an_entry_of_a_run_that_is_gone_is_ignored(smoke, outputs, tmp_path):
    """Entries name runs by their place beside the cache: a copy elsewhere finds none."""
    directory = shutil.copytree(outputs / "stages", tmp_path / "stages")
    assert list(directory.glob("*.json"))
    assert reused(read_run(run(smoke("after", f"paths.stages={directory}")))) == {}
