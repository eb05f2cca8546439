"""The whole road: what a run leaves behind, what decides its numbers, and that a killed run ends as if it never was."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from ldyn.algorithms.registry import _registered
from ldyn.cli.main import main
from ldyn.errors import ConfigError, RunDirectoryError, TrainingError
from ldyn.records import FINDING_FIELDS, TRAJECTORY_COLUMNS
from ldyn.run.manifest import Manifest
from ldyn.run.run import run
from ldyn.run.session import Session
from ldyn.store import read_run

CONTRACT = ("config.yaml", "manifest.json", "trajectories.parquet", "train_log.parquet", "findings.json")
CONTRACT += ("report.html", "samples.jsonl", "figures", "checkpoints")
EVERY_PROBE = "probes.families=all"
KILL_AT = Path(__file__).with_name("kill_at.py")


@pytest.fixture(scope="module")
def first(smoke) -> Path:
    return run(smoke("first", "report=true", EVERY_PROBE))


def final_weights(directory: Path, stage: str) -> dict:
    return load_file(directory / "checkpoints" / stage / "final" / "model.safetensors")


def same_weights(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(bool((one[name] == other[name]).all()) for name in one)


def test_a_run_leaves_the_whole_contract(first):
    assert [name for name in CONTRACT if not (first / name).exists()] == []
    finished = read_run(first)
    assert tuple(finished.trajectories.columns) == TRAJECTORY_COLUMNS
    assert not finished.trajectories.isna().any().any()
    assert list(finished.trajectories["stage"].unique()) == ["sft", "dpo"]
    assert set(finished.trajectories.groupby("stage")["step"].max()) == {4}
    assert {"loss", "grad_norm", "learning_rate", "margin"} <= set(finished.train_log.columns)
    assert all(set(FINDING_FIELDS) <= set(row) for row in json.loads((first / "findings.json").read_text()))
    assert {row["stage"] for row in finished.samples} == {"base", "sft", "dpo"}
    assert (first.parent / "latest").resolve() == first.resolve()


def test_the_manifest_says_what_ran(first):
    manifest = json.loads((first / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert [(stage["name"], stage["start"], stage["steps"]) for stage in manifest["stages"]] == [
        ("sft", "base", 4),
        ("dpo", "sft", 4),
    ]
    assert {"data", "probes", "base_model"} <= set(manifest["hashes"])
    assert manifest["counts"]["training_pairs"] == 32
    assert {"base", "sft", "dpo", "probing"} <= set(manifest["seconds"])
    assert manifest["peak_memory_mib"] > 100
    assert (manifest["git"]["commit"] is not None) == (Path(__file__).parents[2] / ".git").exists()


def test_a_stage_starts_where_the_one_before_it_ended(first):
    table = read_run(first).trajectories.set_index(["stage", "step", "split", "example_id", "probe"])["logp"]
    pd.testing.assert_series_equal(table.loc["sft", 4], table.loc["dpo", 0])


def test_the_same_seed_gives_the_same_run(first, smoke):
    again = read_run(run(smoke("again", EVERY_PROBE)))
    pd.testing.assert_frame_equal(read_run(first).trajectories, again.trajectories, check_exact=True)
    assert read_run(first).manifest["hashes"] == again.manifest["hashes"]
    assert read_run(first).samples == again.samples


def test_how_often_probes_are_scored_does_not_change_the_weights(first, smoke):
    dense = run(smoke("dense", "probes.schedule.every=1"))
    assert read_run(dense).trajectories["step"].nunique() == 5
    for stage in ("sft", "dpo"):
        assert same_weights(final_weights(first, stage), final_weights(dense, stage))


@pytest.mark.usefixtures("first")
def test_a_second_run_into_the_same_directory_is_refused(smoke):
    with pytest.raises(RunDirectoryError, match="never overwritten"):
        run(smoke("first"))


LONGER = (
    "sft.max_steps=6",
    "preference.max_steps=6",
    "trainer.checkpoint_every=2",
    "probes.schedule.every=1",
)


@pytest.fixture(scope="module")
def uninterrupted(smoke):
    return read_run(run(smoke("whole", *LONGER)))


def test_a_killed_run_resumes_to_the_uninterrupted_trajectory(uninterrupted, words, outputs, forked):
    """Killed while it saves a checkpoint; `test_run_killed_anywhere` kills at other places."""
    name = "killed"
    partial = outputs / "smoke" / f"{name}.partial"
    environment = {**os.environ, "KILL_AT": f"saving sft 4 {int(signal.SIGKILL)}"}
    assert forked([KILL_AT, *words(name, *LONGER)], env=environment).returncode == -signal.SIGKILL
    half = partial / "checkpoints" / "sft" / "checkpoint-4"
    assert half.exists()
    assert not (half / "trainer_state.json").exists()
    assert read_run(partial).manifest["status"] == "running"  # nobody could write anything else
    assert main(["train", f"resume={partial}"]) == 0
    after = read_run(outputs / "smoke" / name)
    pd.testing.assert_frame_equal(uninterrupted.trajectories, after.trajectories, check_exact=True)
    pd.testing.assert_frame_equal(uninterrupted.train_log, after.train_log, check_exact=True)
    for each in ("sft", "dpo"):
        assert same_weights(final_weights(uninterrupted.path, each), final_weights(after.path, each))


def test_sigterm_saves_says_how_to_go_on_and_exits_with_143(words, outputs, forked):
    partial = outputs / "smoke" / "stopped.partial"
    environment = {**os.environ, "KILL_AT": f"scored sft 2 {int(signal.SIGTERM)}"}
    done = forked([KILL_AT, *words("stopped", *LONGER)], env=environment)
    assert done.returncode == 128 + signal.SIGTERM
    assert f"resume={partial}" in done.stderr
    assert read_run(partial).manifest["status"] == "interrupted"
    assert list((partial / "checkpoints" / "sft").glob("checkpoint-*/trainer_state.json"))


def test_on_policy_rounds_train_on_answers_of_the_weights_they_start_from(smoke):
    arms = ["+stages.dpo.rounds=2", "+stages.dpo.responses={sampled: [rejected]}"]
    directory = run(smoke("spin", *arms))
    finished = read_run(directory)
    assert [(stage.name, stage.start, stage.sampled) for stage in finished.stages] == [
        ("sft", "base", ()),
        ("dpo_1", "sft", ("rejected",)),
        ("dpo_2", "dpo_1", ("rejected",)),
    ]
    rounds = [
        [json.loads(line) for line in (directory / f"checkpoints/dpo_{number}/pairs.jsonl").read_text().splitlines()]
        for number in (1, 2)
    ]
    assert [row["pair_id"] for row in rounds[0]] == [row["pair_id"] for row in rounds[1]]
    assert [row["chosen"] for row in rounds[0]] == [row["chosen"] for row in rounds[1]]
    assert [row["rejected"] for row in rounds[0]] != [row["rejected"] for row in rounds[1]]
    assert "dpo_1.equal_answers" in finished.manifest["counts"]
    first_rows = finished.train_log.query("step == 1").set_index("stage")
    assert abs(first_rows.loc[["dpo_1", "dpo_2"], "margin"]).max() < 1e-4  # each round is its own reference


def test_weights_in_16_bits_are_refused_with_the_configuration(smoke):
    with pytest.raises(ConfigError, match=r"model.dtype: found bfloat16, expected float32.*trainer.precision=bf16"):
        smoke("half", "model=smollm2_135m", "model.dtype=bfloat16")


def test_a_loss_that_cannot_be_used_is_refused_before_anything_is_trained(smoke, monkeypatch):
    def mean(chosen, rejected, **parameters):
        return (rejected.logp - chosen.logp).mean()

    monkeypatch.setitem(_registered, "dpo", replace(_registered["dpo"], loss=mean))
    config = smoke("mean")
    with pytest.raises(TrainingError, match=r"shape \[\] for 2 examples"):
        run(config)
    assert not list(config.paths.run.parent.glob("mean*"))


@pytest.mark.parametrize("changed", ["data", "base_model", "probes"])
def test_a_run_is_resumed_only_with_the_same_inputs(changed, tmp_path):
    hashes = {"data": "d", "base_model": "b", "probes": "p"}
    session = Session(tmp_path / "run", None, Manifest(None, {"hashes": hashes}))
    session.check_same_inputs(hashes)
    with pytest.raises(RunDirectoryError, match="are not those that this run began with"):
        session.check_same_inputs({**hashes, changed: "other"})
