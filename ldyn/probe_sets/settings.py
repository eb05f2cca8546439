"""Settings of `ldyn probes`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from ldyn.answers.settings import API, ApiConfig, Names
from ldyn.data.sources import DatasetConfig
from ldyn.errors import ConfigError, expected_one_of
from ldyn.probe_sets.rephrase_texts import MOST_TRIES, WRITTEN
from ldyn.probes.families import FAMILIES

MAKEABLE = (*WRITTEN, *FAMILIES)
"""The probes that can be made; ``chosen`` and ``rejected`` come from the data."""


@dataclass(frozen=True)
class RephraserConfig:
    """Which model writes rephrases and human sentences.

    endpoint: where it is, if who is "api".
    """

    who: Literal["none", "api"] = "none"
    endpoint: ApiConfig | None = None
    temperature: float = 0.7
    tries: Annotated[int, Interval(ge=1, le=MOST_TRIES)] = 3


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    n_train, n_test: at most so many examples, drawn by the seed as `ldyn train` draws them.
    probes: which are made; None: all that can be with the models given.
    keep: whether further responses of the data are kept; else only prompt, chosen and rejected are used.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # also for the data set's settings

    dataset: DatasetConfig
    out: Path
    cache: Path
    seed: int = 0
    n_train: int = 500
    n_test: int = 500
    probes: Names | None = None
    keep: bool = False
    rephraser: RephraserConfig = RephraserConfig()

    def __post_init__(self) -> None:
        if faults := self._faults():
            raise ConfigError(faults)

    @property
    def constructed(self) -> tuple[str, ...]:
        """The probes to be made from the pairs alone."""
        return tuple(probe for probe in FAMILIES if self._is_wanted(probe))

    @property
    def written(self) -> tuple[str, ...]:
        """The probes to be written by the rephraser."""
        return tuple(probe for probe in WRITTEN if self._is_wanted(probe)) if self.rephraser.who == API else ()

    def _is_wanted(self, probe: str) -> bool:
        return self.probes is None or probe in self.probes

    def _faults(self) -> list[str]:
        asked, has_rephraser = self.probes or (), self.rephraser.who == API
        unknown = [probe for probe in asked if probe not in MAKEABLE]
        faults = [f"only: found {probe!r}; {expected_one_of(probe, MAKEABLE)}" for probe in unknown]
        if not has_rephraser and (unmade := [probe for probe in asked if probe in WRITTEN]):
            faults.append(f"only={unmade[0]}: found no rephraser, expected rephraser.who={API}")
        if has_rephraser and not self.written:
            faults.append("rephraser.who: has no effect, as none of its probes is among those asked for")
        return faults
