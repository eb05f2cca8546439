"""Stop signals (Ctrl-C, SIGTERM, SIGUSR2): a training stage saves a checkpoint first, all else stops at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from ldyn.errors import Interrupted

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Ascending in weight: where several came, the last one here decides.

SIGUSR2 is what submitit asks SLURM to send before a job's time is over or its place is taken: save, and be requeued.
"""


def heaviest(*numbers: int) -> signal.Signals:
    """Of several stop signals the one that decides."""
    return max(map(signal.Signals, numbers), key=STOP_SIGNALS.index)


def interrupted_by(number: int) -> Interrupted:
    """The error of a run that a signal has ended; its exit code is 128 + the signal's number, as a shell expects."""
    return Interrupted(number, f"Stopped by {signal.Signals(number).name}.")


OF_A_CLUSTER = {signal.SIGTERM, signal.SIGUSR2}
ECHO_SECONDS = 1.0
"""A signal so soon after another is the same request: a terminal signals every process, a launcher passes it on."""


class StopRequest:
    """Catches the signals of ``STOP_SIGNALS`` while it is entered (in the main thread).

    While ``graceful`` is true a first signal is only remembered in ``signal_number``; the training loop looks at it
    after each step, saves and stops. A second signal (``ECHO_SECONDS`` later or more), or any signal while ``graceful``
    is false, raises at once; except a SIGTERM together with a SIGUSR2, which SLURM sends as one request.
    """

    def __init__(self) -> None:
        self.graceful = False
        self.signal_number: int | None = None
        self._received_at = -ECHO_SECONDS
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def weight(self) -> int:
        """0 without a stop request, else 1 or more; several processes take the highest of theirs."""
        return 0 if self.signal_number is None else 1 + STOP_SIGNALS.index(signal.Signals(self.signal_number))

    def agree_on(self, weight: int) -> bool:
        """Set the signal of the highest weight of all processes; returns whether it is a stop."""
        if weight:
            self.signal_number = STOP_SIGNALS[weight - 1]
        return weight > 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        before = self.signal_number
        is_echo = time.monotonic() - self._received_at < ECHO_SECONDS
        is_one_request = before != number and {before, number} == OF_A_CLUSTER
        self._received_at = time.monotonic()
        self.signal_number = heaviest(number, *([before] if before else []))
        if not is_echo and not (self.graceful and (before is None or is_one_request)):
            raise self.interrupted()

    def interrupted(self) -> Interrupted:
        """The error that ends the run."""
        return interrupted_by(self.signal_number or signal.SIGINT)


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Delay the signals of ``STOP_SIGNALS`` to the end of this block: for the last writes of a run that ends.

    Masking the main thread is not enough: the system delivers the signal to another thread, of torch or pyarrow.
    """
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])
