"""What other libraries say while ldyn works."""

from __future__ import annotations

import logging
import warnings

import datasets
import transformers

from ldyn.processes.group import is_main_process


def quiet_libraries() -> None:
    """No progress bars but ours: theirs appear for every file and in logs, too. The main process speaks for all."""
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    if not is_main_process():
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
