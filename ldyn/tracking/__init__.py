"""Following a run while it goes on: in the terminal, in Weights & Biases, in TensorBoard. Imports without torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from ldyn.tracking.fan_out import FanOut
from ldyn.tracking.naming import NamedRun
from ldyn.tracking.observer import Observer, StagePast
from ldyn.tracking.settings import LoggerConfig

__all__ = ["LoggerConfig", "Observer", "StagePast", "make_observer"]


def make_observer(logger: LoggerConfig, directory: Path, named: NamedRun) -> Observer:
    """The observers of a run as one: the console, and the tracker that ``logger`` asks for.

    ``directory`` is the run's, already holding config.yaml and manifest.json. Never raises for a tracker.
    """

    def console() -> Observer:
        if sys.stderr.isatty():
            from ldyn.tracking.console import LiveConsole

            return LiveConsole()
        from ldyn.tracking.lines import PlainLines

        return PlainLines()

    def wandb() -> Observer:
        from ldyn.tracking.wandb_tracker import WandbTracker

        return WandbTracker(logger, directory, named)

    def tensorboard() -> Observer:
        from ldyn.tracking.tensorboard_tracker import TensorboardTracker

        return TensorboardTracker(directory)

    trackers: dict[str, dict[str, Callable[[], Observer]]] = {
        "wandb": {"wandb": wandb} if logger.mode != "disabled" else {},
        "tensorboard": {"tensorboard": tensorboard},
        "none": {},
    }
    return FanOut({"the console": console, **trackers[logger.kind]})
