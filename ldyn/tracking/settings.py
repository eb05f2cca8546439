"""Which tracker a run reports to, what the run is called there, and whether the tracker has a key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

LONGEST_NAME = 120
QUIET = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
"""No output of wandb in the terminal, no reports of errors and timings to its makers."""


@dataclass(frozen=True)
class LoggerConfig:
    """Weights & Biases, TensorBoard or none; all but ``kind`` is for wandb.

    Offline needs neither network nor account; for "online" the key comes from `wandb login` or WANDB_API_KEY.
    ``group`` and ``run_name`` default to a sweep's directory and what differs between its jobs, and for a single run to
    the experiment and the run.
    """

    kind: Literal["wandb", "tensorboard", "none"] = "none"
    mode: Literal["online", "offline", "disabled"] = "offline"
    project: str = "ldyn"
    entity: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    run_name: str | None = None


class NamedRun(Protocol):
    """The experiment's name and the run's, as in ``outputs/<name>/<run>``."""

    @property
    def name(self) -> str: ...

    @property
    def run(self) -> str: ...


def wandb_names(logger: LoggerConfig, named: NamedRun) -> dict[str, str]:
    """The group, name and job type of a run in wandb."""
    name = logger.run_name or f"{named.name}/{named.run}"
    shown = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    return {"group": logger.group or named.name, "name": shown, "job_type": named.name}


def set_where_unset(values: Mapping[str, str]) -> list[str]:
    """Set environment variables, but for those that the user has set; the names of those set."""
    absent = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(absent)
    return list(absent)


def key_faults(logger: LoggerConfig) -> list[str]:
    """Faults of the key for wandb's online mode. The network is not used: a key that the server rejects passes here."""
    if logger.kind != "wandb" or logger.mode != "online":
        return []
    expected = "expected one from `wandb login` or in WANDB_API_KEY; or set logger.mode=offline and `wandb sync` later"
    set_where_unset(QUIET)
    import wandb

    try:
        return [] if wandb.login(prompt=False, verify=False) else [f"logger.mode: found online and no key, {expected}"]
    except Exception as error:  # noqa: BLE001 - wandb has several kinds for a malformed key, not all of them public
        reason = " ".join(str(error).split())[:200]
        return [f"logger.mode: found online and an invalid key ({reason}), {expected}"]
