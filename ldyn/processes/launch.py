"""Start several processes on this machine, wait for them, and report in one error how they ended.

Each process writes its error into a directory of the launch. After one has failed the agent ends the others: SIGTERM
first, SIGKILL after SECONDS_TO_END. The error of the one that failed counts, not those of losing it.
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
from ldyn.processes.launcher import usable_cores
from ldyn.processes.signals import STOP_SIGNALS, heaviest, interrupted_by

Argument = TypeVar("Argument")

SECONDS_TO_END = 60
_OF_THE_AGENT = (signal.SIGHUP, signal.SIGQUIT)  # it ends the processes at once


def launch(work: Callable[[Argument], object], argument: Argument, count: int) -> None:
    """Call ``work(argument)`` in each of ``count`` fresh processes, which find each other by torchrun's variables.

    ``work`` is a function of a module; it and ``argument`` are pickled. SIGINT, SIGTERM and SIGUSR2 are passed on
    to the processes. Raises the LdynError of the process that failed first, ``Interrupted`` where they were stopped,
    LostProcess where one was killed, and RuntimeError with its traceback for an error of any other kind.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.multiprocessing"):  # ``_fault`` reports their errors
        logging.getLogger(name).setLevel(logging.CRITICAL)
    failed: ChildFailedError | None = None
    with (
        TemporaryDirectory(prefix="ldyn-launch-") as directory,
        _signals_passed_on() as received,
        _threads_shared(count),
    ):
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=str(os.getpid()),
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            start_method="spawn",
            signals_to_handle=",".join(number.name for number in _OF_THE_AGENT),
            shutdown_timeout=SECONDS_TO_END,
        )
        try:
            elastic_launch(settings, _run_one)(work, argument, directory)
        except ChildFailedError as error:
            failed = error
        fault = _fault(_outcomes(Path(directory)), failed, received, count)
    if fault is not None:
        raise fault


def _run_one(work: Callable[[Any], object], argument: Any, directory: str) -> None:
    """In each process: do the work, and on a failure write what it was and end with its exit code."""
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
    Path(directory, f"{os.environ['RANK']}.pickle").write_bytes(pickle.dumps(outcome))
    sys.exit(code)


def _outcomes(directory: Path) -> list[LdynError | str]:
    """The errors, or tracebacks, that processes have left, in the order in which they were written."""
    files = sorted(directory.glob("*.pickle"), key=lambda file: file.stat().st_mtime_ns)
    return [pickle.loads(file.read_bytes()) for file in files]  # noqa: S301 - our own processes wrote them just now


def _fault(
    outcomes: list[LdynError | str], failed: Any, received: list[int], count: int
) -> LdynError | RuntimeError | None:
    """The one error for a failed launch; None where it did not fail."""
    stopped = [error for error in outcomes if isinstance(error, Interrupted)]
    reasons = [error for error in outcomes if isinstance(error, LdynError) and not _is_consequence(error)]
    crashes = [text for text in outcomes if isinstance(text, str) and text]
    if reasons:
        return reasons[0]
    if received and (stopped or failed is not None):
        return stopped[0] if stopped else interrupted_by(heaviest(*received))
    if failed is None:
        return None
    was_killed = failed.get_first_failure()[1].exitcode < 0
    if crashes and not was_killed:
        return RuntimeError(f"a process of the run failed:\n{crashes[0]}")
    return stopped[0] if stopped and not was_killed else _ended(failed, count)


def _is_consequence(error: LdynError) -> bool:
    """Whether the error only reports that another process ended."""
    return isinstance(error, (Interrupted, LostProcess))


def _ended(failed: Any, count: int) -> LostProcess:
    """The error for a process that was killed, or that ended without leaving a reason."""
    rank, failure = failed.get_first_failure()
    if failure.exitcode >= 0:
        how = f"ended with exit code {failure.exitcode}; see its output above"
    else:
        name = signal.Signals(-failure.exitcode).name
        how = f"was killed by {name}" + ("; if nobody did that, memory ran out" if name == "SIGKILL" else "")
    return LostProcess(f"Process {rank} of {count} {how}. The others were ended.")


@contextmanager
def _signals_passed_on() -> Iterator[list[int]]:
    """Pass the stop signals on to the processes and keep waiting; yields the list of those received."""
    received: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        received.append(number)
        for process in multiprocessing.active_children():
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(process.pid, number)  # type: ignore[arg-type] # a process that was started has an id

    before = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, *_OF_THE_AGENT)}
    for number in STOP_SIGNALS:
        signal.signal(number, pass_on)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _threads_shared(count: int) -> Iterator[None]:
    """Give each process its share of the cores, unless the user has set the number of threads."""
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, usable_cores() // count))
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
