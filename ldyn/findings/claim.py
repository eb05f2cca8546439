"""What a claim is, what measuring it returns, and how that becomes a verdict with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ldyn.findings.curves import Evidence
from ldyn.findings.parts import Part, deciding_parts, joint_verdict
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, StageInfo


@dataclass(frozen=True)
class Measurement:
    """The parts of one claim in one run; a table shows the numbers of the first part.

    stages: those it was measured over; they must have reached their planned end. Empty for a study.
    seeds: how many seeds stand behind the numbers.
    note: what a reader should know besides the parts.
    controls: arm -> the same measured in a control arm; it can make the verdict inconclusive, nothing else.
    left_open: reasons why the claim is inconclusive whatever the parts say.
    """

    parts: Sequence[Part]
    stages: tuple[StageInfo, ...]
    note: str = ""
    controls: Mapping[str, Measurement] = field(default_factory=dict)
    left_open: Sequence[str] = ()
    seeds: int = 1


Measure = Callable[[Evidence], Measurement | None]


@dataclass(frozen=True)
class Claim:
    """text: the claim; number: what the estimate is, with its unit; paper: what the paper has.

    ``measure`` returns None where the run lacks the stages or probes; its docstring states statistic and rule.
    """

    text: str
    number: str
    paper: str
    measure: Measure


CLAIMS: dict[str, Claim] = {}
"""Every claim by its id, filled by ``claim`` below."""


def claim(name: str, text: str, number: str, paper: str) -> Callable[[Measure], Measure]:
    """Register the decorated function as the measurement of claim ``name``."""

    def register(measure: Measure) -> Measure:
        CLAIMS[name] = Claim(text, number, paper, measure)
        return measure

    return register


def contradict(parts: Sequence[Part], others: Sequence[Part]) -> bool:
    """Whether the one holds and the other fails."""
    return {joint_verdict(parts), joint_verdict(others)} == {HOLDS, FAILS}


def verdict_and_reason(measurement: Measurement, shortfalls: Sequence[str]) -> tuple[str, str]:
    """The verdict and its reason, which names the deciding parts with their numbers.

    ``shortfalls``: stages that did not reach their planned end; they make the claim inconclusive.
    """
    verdict = joint_verdict(measurement.parts)
    sentences = [sentence_on(measurement.parts)]
    for arm, control in measurement.controls.items():
        of_control = f"{joint_verdict(control.parts)}, {_listed(deciding_parts(control.parts))}"
        sentences.append(f"Control {arm} ({control.note}): {of_control}")
        if contradict(measurement.parts, control.parts):
            verdict = INCONCLUSIVE
            sentences.append("Inconclusive because the two arms contradict each other")
    left_open = [*measurement.left_open, *shortfalls]
    if left_open:
        verdict = INCONCLUSIVE
        sentences.append(inconclusive(left_open))
    return verdict, joined([*sentences, measurement.note])


def sentence_on(parts: Sequence[Part]) -> str:
    """The parts that make the joint verdict, with their numbers."""
    verdict, deciding = joint_verdict(parts), deciding_parts(parts)
    if all(part.is_bare_mean for part in parts):
        count = sum(part.is_on_the_claimed_side for part in parts)
        known = "Only means over the examples are known, so there is no interval"
        return f"{known}; {count} of {len(parts)} on the claimed side: {_listed(parts)}"
    if len(parts) == 1:
        return str(parts[0])
    count, total = len(deciding), len(parts)
    how_many = f"{count} of {total} parts" if count < total else "Both parts" if total == 2 else f"All {total} parts"
    verb = {
        HOLDS: "holds" if count == 1 else "hold",
        FAILS: "fails" if count == 1 else "fail",
        INCONCLUSIVE: "is undecided" if count == 1 else "are undecided",
    }[verdict]
    return f"{how_many} {verb}: {_listed(deciding)}"


def inconclusive(reasons: Sequence[str]) -> str:
    """The sentence that gives the reasons for no verdict."""
    return f"Inconclusive because {'; '.join(reasons)}"


def joined(sentences: Sequence[str]) -> str:
    """Sentences as one text, each with a capital and a full stop; empty ones are skipped."""
    return ". ".join(sentence[:1].upper() + sentence[1:] for sentence in sentences if sentence) + "."


def _listed(parts: Sequence[Part]) -> str:
    return "; ".join(map(str, parts))
