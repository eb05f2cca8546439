from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from ldyn.records import ProbeStep
from ldyn.tracking import Observer, StagePast
from ldyn.tracking.console import ProgressLines
from ldyn.tracking.observers import AllObservers

Follow = Callable[..., None]


class Recorder:
    """Records the names of the methods called; raises at one of them on request."""

    def __init__(self, fails_at: str = "", error: type[BaseException] = RuntimeError):
        self.calls: list[str] = []
        self._fails_at, self._error = fails_at, error

    def __getattr__(self, name: str) -> Callable[..., None]:
        def called(*_: object) -> None:
            if name == self._fails_at:
                raise self._error("no room\nleft")
            self.calls.append(name)

        return called


@pytest.mark.parametrize("message", ["stage_started", "step_logged", "probes_scored", "run_finished", "close"])
def test_one_that_fails_is_dropped_with_one_warning(
    follow: Follow, caplog: pytest.LogCaptureFixture, message: str
) -> None:
    broken, whole = Recorder(fails_at=message), Recorder()
    follow(AllObservers({"the tracker": lambda: broken, "other": lambda: whole}))
    assert whole.calls[-1] == "close"
    [record] = caplog.records
    assert record.getMessage().startswith(
        "the tracker stopped following this run (RuntimeError: no room left); the run"
    )


def test_one_that_cannot_be_made_is_dropped(follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Observer:
        raise OSError("disk full")

    whole = Recorder()
    follow(AllObservers({"the tracker": fail, "other": lambda: whole}))
    assert whole.calls[-1] == "close"
    assert len(caplog.records) == 1


def test_a_stop_request_is_not_a_failure_of_the_tracker(follow: Follow) -> None:
    with pytest.raises(KeyboardInterrupt):
        follow(AllObservers({"the tracker": lambda: Recorder(fails_at="step_logged", error=KeyboardInterrupt)}))


LINES = [
    "dpo: dpo on chosen and rejected, from sft, 4 steps",
    "dpo 0/4  log p: chosen -11.00  rejected -11.00  greedy -4.00",
    "dpo 2/4  loss 0.25  log p: chosen -13.00  rejected -17.00  greedy -3.00",
    "dpo 4/4  loss 0.125  log p: chosen -15.00  rejected -23.00  greedy -2.00",
    "dpo: done in 0 s",
]


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_printed_in_lines_and_on_a_terminal_with_a_bar(follow: Follow, terminal: bool) -> None:
    out = io.StringIO()
    follow(ProgressLines(Console(file=out, force_terminal=terminal, width=40, color_system=None)))
    if terminal:
        assert all(line in out.getvalue() for line in LINES)
        assert "━" in out.getvalue()
    else:
        assert out.getvalue().splitlines() == LINES


def test_the_past_of_a_stage_is_replayed_in_the_order_in_which_it_happened() -> None:
    seen: list[object] = []
    probe_steps = [(ProbeStep("dpo", "dpo", step, 0, 0.0), []) for step in (0, 2)]
    past = StagePast([{"step": 1.0, "loss": 2.0}, {"step": 2, "loss": 1.0}], probe_steps)
    past.replay(lambda at, scores: seen.append(at.step), lambda step, metrics: seen.append((step, metrics)))
    assert seen == [0, (1, {"loss": 2.0}), 2, (2, {"loss": 1.0})]
