"""Which responses a stage trains on. Imports without torch, as a configuration is checked before that is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

Side = Literal["chosen", "rejected"]


@dataclass(frozen=True)
class ResponsesConfig:
    """Which responses a stage trains on: those of the data, or answers drawn from the weights that it starts from.

    sampled: the sides that are drawn; the others are the data's. [rejected] is SPIN, [chosen, rejected] on-policy DPO.
    candidates: answers drawn for each prompt; the judge's best becomes chosen, its worst rejected.
    judge: see ldyn.answers.judges; none is needed where only rejected is drawn and there is one candidate.
    max_new_tokens, temperature: how answers are drawn.
    """

    sampled: tuple[Side, ...] = ()
    candidates: Annotated[int, Ge(1)] = 1
    judge: str | None = None
    max_new_tokens: Annotated[int, Gt(0)] = 48
    temperature: Annotated[float, Gt(0)] = 1.0

    def __post_init__(self) -> None:
        if self.judge is None and ("chosen" in self.sampled or self.candidates > 1):
            raise ValueError("a judge is needed to choose among drawn answers; set judge (facts in the microworld)")
        if {"chosen", "rejected"} <= set(self.sampled) and self.candidates < 2:
            raise ValueError(f"candidates is {self.candidates}; to draw both sides at least 2 are needed")
