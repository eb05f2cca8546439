"""What a claim's function hands back, and how it becomes a verdict with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ldyn.findings.parts import Part, deciding_parts, joint_verdict
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, StageInfo


@dataclass(frozen=True)
class Measurement:
    """The parts of one claim in one run; the first one's numbers stand for the claim in a table.

    stages: those it was measured over; they must have reached their planned end. Empty for a study.
    seeds: how many seeds stand behind the numbers.
    note: what a reader should know besides the parts.
    controls: arm -> the same measured in a control of the experiment; it may unsettle the verdict, not make it.
    left_open: reasons, in words, why no verdict can be given whatever the parts say.
    """

    parts: Sequence[Part]
    stages: tuple[StageInfo, ...]
    note: str = ""
    controls: Mapping[str, Measurement] = field(default_factory=dict)
    left_open: Sequence[str] = ()
    seeds: int = 1


def contradict(parts: Sequence[Part], others: Sequence[Part]) -> bool:
    """Whether the one holds and the other fails."""
    return {joint_verdict(parts), joint_verdict(others)} == {HOLDS, FAILS}


def verdict_and_reason(measurement: Measurement, shortfalls: Sequence[str]) -> tuple[str, str]:
    """The verdict and why, in words that name the deciding parts with their numbers.

    ``shortfalls``: stages that did not reach their planned end; they leave the verdict open.
    """
    verdict = joint_verdict(measurement.parts)
    sentences = [sentence_on(measurement.parts)]
    for arm, control in measurement.controls.items():
        name = f"{arm} ({control.note})"
        sentences.append(f"Control {name}: {joint_verdict(control.parts)}, {_listed(deciding_parts(control.parts))}")
        if contradict(measurement.parts, control.parts):
            verdict = INCONCLUSIVE
            sentences.append("The two arms contradict each other, so it is left open")
    left_open = [*measurement.left_open, *shortfalls]
    if left_open:
        verdict = INCONCLUSIVE
        sentences.append(f"Left open, as {'; '.join(left_open)}")
    return verdict, ". ".join([*sentences, *([_capital(measurement.note)] if measurement.note else [])]) + "."


def sentence_on(parts: Sequence[Part]) -> str:
    """What the parts say, in words: those that make the joint verdict, with their numbers."""
    verdict, deciding = joint_verdict(parts), deciding_parts(parts)
    if all(part.is_bare_mean for part in parts):
        count = sum(part.is_on_the_claimed_side for part in parts)
        known = "Only means over the examples are known, so there is no interval"
        return f"{known}; {count} of {len(parts)} on the claimed side: {_listed(parts)}"
    if len(parts) == 1:
        return _capital(str(parts[0]))
    how_many = f"all {len(parts)} parts" if len(deciding) == len(parts) else f"{len(deciding)} of {len(parts)} parts"
    head = {HOLDS: "It holds in", FAILS: "It fails in", INCONCLUSIVE: "Undecided in"}[verdict]
    return f"{head} {how_many}: {_listed(deciding)}"


def _listed(parts: Sequence[Part]) -> str:
    return "; ".join(map(str, parts))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
