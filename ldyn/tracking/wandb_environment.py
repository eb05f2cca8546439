"""What wandb takes from the environment alone; what the user has set stays as it is."""

from __future__ import annotations

import os
from pathlib import Path


def keep_to_itself() -> list[str]:
    """No talk in the terminal, no reports of errors and timings to wandb's makers; returns the variables set."""
    return _set_where_unset({"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"})


def keep_files_in(directory: Path) -> list[str]:
    """Say where wandb keeps staging files and caches (else the user's home); returns the variables that were set."""
    return _set_where_unset(dict.fromkeys(("WANDB_DATA_DIR", "WANDB_CACHE_DIR"), str(directory.resolve())))


def unset(variables: list[str]) -> None:
    """Take back what was set."""
    for variable in variables:
        os.environ.pop(variable, None)


def _set_where_unset(values: dict[str, str]) -> list[str]:
    absent = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(absent)
    return list(absent)
