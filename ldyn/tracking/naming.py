"""What a run is called in a tracker."""

from __future__ import annotations

from typing import Protocol

from ldyn.tracking.settings import LoggerConfig

_LONGEST_NAME = 120


class NamedRun(Protocol):
    """The experiment's name and the run's, as in ``outputs/<name>/<run>``."""

    @property
    def name(self) -> str: ...

    @property
    def run(self) -> str: ...


def wandb_names(logger: LoggerConfig, named: NamedRun) -> dict[str, str]:
    """Group, name and job type: of a sweep its directory and what differs, of a single run the experiment and the
    run.
    """
    name = logger.run_name or f"{named.name}/{named.run}"
    shown = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return {"group": logger.group or named.name, "name": shown, "job_type": named.name}
