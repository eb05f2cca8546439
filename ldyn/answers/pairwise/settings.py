"""Which judges say whose answers win in a run. No torch here, so that configs validate quickly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Gt, MinLen

from ldyn.answers.api.settings import ApiConfig
from ldyn.answers.pairwise.named import API


@dataclass(frozen=True)
class WinsConfig:
    """The answers of every preference arm against those of the first arm, at every moment that both have kept.

    judges: by their names in `ldyn judge`; the first one's verdicts decide the claim, the others stand beside them.
    examples: at most so many questions of each split, drawn by the run's seed; None takes all that the data has.
    api: the endpoint of the judge "api". template: of the prompt of judges that are language models (None: our own).
    """

    judges: Annotated[tuple[str, ...], MinLen(1)] = ("oracle",)
    examples: Annotated[int, Gt(0)] | None = None
    api: ApiConfig | None = None
    template: Path | None = None

    def __post_init__(self) -> None:
        if API in self.judges and self.api is None:
            raise ValueError("judges has api, but there is no endpoint: set wins.api={model: NAME}")
        if len(set(self.judges)) < len(self.judges):
            raise ValueError(f"judges={list(self.judges)} names one judge twice")
