"""What each study is configured by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from ldyn.config.schema import StudyConfig
from ldyn.theory.settings import ImagesConfig, ToyConfig


@dataclass(frozen=True)
class RepeatedStudy(StudyConfig):
    """A study that repeats itself under ``seeds`` seeds, from ``seed`` on."""

    seeds: Annotated[int, Ge(1)]

    @property
    def all_seeds(self) -> Sequence[int]:
        """Every seed it uses."""
        return range(self.seed, self.seed + self.seeds)


@dataclass(frozen=True)
class ToyStudy(RepeatedStudy):
    """Everything that `ldyn toy` needs."""

    toy: ToyConfig


@dataclass(frozen=True)
class ImagesStudy(RepeatedStudy):
    """Everything that `ldyn images` needs."""

    images: ImagesConfig
