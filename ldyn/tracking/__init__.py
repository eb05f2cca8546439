"""Progress of a run in the terminal, in Weights & Biases and in TensorBoard. Imports without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ldyn.tracking.observers import AllObservers, Observer, StagePast
from ldyn.tracking.settings import LoggerConfig

__all__ = ["LoggerConfig", "Observer", "StagePast", "make_observer"]


def make_observer(logger: LoggerConfig, directory: Path, experiment: str) -> Observer:
    """The console and the tracker of ``logger`` as one observer. Never raises for a tracker.

    ``directory`` is the run's, already holding config.yaml and manifest.json.
    """
    from ldyn.tracking.console import ProgressLines

    def wandb() -> Observer:
        from ldyn.tracking.wandb_tracker import WandbTracker

        return WandbTracker(logger, directory, experiment)

    def tensorboard() -> Observer:
        from ldyn.tracking.tensorboard_tracker import TensorboardTracker

        return TensorboardTracker(directory)

    makers: dict[str, Callable[[], Observer]] = {"the console": ProgressLines}
    if logger.kind == "tensorboard":
        makers["tensorboard"] = tensorboard
    elif logger.kind == "wandb" and logger.mode != "disabled":
        makers["wandb"] = wandb
    return AllObservers(makers)
