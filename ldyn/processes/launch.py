"""Start several processes on this machine, wait for them, and report in one error how they ended.

They meet by a file and talk over the loopback interface, so nothing listens on the network. Each process writes its
error into a directory of the launch. After one has failed the others have SECONDS_TO_END to end by themselves.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, TypeVar

from ldyn.errors import Interrupted, LdynError, LostProcess
from ldyn.processes.launcher import MEETING, usable_cores
from ldyn.processes.signals import STOP_SIGNALS, heaviest, interrupted_by

Argument = TypeVar("Argument")

SECONDS_TO_END = 30


def launch(work: Callable[[Argument], object], argument: Argument, count: int) -> None:
    """Call ``work(argument)`` in each of ``count`` fresh processes, which find each other by torchrun's variables.

    ``work`` is a function of a module; it and ``argument`` are pickled. SIGINT, SIGTERM and SIGUSR2 are passed on
    to the processes. Raises the LdynError of the process that failed first, ``Interrupted`` where they were stopped,
    LostProcess where one was killed, and RuntimeError with its traceback for an error of any other kind.
    """
    from torch.multiprocessing.spawn import ProcessExitedException, spawn

    logging.getLogger("torch.multiprocessing").setLevel(logging.CRITICAL)  # ``_fault`` reports how processes end
    failed: ProcessExitedException | None = None
    with (
        TemporaryDirectory(prefix="ldyn-launch-") as directory,
        _signals_passed_on() as received,
        _threads_shared(count),
    ):
        processes = spawn(_run_one, (count, work, argument, directory), count, join=False)
        try:
            while not processes.join(grace_period=SECONDS_TO_END):
                pass
        except ProcessExitedException as error:
            failed = error
        files = sorted(Path(directory).glob("*.pickle"), key=lambda file: file.stat().st_mtime_ns)
        outcomes = [pickle.loads(file.read_bytes()) for file in files]  # noqa: S301 - our own processes wrote them
    if fault := _fault(outcomes, failed, received, count):
        raise fault


def _run_one(rank: int, count: int, work: Callable[[Any], object], argument: Any, directory: str) -> None:
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    os.environ.update({name: str(number) for name, number in numbers.items()})
    os.environ[MEETING] = f"file://{directory}/meeting"
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    code = 1
    outcome: LdynError | str = ""
    try:
        work(argument)
    except LdynError as error:
        outcome, code = error, error.exit_code
    except KeyboardInterrupt:  # before the run has its own handler
        code = 128 + signal.SIGINT
    except Exception:  # noqa: BLE001 - the parent raises it
        outcome = traceback.format_exc()
    else:
        return
    Path(directory, f"{rank}.pickle").write_bytes(pickle.dumps(outcome))
    sys.exit(code)


def _fault(
    outcomes: list[LdynError | str], failed: Any, received: list[int], count: int
) -> LdynError | RuntimeError | None:
    """The one error for a failed launch; None where it did not fail. ``outcomes``: as they were written."""
    stopped = [error for error in outcomes if isinstance(error, Interrupted)]
    consequences = (Interrupted, LostProcess)  # they only report that another process ended
    reasons = [error for error in outcomes if isinstance(error, LdynError) and not isinstance(error, consequences)]
    crashes = [text for text in outcomes if isinstance(text, str) and text]
    if reasons:
        return reasons[0]
    if received and (stopped or failed is not None):
        return stopped[0] if stopped else interrupted_by(heaviest(*received))
    if failed is None:
        return None
    was_killed = failed.exit_code < 0
    if crashes and not was_killed:
        return RuntimeError(f"a process of the run failed:\n{crashes[0]}")
    if stopped and not was_killed:
        return stopped[0]
    how = f"ended with exit code {failed.exit_code}; see its output above"
    if was_killed:
        name = signal.Signals(-failed.exit_code).name
        how = f"was killed by {name}" + ("; if nobody did that, memory ran out" if name == "SIGKILL" else "")
    return LostProcess(f"Process {failed.error_index} of {count} {how}. The others were ended.")


@contextmanager
def _signals_passed_on() -> Iterator[list[int]]:
    """Pass the stop signals on to the processes and keep waiting; yields the list of those received."""
    received: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        received.append(number)
        for process in multiprocessing.active_children():
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(process.pid, number)  # type: ignore[arg-type] # a process that was started has an id

    before = {number: signal.signal(number, pass_on) for number in STOP_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _threads_shared(count: int) -> Iterator[None]:
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, usable_cores() // count))
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
