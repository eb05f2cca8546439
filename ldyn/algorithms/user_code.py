"""Losses and judges of the user's own, which are named in a configuration."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType


def import_user_module(name: str) -> ModuleType:
    """Import a module as any is, or else from the current directory, which a console script does not look into.

    Its code runs: name only what you trust. Raises ImportError where it is not found, and whatever it raises itself.
    """
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)
