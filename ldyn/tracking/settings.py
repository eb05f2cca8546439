"""Which tracker a run reports to, and whether the tracker has a key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal


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


def quiet_wandb(files: str = "") -> None:
    """No output of wandb in the terminal, no reports to its makers; its staging files and caches lie in ``files``."""
    places = {"WANDB_DATA_DIR": files, "WANDB_CACHE_DIR": files} if files else {}
    for name, value in {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", **places}.items():
        os.environ.setdefault(name, value)


def key_faults(logger: LoggerConfig) -> list[str]:
    """Faults of the key for wandb's online mode. The network is not used: a key that the server rejects passes here."""
    if logger.kind != "wandb" or logger.mode != "online":
        return []
    expected = "expected one from `wandb login` or in WANDB_API_KEY; or set logger.mode=offline and `wandb sync` later"
    quiet_wandb()
    import wandb

    try:
        return [] if wandb.login(prompt=False, verify=False) else [f"logger.mode: found online and no key, {expected}"]
    except Exception as error:  # noqa: BLE001 - wandb has several kinds for a malformed key, not all of them public
        reason = " ".join(str(error).split())[:200]
        return [f"logger.mode: found online and an invalid key ({reason}), {expected}"]
