from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ldyn.errors import RunDirectoryError
from ldyn.records import TRAJECTORY_COLUMNS, Finding, ProbeScore, ProbeStep, StageInfo
from ldyn.store import RunDirectory, TrajectoryStore, read_run, reader
from ldyn.store.schema import imported_table, to_bytes
from ldyn.store.sweeps import ENDED, job_states

ProbeSteps = Callable[[str, int], ProbeStep]
Scores = Callable[..., list[ProbeScore]]

FINDING = Finding("S1", "rises", 1.5, float("nan"), float("nan"), "nats", 1, 1, "inconclusive", "one example", "Fig. 3")


@pytest.fixture
def published(run_directory: RunDirectory, probe_step: ProbeSteps, scores: Scores) -> Path:
    store = TrajectoryStore(run_directory.path)
    store.append(probe_step("sft", 0), scores("sft", 0))
    store.append_log("sft", [{"step": 1, "loss": 0.5}])
    store.publish()
    run_directory.write_text("config.yaml", "seed: 7\n")
    run_directory.write_json("findings.json", [FINDING])
    run_directory.write_text("samples.jsonl", '{"text": "one"}\n{"text": "two"}\n')
    return run_directory.publish()


def test_everything_in_a_finished_run_is_read(published: Path) -> None:
    run = read_run(published.parent / "latest")
    assert (run.path, run.is_partial, run.config_text) == (published.resolve(), False, "seed: 7\n")
    assert run.stages[1] == StageInfo("dpo", "dpo", "pairwise", ("chosen", "rejected"), "sft")
    assert (len(run.trajectories), len(run.train_log)) == (4, 1)
    assert not (published / "parts").exists()
    assert run.samples == [{"text": "one"}, {"text": "two"}]
    (finding,) = run.findings
    assert math.isnan(finding.ci_low)
    assert (finding.id, finding.estimate, finding.reason) == ("S1", 1.5, "one example")


def test_a_run_that_has_just_begun_is_read(run_directory: RunDirectory) -> None:
    run = read_run(run_directory.final)  # without the suffix
    assert run.is_partial
    assert len(run.trajectories) == len(run.train_log) == len(run.findings) == len(run.samples) == 0
    assert list(run.train_log.columns) == ["stage", "step"]


