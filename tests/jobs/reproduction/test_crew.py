"""Runs side by side: order, failures, stops, and going on; the runs are small scripts in place of `ldyn`."""

import json
import os
import signal
import sys
import threading
from dataclasses import replace

import pytest

from ldyn.errors import Interrupted, RunDirectoryError
from ldyn.jobs.reproduction import crew
from ldyn.jobs.reproduction.crew import Crew
from ldyn.jobs.reproduction.state import FAILED, FINISHED, HELD_UP, STATE_FILE, STOPPED, WAITING, open_state

FINISH = """
import json, pathlib, sys
directory = pathlib.Path(sys.argv[1]); directory.mkdir(parents=True)
(directory / "manifest.json").write_text(json.dumps({"status": "finished", "hashes": {"settings": sys.argv[2]}}))
"""
FAIL = "import sys; print('it broke'); sys.exit(1)"
SLEEP = """
import pathlib, sys, time
pathlib.Path(sys.argv[1] + '.begun').parent.mkdir(parents=True, exist_ok=True)
pathlib.Path(sys.argv[1] + '.begun').touch()
time.sleep(600)
"""


@pytest.fixture(scope="module")
def smoke_plan(planned):
    return planned("scale=smoke", "seeds=1", "jobs=2")


@pytest.fixture
def staged(smoke_plan, tmp_path, monkeypatch):
    """The plan of the smoke scale, whose jobs run ``scripts`` by name (FINISH where there is none)."""
    config, jobs = smoke_plan
    moved = replace(config.paths, run=tmp_path / "run")
    jobs = [replace(job, directory=moved.run / job.directory.relative_to(config.paths.run)) for job in jobs]
    config = replace(config, paths=moved)
    monkeypatch.setattr(crew, "POLL_SECONDS", 0.01)

    def state(**scripts):
        def command(job):
            return [sys.executable, "-S", "-c", scripts.get(job.part, FINISH), str(job.directory), job.settings]

        monkeypatch.setattr(crew, "command_of", command)
        return open_state(config, jobs)

    return state


def statuses(state):
    return {name.split("/")[0]: one.status for name, one in state.of_jobs.items()}


def test_everything_is_done_and_the_second_time_nothing(staged):
    told = []
    Crew(staged(), told.append).work()
    again = staged(toy=FAIL, extend_wins=FAIL)
    Crew(again, told.append).work()
    assert set(statuses(again).values()) == {FINISHED}
    assert len(told) == 2 * 4  # started and ended, each once


def test_who_takes_over_begins_when_the_maker_has_ended(staged):
    order = []
    state = staged()
    Crew(state, lambda job: order.append((job.part, state.of_jobs[job.name].status))).work()
    assert order.index(("decompose", FINISHED)) < order.index(("extend_wins", "running"))


def test_a_failed_run_holds_up_its_takers_only_and_says_why(staged):
    state = staged(decompose=FAIL)
    Crew(state, lambda _: None).work()
    assert statuses(state) == {"toy": FINISHED, "images": FINISHED, "decompose": FAILED, "extend_wins": HELD_UP}
    assert state.of_jobs["decompose/seed-0"].error == "exit code 1: it broke"
    after = staged()
    assert statuses(after) == {"toy": FINISHED, "images": FINISHED, "decompose": WAITING, "extend_wins": WAITING}
    Crew(after, lambda _: None).work()
    assert set(statuses(after).values()) == {FINISHED}


def test_a_stop_reaches_the_runs_and_is_written_down(staged):
    state = staged(toy=SLEEP)
    begun = state.jobs[0].directory.with_name("all.begun")

    def stop_when_begun():
        while not begun.exists():
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=stop_when_begun)
    watcher.start()
    with pytest.raises(Interrupted):
        Crew(state, lambda _: None).work()
    watcher.join()
    written = json.loads((state.config.paths.run / STATE_FILE).read_text())
    assert {job["name"]: job["status"] for job in written["jobs"]}["toy"] == STOPPED


def test_a_run_of_other_settings_is_not_passed_off_as_ours(staged):
    state = staged()
    Crew(state, lambda _: None).work()
    manifest = state.jobs[-1].directory / "manifest.json"
    manifest.write_text(json.dumps({"status": "finished", "hashes": {"settings": "of others"}}))
    with pytest.raises(RunDirectoryError, match="other settings"):
        staged()
