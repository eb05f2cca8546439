"""What a launch says of how its processes ended."""

import os
import signal
import sys
from types import SimpleNamespace

import pytest

from ldyn.config.loading import load_config
from ldyn.errors import ConfigError, Interrupted, LostProcess, RunDirectoryError, TrainingError
from ldyn.processes.launch import _fault, _run_one, launch
from ldyn.processes.launcher import MEETING, usable_cores

STOPPED = Interrupted(15, "Stopped by SIGTERM.")
LOST = LostProcess("Process 0 of 2 lost another one.")
FULL = RunDirectoryError("No room on the disk.")


def failed(rank: int, exitcode: int):
    return SimpleNamespace(error_index=rank, exit_code=exitcode)


def test_all_is_well():
    assert _fault([], None, [], 2) is None
    assert _fault([], None, [signal.SIGTERM], 2) is None  # it came too late to stop anything


def test_a_reason_counts_more_than_its_consequences():
    """Process 0 could not write; process 1 lost it and was ended."""
    assert _fault([LOST, STOPPED, FULL], failed(1, 1), [], 2) is FULL
    assert _fault([TrainingError("nan"), LOST], failed(0, 1), [], 2).args == ("nan",)
    assert _fault(["Traceback: gloo", FULL], failed(0, 1), [], 2) is FULL


def test_who_stops_the_launch_gets_that_signal():
    assert _fault([STOPPED, STOPPED], failed(0, 143), [15], 2) is STOPPED
    before_it_began = _fault([], failed(0, -15), [15], 2)
    assert (type(before_it_began), before_it_began.exit_code) == (Interrupted, 143)
    assert _fault([STOPPED, STOPPED], failed(0, 143), [], 2) is STOPPED  # one process was told, and told the others


def test_processes_meet_by_a_file_and_talk_over_the_loopback_interface(tmp_path, monkeypatch):
    """torch's store would listen on all interfaces."""
    kept = dict(os.environ)
    for name in ("MASTER_ADDR", "MASTER_PORT", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    try:
        _run_one(1, 2, lambda seen: seen.update(os.environ), seen := {}, str(tmp_path))
    finally:
        os.environ.clear()
        os.environ.update(kept)
    assert seen[MEETING] == f"file://{tmp_path}/meeting"
    assert "MASTER_ADDR" not in seen
    assert sys.platform != "linux" or seen["GLOO_SOCKET_IFNAME"] == "lo"


def test_a_killed_process_is_named():
    """The one that is left was ended by the launch: that it was stopped is no reason."""
    said = str(_fault([STOPPED], failed(1, -9), [], 4))
    assert said.startswith("Process 1 of 4 was killed by SIGKILL; if nobody did that, memory ran out.")
    assert "was killed by SIGSEGV." in str(_fault([LOST], failed(0, -11), [], 4))


def test_a_crash_shows_its_traceback_and_not_that_of_the_process_that_lost_it():
    error = _fault(["Traceback of process 1", "Traceback of process 0: connection closed"], failed(1, 1), [], 2)
    assert type(error) is RuntimeError
    assert "Traceback of process 1" in str(error)
    assert "process 0" not in str(error)


def test_a_process_that_ends_without_a_word():
    assert "Process 1 of 2 ended with exit code 3; see its output above." in str(_fault([], failed(1, 3), [], 2))


@pytest.mark.slow
@pytest.mark.skipif(usable_cores() < 2, reason="two processes need two cores")
def test_an_error_of_the_processes_is_raised_as_it_was():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises(ConfigError) as caught:
        launch(load_config, {"seed": -1}, 2)
    assert any(fault.startswith("seed: found -1") for fault in caught.value.faults)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
