"""Settings of `ldyn probes`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ldyn.answers.settings import ApiConfig, Device, Names
from ldyn.data.sources import DatasetConfig
from ldyn.errors import ConfigError, expected_one_of
from ldyn.probe_sets.rephrase_texts import MOST_TRIES, WRITTEN
from ldyn.probes.families import FAMILIES

MAKEABLE = (*WRITTEN, *FAMILIES)
"""The probes that can be made; ``chosen`` and ``rejected`` come from the data."""

NOBODY, API, MODEL = "none", "api", "model:"


@dataclass(frozen=True)
class RephraserConfig:
    """Which model writes rephrases and human sentences.

    who: "none", "api" (``endpoint`` says where) or "model:" and a name, as in ``one_model``.
    templates: a directory with prompts of the user's: semantic.txt, format.txt, sentence.txt.
    """

    who: str = NOBODY
    endpoint: ApiConfig | None = None
    temperature: float = 0.7
    tries: int = 3
    templates: Path | None = None


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    n_train, n_test: at most so many examples, drawn by the seed as `ldyn train` draws them.
    probes: which are made; None: all that can be with the models given.
    keep: whether further responses of the data are kept; else only prompt, chosen and rejected are used.
    """

    dataset: DatasetConfig
    out: Path
    cache: Path
    seed: int = 0
    n_train: int = 500
    n_test: int = 500
    probes: Names | None = None
    keep: bool = False
    rephraser: RephraserConfig = RephraserConfig()
    device: Device = "auto"

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
        return () if self.rephraser.who == NOBODY else tuple(probe for probe in WRITTEN if self._is_wanted(probe))

    def _is_wanted(self, probe: str) -> bool:
        return self.probes is None or probe in self.probes

    def _faults(self) -> list[str]:
        who, tries = self.rephraser.who, self.rephraser.tries
        unknown = [probe for probe in self.probes or () if probe not in MAKEABLE]
        faults = [f"only: found {probe!r}; {expected_one_of(probe, MAKEABLE)}" for probe in unknown]
        if who not in (NOBODY, API) and not (who.startswith(MODEL) and who.removeprefix(MODEL).strip()):
            faults.append(f"rephraser.who: found {who!r}, expected {NOBODY}, {API} or {MODEL}NAME")
        if not 1 <= tries <= MOST_TRIES:
            faults.append(f"rephraser.tries: found {tries}, expected 1 to {MOST_TRIES}")
        return [*faults, *self._makers_missing()]

    def _makers_missing(self) -> list[str]:
        """Requested probes without a model to make them, and models without a probe to make."""
        asked = self.probes or ()
        faults = []
        if self.rephraser.who == NOBODY and (unmade := [probe for probe in asked if probe in WRITTEN]):
            faults.append(f"only={unmade[0]}: found no rephraser, expected rephraser.who={API} or {MODEL}NAME")
        if self.rephraser.who != NOBODY and not self.written:
            faults.append("rephraser.who: has no effect, as none of its probes is among those asked for")
        return faults
