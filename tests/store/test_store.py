from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldyn.errors import RunDirectoryError
from ldyn.records import TRAJECTORY_COLUMNS, ProbeScore, ProbeStep
from ldyn.store import RunDirectory, TrajectoryStore, read_run
from ldyn.store.schema import MEASURES, SCHEMA

ProbeSteps = Callable[[str, int], ProbeStep]
Scores = Callable[..., list[ProbeScore]]

PLAN = [("sft", 0), ("sft", 10), ("sft", 20), ("dpo", 0), ("dpo", 5), ("dpo", 10), ("dpo", 15)]


def log_rows(stage: str, step: int) -> list[dict[str, float]]:
    """Two rows for each probe step but the first of a stage; dpo logs more than sft does."""
    extra = {"margin": step / 3, "kept": 1.0} if stage == "dpo" else {}
    return [{"step": at, "loss": 1 / at, **extra} for at in (step - 1, step) if at > 0]


@pytest.mark.parametrize("published", [False, True])
def test_rows_come_back_as_they_were_appended(
    run_directory: RunDirectory, probe_step: ProbeSteps, scores: Scores, published: bool
) -> None:
    store = TrajectoryStore(run_directory.path)
    store.append(probe_step("sft", 10), scores("sft", 10))
    store.append(probe_step("sft", 0), scores("sft", 0))
    if published:
        store.publish()
        table = pq.read_table(run_directory.path / "trajectories.parquet")
        assert table.schema.equals(SCHEMA, check_metadata=True)
        assert table.schema.metadata[b"ldyn.schema_version"] == b"1"
    rows = read_run(run_directory.path).trajectories
    assert tuple(rows.columns) == TRAJECTORY_COLUMNS
    assert rows["step"].tolist() == [0] * 4 + [10] * 4
    first = rows.iloc[4]
    assert (first["stage"], first["algorithm"], first["examples_seen"], first["epoch"]) == ("sft", "sft_sum", 40, 1 / 6)
    assert rows["example_id"].tolist()[:4] == ["q1", "q1", "q0", "q0"]
    for row, score in zip(rows.iloc[4:].to_dict("records"), scores("sft", 10), strict=True):
        assert {name: row[name] for name in ProbeScore.__dataclass_fields__} == {
            name: getattr(score, name) for name in ProbeScore.__dataclass_fields__
        }


def test_the_log_has_null_where_a_stage_does_not_log_a_metric(run_directory: RunDirectory) -> None:
    store = TrajectoryStore(run_directory.path)
    store.append_log("sft", [{"step": 1, "loss": 0.5}, {"step": 2, "zeal": 3.0, "loss": 0.25}])
    store.append_log("dpo", [{"step": 1, "margin": 0.125, "loss": math.pi}])
    store.append_log("dpo", [])
    store.publish()
    log = pd.read_parquet(run_directory.path / "train_log.parquet")
    assert list(log.columns) == ["stage", "step", "loss", "margin", "zeal"]
    assert log["stage"].tolist() == ["sft", "sft", "dpo"]
    assert log["step"].tolist() == [1, 2, 1]
    assert log["loss"].tolist() == [0.5, 0.25, math.pi]  # exactly, though it went through text
    assert log["margin"].isna().tolist() == [True, True, False]
    assert log["zeal"].isna().tolist() == [True, False, True]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("published", [False, True])
def test_a_number_that_is_not_finite_flags_its_row_and_the_run_goes_on(
    run_directory: RunDirectory, probe_step: ProbeSteps, scores: Scores, bad: float, published: bool
) -> None:
    measured = scores("sft", 5)
    broken = [replace(score, logp=bad) if score.probe == "chosen" else score for score in measured]
    store = TrajectoryStore(run_directory.path)
    with pytest.warns(UserWarning, match="2 of 4 responses at step 5 of stage sft: chosen of train example q1"):
        store.append(probe_step("sft", 5), broken)
    if published:
        store.publish()
    rows = read_run(run_directory.path).trajectories
    assert rows["n_tokens"].tolist() == [score.n_tokens for score in measured]  # every response has its row
    chosen = rows["probe"] == "chosen"
    assert rows.loc[chosen, list(MEASURES)].isna().all(axis=None)  # not one number that could be taken for true
    assert rows.loc[~chosen, "logp"].tolist() == [score.logp for score in measured if score.probe != "chosen"]


def test_a_response_scored_twice_is_refused(
    run_directory: RunDirectory, probe_step: ProbeSteps, scores: Scores
) -> None:
    doubled = [*scores("sft", 0), scores("sft", 0)[0]]
    with pytest.raises(RunDirectoryError, match="rejected of train example q1 was scored twice"):
        TrajectoryStore(run_directory.path).append(probe_step("sft", 0), doubled)


