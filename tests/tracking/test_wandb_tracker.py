"""What wandb has on the disk after offline runs: all that a user will see once they are uploaded."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from wandb_files import KEY, RecordedRun, record, recorded_run

from ldyn.tracking import LoggerConfig, key_faults, wandb_tracker


def offline_runs(directory: Path) -> dict[str, RecordedRun]:
    """Run name -> what was recorded of it; each is recorded once."""
    runs = [recorded_run(found) for found in directory.glob("wandb/offline-run-*")]
    assert len({run.about.display_name for run in runs}) == len(runs)
    return {run.about.display_name: run for run in runs}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the runs ``one``, whole, and ``two``, interrupted and resumed; a key is in the environment."""
    directory = tmp_path_factory.mktemp("wandb")
    parts = ("interrupted:two", "resumed:two", "whole:one")
    said = record(directory, *parts, logger={"group": "sweep"}, WANDB_API_KEY=KEY)
    assert "wandb" not in said
    return directory


def test_a_run_has_its_group_name_and_settings(work: Path) -> None:
    runs = offline_runs(work)
    assert set(runs) == {"squeeze/one", "squeeze/two"}
    for run in runs.values():
        assert (run.about.run_group, run.about.job_type, run.about.project) == ("sweep", "squeeze", "ldyn")
        assert (run.config["seed"], run.config["model"]) == (3, {"layers": 2})
        assert run.config["manifest"]["hashes"] == {"data": "ab12"}


@pytest.mark.parametrize("name", ["squeeze/one", "squeeze/two"])
def test_curves_have_every_probe_step_of_every_stage_once_resumed_or_not(work: Path, name: str) -> None:
    run = offline_runs(work)[name]
    assert run.series("sft/logp/chosen", "sft/step") == {0: -11, 2: -13}
    assert run.series("dpo/logp/chosen", "dpo/step") == {0: -11, 2: -13, 4: -15}
    assert run.series("dpo/logp_change/rejected", "dpo/step") == {0: 0, 2: -6, 4: -12}
    assert run.series("dpo/logp_change/greedy", "dpo/step") == {0: 0, 2: 1, 4: 2}
    assert run.series("dpo/logp_test/rejected", "dpo/epoch") == {0: -11, 0.5: -17, 1: -23}
    assert run.series("sft/train/loss", "sft/step") == {1: 1, 2: 0.5}
    assert run.series("dpo/train/loss", "dpo/step") == {step: 1 / step for step in (1, 2, 3, 4)}
    assert run.series("dpo/step", "_step") == {3 + step: step for step in range(5)}  # sft has wandb's steps 0 to 2
    assert run.exit_code == 0


def test_findings_are_a_table_and_can_be_sorted_by(work: Path) -> None:
    run = offline_runs(work)["squeeze/one"]
    content = json.loads((run.directory / "files" / run.summary["findings/path"]).read_text(encoding="utf-8"))
    [row] = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    assert (row["id"], row["verdict"], row["estimate"]) == ("D3", "holds", 1.5)
    assert (run.summary["finding/D3/verdict"], run.summary["finding/D3/estimate"]) == ("holds", 1.5)
    assert (run.summary["finding/D3/ci_low"], run.summary["finding/D3/ci_high"]) == (1, 2)
    assert run.summary["dpo/logp_change/chosen"] == -4  # the last value: a sweep can be sorted by it, too


@pytest.mark.parametrize("name", ["squeeze/one", "squeeze/two"])
def test_what_will_be_uploaded_is_where_it_is_looked_for(work: Path, name: str) -> None:
    run = offline_runs(work)[name]
    assert {Path(path).parent.as_posix() for path in run.files} <= {".", "media/html", "media/table"}
    assert all((run.directory / "files" / path).is_file() for path in run.files)
    assert all(path.is_file() for path in run.artifact_paths)
    assert len(run.artifact_paths) == 1
    assert not any(path.is_symlink() for path in (run.directory / "files").rglob("*"))
    page = run.directory / "files" / next(path for path in run.files if path.startswith("media/html/"))
    assert page.read_text(encoding="utf-8") == "<p>report</p>"


def test_no_secret_and_nothing_of_the_machine_is_recorded(work: Path) -> None:
    assert [path for path in (work / "home").rglob("*") if path.is_file()] == []
    content = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    assert [path for path, data in content.items() if KEY.encode() in data] == []
    for run in offline_runs(work).values():
        assert (run.about.host, run.about.git.commit) == ("", "")
        for name in ("wandb-metadata.json", "requirements.txt", "output.log"):
            assert not (run.directory / "files" / name).exists()


@pytest.mark.slow  # waits 30 s for a server
def test_without_a_server_an_online_run_is_recorded_offline(tmp_path: Path) -> None:
    variables = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": KEY}  # nobody listens there
    printed = record(tmp_path, "whole:one", logger={"mode": "online"}, **variables)
    [warning] = [line for line in printed.splitlines() if "wandb" in line]
    assert warning.startswith("wandb could not go online")
    [home] = tmp_path.glob("wandb/offline-run-*")
    assert f"wandb sync wandb/{home.name}" in warning
    run = recorded_run(home)
    assert run.series("dpo/logp/chosen", "dpo/step") == {0: -11, 2: -13, 4: -15}
    assert run.exit_code == 0


@pytest.mark.parametrize(("mode", "resume"), [("online", "allow"), ("offline", None)])
def test_a_resumed_run_has_the_same_id_and_a_name_is_cut(
    mode: Any, resume: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def init(**arguments: Any) -> SimpleNamespace:
        asked.append(arguments)
        return SimpleNamespace(id="abc", dir=str(tmp_path / "wandb" / "run-1-abc" / "files"))

    monkeypatch.setattr(wandb_tracker.wandb, "init", init)
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    for _ in range(2):
        wandb_tracker._begin(LoggerConfig(mode=mode, run_name="x" * 200), tmp_path, "squeeze")
    assert [(one["id"], one["resume"]) for one in asked] == [(None, None), ("abc", resume)]
    assert (asked[0]["group"], asked[0]["name"]) == ("squeeze", "x" * 119 + "…")


def test_an_upload_that_does_not_end_is_given_up() -> None:
    done = []
    wandb_tracker.within(5, lambda: done.append(1))
    assert done == [1]
    with pytest.raises(ZeroDivisionError):
        wandb_tracker.within(5, lambda: 1 / 0)
    with pytest.raises(TimeoutError, match="wandb sync"):
        wandb_tracker.within(0.1, lambda: time.sleep(5))


def test_a_missing_or_malformed_key_is_a_fault_online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    online = LoggerConfig(kind="wandb", mode="online")
    assert key_faults(LoggerConfig(kind="wandb")) == []
    monkeypatch.setattr("wandb.login", lambda **_: False)
    assert key_faults(online)[0].startswith("logger.mode: found online and no key, expected one from `wandb login`")

    def fail(**_: Any) -> None:
        raise ValueError("API key must be 40 characters long")

    monkeypatch.setattr("wandb.login", fail)
    assert "found online and an invalid key (API key must be" in key_faults(online)[0]
