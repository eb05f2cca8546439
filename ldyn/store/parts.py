"""Parts: one file for each probe step, in one directory for each stage: each is written atomically and can be dropped.

    <root>/00-sft/00000000.parquet     the probe step before the first update of the first stage
    <root>/00-sft/00000040.parquet
    <root>/01-dpo/...

The number before a stage's name is its place in the order in which stages began.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ldyn.errors import RunDirectoryError
from ldyn.store.files import explained

_STAGE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Parts:
    """The parts under one root directory, which need not exist yet."""

    def __init__(self, root: Path):
        self.root = root

    def stage_directories(self) -> list[Path]:
        """The directories of the stages begun so far, in the order in which they began."""
        return sorted(self.root.glob("[0-9]*-*"), key=lambda entry: int(entry.name.split("-", 1)[0]))

    def stage_directory(self, stage: str) -> Path:
        """The directory of ``stage``; the next in order, not made yet, if it has none."""
        if not _STAGE_NAME.fullmatch(stage):
            allowed = "it may have letters, digits, '_', '-' and '.'"
            raise RunDirectoryError(f"The stage name {stage!r} cannot name a directory. Rename it; {allowed}.")
        directories = self.stage_directories()
        known = next((directory for directory in directories if stage_of(directory) == stage), None)
        return known or self.root / f"{len(directories):02d}-{stage}"

    def path(self, stage: str, step: int) -> Path:
        """Where the part of a probe step is, or will be."""
        return self.stage_directory(stage) / f"{step:08d}.parquet"

    def steps(self, stage: str) -> list[int]:
        """The steps of ``stage`` that have a part, ascending; empty for a stage that has none."""
        return [int(part.stem) for part in part_files(self.stage_directory(stage))]

    def discard_after(self, stage: str, step: int) -> None:
        """Drop the parts of ``stage`` after ``step`` (-1: its directory) and all stages begun after it.

        A stage that has nothing stored is left as it is. Safe to repeat when killed.
        """
        directories = self.stage_directories()
        place = next((i for i, directory in enumerate(directories) if stage_of(directory) == stage), None)
        if place is None:
            return
        with explained(directories[place]):
            for directory in reversed(directories[place + 1 :]):
                shutil.rmtree(directory)
            if step < 0:
                shutil.rmtree(directories[place])
                return
            for part in reversed(part_files(directories[place])):
                if int(part.stem) > step:
                    part.unlink()


def part_files(stage_directory: Path) -> list[Path]:
    """The parts of one stage by ascending step; what an interrupted write left is not among them."""
    return sorted(stage_directory.glob("[0-9]*.parquet"), key=lambda entry: int(entry.stem))


def stage_of(directory: Path) -> str:
    """The name of the stage whose parts are in ``directory``."""
    return directory.name.split("-", 1)[1]