@pytest.mark.parametrize("name", ["a/b", "..", "", "a b"])
def test_a_stage_name_that_cannot_name_a_directory_is_refused(
    run_directory: RunDirectory, probe_step: ProbeSteps, scores: Scores, name: str
) -> None:
    with pytest.raises(RunDirectoryError, match="Rename it"):
        TrajectoryStore(run_directory.path).append(probe_step(name, 0), scores(name, 0))


def record(store: TrajectoryStore, probe_step: ProbeSteps, scores: Scores, plan: list[tuple[str, int]]) -> None:
    for stage, step in plan:
        store.append_log(stage, log_rows(stage, step))
        store.append(probe_step(stage, step), scores(stage, step))


def simple_probe_step(stage: str, step: int) -> ProbeStep:
    return ProbeStep(stage, stage, step, 4 * step, step / 60)


def simple_scores(stage: str, step: int) -> list[ProbeScore]:
    rest = (-3.0, -4.5, 1.25, 0.1, 3.0, 0.5, 0.25, 0.75)
    return [ProbeScore("train", f"{stage}{i}", "chosen", 5, -step / 3 - i, *rest) for i in (2, 0, 1)]


def published_bytes(directory: Path) -> tuple[bytes, bytes]:
    TrajectoryStore(directory).publish()
    return (directory / "trajectories.parquet").read_bytes(), (directory / "train_log.parquet").read_bytes()


@settings(max_examples=25, deadline=None)
@given(killed_after=st.integers(0, len(PLAN)), data=st.data(), merged=st.booleans(), torn=st.booleans())
def test_a_run_that_went_back_to_a_checkpoint_equals_the_uninterrupted_one_byte_for_byte(
    killed_after: int, data: st.DataObject, merged: bool, torn: bool
) -> None:
    back_to = data.draw(st.integers(0, killed_after), label="resumed from")
    # Nothing here loses power, so nothing has to be forced to the disk, which is slow.
    with tempfile.TemporaryDirectory() as straight, tempfile.TemporaryDirectory() as broken, mock.patch("os.fsync"):
        record(TrajectoryStore(Path(straight)), simple_probe_step, simple_scores, PLAN)
        killed = TrajectoryStore(Path(broken))
        record(killed, simple_probe_step, simple_scores, PLAN[:killed_after])
        if merged:
            killed.publish()
        leave_rubbish(Path(broken), torn)
        resumed = TrajectoryStore(Path(broken))
        done = PLAN[:back_to]
        if back_to < len(PLAN):
            stage = PLAN[back_to][0]
            resumed.discard_after(stage, max((step for name, step in done if name == stage), default=-1))
        record(resumed, simple_probe_step, simple_scores, PLAN[back_to:])
        assert published_bytes(Path(broken)) == published_bytes(Path(straight))


def leave_rubbish(directory: Path, torn: bool) -> None:
    """What a process killed in the middle of a write leaves."""
    for stage in (directory / "parts").glob("*"):
        (stage / ".00000077.parquet.tmp").write_bytes(b"PAR1 half")
        if torn and (stage / "log.jsonl").exists():
            with (stage / "log.jsonl").open("ab") as stream:
                stream.write(b'{"step": 3, "lo')


def test_rows_logged_after_a_torn_one_are_kept(run_directory: RunDirectory) -> None:
    store = TrajectoryStore(run_directory.path)
    store.append_log("sft", [{"step": 1, "loss": 1.0}])
    leave_rubbish(run_directory.path, torn=True)
    assert read_run(run_directory.path).train_log["step"].tolist() == [1]
    TrajectoryStore(run_directory.path).append_log("sft", [{"step": 2, "loss": 0.5}])
    assert read_run(run_directory.path).train_log["step"].tolist() == [1, 2]


def test_going_back_drops_later_steps_and_later_stages_only(
    run_directory: RunDirectory, probe_step: ProbeSteps, scores: Scores
) -> None:
    store = TrajectoryStore(run_directory.path)
    record(store, probe_step, scores, PLAN)
    store.discard_after("dpo", 5)
    assert (store.steps("sft"), store.steps("dpo")) == ([0, 10, 20], [0, 5])
    assert read_run(run_directory.path).train_log.query("stage == 'dpo'")["step"].tolist() == [4, 5]
    store.discard_after("sft", 10)
    assert (store.steps("sft"), store.steps("dpo")) == ([0, 10], [])
    store.discard_after("extend", 0)  # never begun
    store.discard_after("sft", -1)
    assert read_run(run_directory.path).trajectories.empty
