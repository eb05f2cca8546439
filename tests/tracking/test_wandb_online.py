"""Online runs and later uploads, against a stand-in for the server on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from wandb_files import KEY, environment, recorded_run, tell
from wandb_server import StoredRun, WandbServer

ONLINE = {"mode": "online", "group": "sweep"}

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[WandbServer]:
    running = WandbServer()
    yield running
    running.stop()


def steps(run: StoredRun) -> list[int]:
    return [row["_step"] for row in run.rows if "findings" not in row]


def the_run(server: WandbServer) -> StoredRun:
    [run] = server.runs.values()
    return run


def test_a_resumed_run_goes_on_in_the_same_one_and_what_was_lost_is_made_good(
    server: WandbServer, tmp_path: Path
) -> None:
    variables = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
    said = tell(tmp_path, "interrupted:one", logger=ONLINE, **variables)
    run = the_run(server)
    assert (steps(run), run.exit_code) == ([0, 1, 2, 3, 4, 5, 6], 1)
    del run.history[6], run.history[5]  # as if the process had been killed before it could send them
    said += tell(tmp_path, "resumed:one", logger=ONLINE, **variables)
    assert "wandb" not in said
    assert the_run(server) is run
    assert (steps(run), run.exit_code) == ([0, 1, 2, 3, 4, 5, 6, 7], 0)
    assert [row["dpo/logp_change/chosen"] for row in run.rows if "dpo/logp_change/chosen" in row] == [0, -2, -4]
    assert (run.bucket["groupName"], run.bucket["displayName"]) == ("sweep", "squeeze/one")
    assert run.summary["finding/D3/verdict"] == "holds"
    assert server.files[f"/{run.bucket['name']}/report.html"] == b"<p>report</p>"


def test_an_offline_run_is_uploaded_later_as_a_whole(server: WandbServer, tmp_path: Path) -> None:
    tell(tmp_path, "interrupted:one", "resumed:one", logger={"group": "sweep"})
    variables = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
    command = [sys.executable, "-m", "wandb", "sync", "wandb"]
    own = environment(tmp_path / "home", **variables)
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run = the_run(server)
    assert (steps(run), run.exit_code) == ([0, 1, 2, 3, 4, 5, 6, 7], 0)
    assert (run.bucket["groupName"], run.bucket["displayName"]) == ("sweep", "squeeze/one")
    assert json.loads(run.bucket["config"])["manifest"]["value"]["hashes"] == {"data": "ab12"}
    name = run.bucket["name"]
    assert name == json.loads((tmp_path / "one" / "wandb.json").read_text(encoding="utf-8"))["id"]
    assert {f"/{name}/report.html", f"/{name}/manifest.json", "/artifacts/findings.table.json"} < set(server.files)
    assert sum(path.startswith(f"/{name}/media/images/figures/panel") for path in server.files) == 1


@pytest.mark.parametrize("refuses", [None, 401])
def test_without_a_server_or_with_a_key_that_it_refuses_the_run_is_recorded_offline(
    server: WandbServer, tmp_path: Path, refuses: int | None
) -> None:
    server.refuses = refuses
    if refuses is None:
        server.stop()
    variables = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "_SECONDS_TO_CONNECT": "2"}
    said = tell(tmp_path, "whole:one", logger=ONLINE, **variables)
    [warning] = [line for line in said.splitlines() if "wandb" in line]
    assert warning.startswith("wandb could not go online")
    [home] = tmp_path.glob("wandb/offline-run-*")
    assert f"wandb sync wandb/{home.name}" in warning
    run = recorded_run(home)
    assert run.series("dpo/logp/chosen", "dpo/step") == {0: -11, 2: -13, 4: -15}
    assert run.exit_code == 0
    assert (tmp_path / "one" / "report.html").exists()


def test_a_network_that_is_lost_costs_one_warning(server: WandbServer, tmp_path: Path) -> None:
    server.leaves_after = 3
    variables = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "_SECONDS_TO_FINISH": "3"}
    said = tell(tmp_path, "whole:one", logger=ONLINE, **variables)
    [warning] = [line for line in said.splitlines() if "wandb" in line]
    assert warning.startswith("wandb stopped following this run")
    assert (tmp_path / "one" / "report.html").exists()
