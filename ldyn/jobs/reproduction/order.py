"""Which job is next, and how long all of them will take side by side."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence

from ldyn.jobs.reproduction.plan import Job


def next_job(waiting: Sequence[Job], ended: Collection[str]) -> Job | None:
    """Of the jobs whose makers have ended, one that holds up the longest work; None where all have to wait.

    ended: names of the jobs that will not run any more (finished, or not part of what is left to do).
    """
    ready = [job for job in waiting if job.after <= set(ended)]
    held_up = _held_up(waiting)
    return max(ready, key=lambda job: (held_up[job.name] + job.seconds, -waiting.index(job)), default=None)


def _held_up(waiting: Sequence[Job]) -> Mapping[str, float]:
    """Job -> expected seconds of the jobs that wait for it."""
    return {job.name: sum(other.seconds for other in waiting if job.name in other.after) for job in waiting}


def wall_seconds(jobs: Sequence[Job], at_a_time: int) -> float:
    """How long ``jobs`` take if ``at_a_time`` of them run side by side without slowing each other down."""
    ended = set().union(*(job.after for job in jobs)) - {job.name for job in jobs}  # made before
    waiting, running, clock = list(jobs), list[tuple[float, str]](), 0.0
    while waiting or running:
        while len(running) < at_a_time and (job := next_job(waiting, ended)):
            waiting.remove(job)
            heapq.heappush(running, (clock + job.seconds, job.name))
        clock, name = heapq.heappop(running)
        ended.add(name)
    return clock
