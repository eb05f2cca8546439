"""Which tracker a run reports to, beside the console and its own directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LoggerConfig:
    """Weights & Biases, TensorBoard or none.

    All but ``kind`` is for wandb only. Offline needs neither network nor account; for "online" the key comes from
    `wandb login` or WANDB_API_KEY, never from a config.
    ``group`` and ``run_name``: what the run is filed under; without them the name of the sweep's directory and what
    differs between its jobs, or of a single run the experiment and the run.
    """

    kind: Literal["wandb", "tensorboard", "none"] = "none"
    mode: Literal["online", "offline", "disabled"] = "offline"
    project: str = "ldyn"
    entity: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    run_name: str | None = None
