"""How far a long job is, in lines on standard error: the first and the last, and between them one every few seconds."""

from __future__ import annotations

import sys
import threading
import time


class ProgressLines:
    """Called with (done, all), from any thread."""

    def __init__(self, what: str, seconds: float = 5.0):
        self._what, self._seconds = what, seconds
        self._said = float("-inf")
        self._lock = threading.Lock()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        with self._lock:
            if done < total and now - self._said < self._seconds:
                return
            self._said = now
            print(f"{self._what}: {done:,} of {total:,}", file=sys.stderr, flush=True)
