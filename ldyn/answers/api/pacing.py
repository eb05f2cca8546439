"""When the next request may begin: a rate, and pauses that an endpoint asked for, shared by all workers."""

from __future__ import annotations

import threading
import time
from random import Random

from ldyn.answers.api.settings import ApiConfig


class Stopped(Exception):
    """The job ends; whoever waits stops waiting."""


class Pace:
    """Shared by the workers of one job; ``stop`` wakes everyone who waits here."""

    def __init__(self, config: ApiConfig):
        self._between = 60 / config.requests_per_minute if config.requests_per_minute else 0.0
        self._config = config
        self._lock = threading.Lock()
        self._next = 0.0  # time.monotonic() of the next free start
        self._random = Random()
        self.stop = threading.Event()

    def wait_for_turn(self) -> None:
        """Wait until a request may begin. Raises Stopped when the job ends meanwhile."""
        with self._lock:
            start = max(self._next, time.monotonic())
            self._next = start + self._between
        self._sleep_until(start)

    def back_off(self, attempt: int, asked: float | None) -> None:
        """Wait after the failed try number ``attempt`` (from 0); a wait that was ``asked`` for holds for everyone."""
        if asked is None:
            longest = min(self._config.backoff_seconds * 2**attempt, self._config.longest_wait_seconds)
            self._sleep_until(time.monotonic() + longest * self._random.uniform(0.5, 1.0))
            return
        with self._lock:
            self._next = max(self._next, time.monotonic() + asked)
        self._sleep_until(time.monotonic() + asked)

    def _sleep_until(self, moment: float) -> None:
        if self.stop.wait(max(0.0, moment - time.monotonic())):
            raise Stopped