def test_a_path_that_is_no_run_is_refused_with_the_runs_in_it(published: Path, tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"There is no run directory .*nowhere"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(RunDirectoryError, match=r"no manifest\.json.*It holds runs: first, latest"):
        read_run(published.parent)


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["logp"]), "cannot be read .KeyError.*logp"),
        (lambda t: t.replace_schema_metadata({}), "has no schema version, expected 1"),
        (lambda t: t.replace_schema_metadata({"ldyn.schema_version": "9"}), "has schema version 9, expected 1"),
        (
            lambda t: t.set_column(t.column_names.index("logp"), "logp", pa.array(["much"] * len(t)).cast(pa.string())),
            "cannot be read .ArrowInvalid",
        ),
        (
            lambda t: t.set_column(t.column_names.index("step"), "step", pa.nulls(len(t), pa.int64())),
            "cannot be read .*step",
        ),
    ],
)
def test_a_table_that_is_not_ours_is_refused_saying_why(
    published: Path, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    rewrite(published / "trajectories.parquet", change)
    with pytest.raises(RunDirectoryError, match=message):
        read_run(published)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("trajectories.parquet", "no parquet", "cannot be read"),
        ("train_log.parquet", "", "cannot be read"),
        ("toy.parquet", "PAR1", "cannot be read"),
        ("config.yaml", b"\xff", "cannot be read .UnicodeDecodeError"),
        ("config.yaml", None, "cannot be read .IsADirectoryError"),
        ("samples.jsonl", "[1]\n", "cannot be read"),
        ("manifest.json", "{", "cannot be read .JSONDecodeError"),
        ("manifest.json", "[]", "has version None, expected 1"),
        ("manifest.json", json.dumps({"schema_version": 2}), "has version 2, expected 1"),
        ("manifest.json", json.dumps({"schema_version": 1}), "stages"),
        ("manifest.json", json.dumps({"schema_version": 1, "stages": [1]}), "StageInfo"),
        ("manifest.json", json.dumps({"schema_version": 1, "stages": [{"name": "sft"}]}), "algorithm"),
        ("findings.json", json.dumps([{"id": "S1"}]), "claim"),
        ("findings.json", "{}", "valid list"),
        ("findings.json", "[1]", "cannot be read"),
    ],
)
def test_a_broken_file_is_named(published: Path, name: str, content: str | bytes | None, message: str) -> None:
    (published / name).unlink(missing_ok=True)
    if content is None:
        (published / name).mkdir()
    else:
        (published / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(RunDirectoryError, match=message) as caught:
        read_run(published)
    assert name in str(caught.value)


def test_a_finished_run_without_its_table_is_refused(published: Path) -> None:
    (published / "trajectories.parquet").unlink()
    with pytest.raises(RunDirectoryError, match=r"has no trajectories\.parquet"):
        read_run(published)


def test_a_broken_part_is_named(run_directory: RunDirectory) -> None:
    (run_directory.path / "parts" / "00-sft").mkdir(parents=True)
    for name, content in (("00000000.parquet", b"PAR1"), ("log.jsonl", b"{\n")):
        (run_directory.path / "parts" / "00-sft" / name).write_bytes(content)
        with pytest.raises(RunDirectoryError, match=r"parts.* cannot be read"):
            read_run(run_directory.path)
        (run_directory.path / "parts" / "00-sft" / name).unlink()


def test_a_run_that_changes_while_it_is_read_is_read_again(
    run_directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the trajectories and the findings the run ends: tables of one moment with findings of another."""
    store = TrajectoryStore(run_directory.path)
    real, calls = reader._read_findings, []

    def later(path: Path) -> list[Finding]:
        if not calls:
            calls.append(path)
            store.publish()
            run_directory.publish()
        return real(path)

    monkeypatch.setattr(reader, "_read_findings", later)
    run = read_run(run_directory.path)
    assert run.path == run_directory.final.resolve()
    assert len(calls) == 1


def test_latest_leads_to_a_run_that_was_killed_before_its_last_rename(
    run_directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    TrajectoryStore(run_directory.path).publish()
    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        run_directory.publish()
    monkeypatch.undo()
    latest = run_directory.final.with_name("latest")
    assert read_run(latest).path == run_directory.path.resolve()
    run_directory.free()
    RunDirectory.reopen(run_directory.final).publish()
    assert read_run(latest).path == run_directory.final.resolve()


def test_a_sweep_with_a_damaged_run_is_listed(run_directory: RunDirectory) -> None:
    run_directory.write_text("manifest.json", "[]")
    run_directory.free()
    sweep = run_directory.final.parent
    assert [(job.run, job.state) for job in job_states(sweep)] == [("first", ENDED)]
    (sweep / "sweep.json").write_text('{"jobs": [1], "arguments": []}')
    with pytest.raises(RunDirectoryError, match=r"sweep.json cannot be read"):
        job_states(sweep)


@pytest.fixture
def imported() -> pd.DataFrame:
    """Two probes at two steps, one example each; of "rejected" only logp was logged, and no token was counted."""
    keys = [(step, probe) for step in (0, 250) for probe in ("chosen", "rejected")]
    rows = pd.DataFrame(keys, columns=["step", "probe"]).assign(
        stage="sft", algorithm="sft", split="train", example_id="row-0001", logp=-1.5, examples_seen=1000
    )
    return rows.assign(logp_argmax=np.where(rows["probe"] == "chosen", -0.5, np.nan))


def test_a_table_made_of_other_logs_may_lack_measures(published: Path, imported: pd.DataFrame) -> None:
    imported.loc[1, "logp"] = np.nan  # a row without any number, as where a logit was not finite
    (published / "trajectories.parquet").write_bytes(to_bytes(imported_table(imported)))
    table = read_run(published).trajectories
    assert list(table.columns) == list(TRAJECTORY_COLUMNS)
    assert table["logp_argmax"].count() == 2
    for unknown in ("n_tokens", "epoch", "entropy"):
        assert table[unknown].isna().all()
