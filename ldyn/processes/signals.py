"""The signals that ask a run to stop, and which of several decides what happens then."""

from __future__ import annotations

import signal

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
