"""Progress of a run in the terminal, in Weights & Biases or TensorBoard, and their settings. Imports without torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ldyn.tracking.observers import AllObservers, Observer, StagePast

__all__ = ["LoggerConfig", "Observer", "StagePast", "key_faults", "make_observer", "quiet_wandb"]


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


def make_observer(logger: LoggerConfig, directory: Path, experiment: str) -> Observer:
    """The console and the tracker of ``logger`` as one observer. Never raises for a tracker.

    ``directory`` is the run's, already holding config.yaml and manifest.json.
    """
    from ldyn.tracking.console import ProgressLines

    def tracker() -> Observer:
        if logger.kind == "tensorboard":
            from ldyn.tracking.tensorboard_tracker import TensorboardTracker

            return TensorboardTracker(directory)
        from ldyn.tracking.wandb_tracker import WandbTracker

        return WandbTracker(logger, directory, experiment)

    makers: dict[str, Callable[[], Observer]] = {"the console": ProgressLines}
    if logger.kind == "tensorboard" or (logger.kind == "wandb" and logger.mode != "disabled"):
        makers[logger.kind] = tracker
    return AllObservers(makers)
