"""Patience with wandb's background service: enough for an upload, not without end where there is no network.

wandb's own limit (``finish_timeout``) leaves a run waiting where a table is uploaded, and its exit hook waits as well.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

import psutil
import wandb

_SECONDS_TO_END = 5


def within(seconds: float, action: Callable[[], None]) -> None:
    """Do ``action``, but wait for it so long only; then end the service, which has all of the run on the disk.

    Raises what the action raises, and TimeoutError if it is not done in time.
    """
    try:
        _wait_for(action, seconds)
    except FutureTimeout:
        _end_service()
        raise TimeoutError(f"not done in {seconds} s; later: wandb sync --include-online") from None


def _wait_for(action: Callable[[], None], seconds: float) -> None:
    outcome: Future[None] = Future()

    def act() -> None:
        try:
            action()
            outcome.set_result(None)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=act, daemon=True).start()
    outcome.result(timeout=seconds)


def _end_service() -> None:
    """End wandb's process and forget it, so that a next run starts another and the exit of this process is free."""
    for child in psutil.Process().children():
        if child.name().startswith("wandb-core"):
            child.kill()
    with contextlib.suppress(Exception, SystemExit):  # wandb exits with the code of its service, which was killed
        _wait_for(wandb.teardown, _SECONDS_TO_END)
