"""What all tests share: no network, one thread, and where the real text lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false", MPLBACKEND="Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; tiny models gain nothing from more

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "tracking"))  # wandb_files.py is no test module and belongs to no package


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder with real text and logs, which are not part of the project; tests that need it skip without it."""
    folder = Path(os.environ.get("LDYN_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real text at {folder}; set LDYN_SHARED to the folder that holds it")
    return folder
