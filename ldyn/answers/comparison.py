"""Two answers to one question, judged in both orders; answers to compare, read from samples.jsonl files.

A judge sees two answers in one order and prefers the first, the second or neither. Each comparison is judged twice,
with the answers exchanged. Two equal verdicts are the outcome; everything else is a tie. Where one of the verdicts
cannot be read, the comparison is *unjudged*: counted, never guessed.

A row of samples.jsonl needs ``example_id``, ``prompt`` and ``text``; ``stage``, ``split``, ``mode``, ``stopped``,
``n_tokens``, ``is_right`` and ``borrowed_from`` are used where they are present.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from ldyn.data.row_reading import RowFaults
from ldyn.data.tables import read_table
from ldyn.errors import DataError, expected_one_of

SAMPLES_FILE = "samples.jsonl"
REQUIRED = ("example_id", "prompt", "text")

Place = Literal["first", "second", "tie"]
Outcome = Literal["a", "b", "tie"]


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer as samples.jsonl has it; None where it is not known.

    stopped: whether it ended by itself. is_right: it states the fact asked for and no other value of it.
    borrows: it states the fact of another training question. n_tokens: EOS counts.
    token_ids: as sampled, where the answer was sampled in this process.
    """

    text: str
    stopped: bool | None = None
    is_right: bool | None = None
    borrows: bool | None = None
    n_tokens: int | None = None
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answers of ``a`` and ``b`` to one prompt. ``sample`` numbers several answers of one mode to one prompt."""

    split: str
    example_id: str
    mode: str
    sample: int
    prompt: str
    a: GivenAnswer
    b: GivenAnswer


@dataclass(frozen=True, slots=True)
class Verdict:
    """``winner`` is None where the judge's answer could not be read; ``said`` is that answer, or the scores."""

    winner: Place | None
    said: str = ""


class Judge(Protocol):
    """Prefers one of two answers."""

    name: str

    def compare(self, shown: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each, in order; a is the first answer. Raises an LdynError where it cannot be used."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A comparison with the verdicts on (a, b) and (b, a).

    preferences: the side that each of the two verdicts prefers. outcome: the side that both prefer, else a tie; None
    where a verdict could not be read. orders_disagree: whether the order of the answers made the difference.
    """

    comparison: Comparison
    forward: Verdict
    backward: Verdict

    @property
    def preferences(self) -> tuple[Outcome | None, Outcome | None]:
        return _FORWARD[self.forward.winner], _BACKWARD[self.backward.winner]

    @property
    def outcome(self) -> Outcome | None:
        first, second = self.preferences
        return None if first is None or second is None else first if first == second else "tie"

    @property
    def orders_disagree(self) -> bool:
        return self.outcome is not None and self.preferences[0] != self.preferences[1]


_FORWARD: dict[Place | None, Outcome | None] = {"first": "a", "second": "b", "tie": "tie", None: None}
_BACKWARD: dict[Place | None, Outcome | None] = {"first": "b", "second": "a", "tie": "tie", None: None}


def in_both_orders(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Each comparison as it is, then with its answers exchanged."""
    return [shown for one in comparisons for shown in (one, replace(one, a=one.b, b=one.a))]


def judge_comparisons(judge: Judge, comparisons: Sequence[Comparison]) -> list[Judgement]:
    """Ask the judge about every comparison in both orders, all at once, so that it can work in batches."""
    verdicts = judge.compare(in_both_orders(comparisons))
    return [Judgement(*one) for one in zip(comparisons, verdicts[::2], verdicts[1::2], strict=True)]


# --------------------------------------------------------------------------------------------------------------
# Answers to compare


@dataclass(frozen=True)
class AnswerSet:
    """All answers of one stage in one mode: (split, example id, number of the sample) -> (prompt, answer)."""

    name: str
    mode: str
    answers: Mapping[tuple[str, str, int], tuple[str, GivenAnswer]]


def read_answers(word: str, mode: str) -> AnswerSet:
    """The answers at ``word``: FILE, DIR (with samples.jsonl), or either with ``:STAGE``.

    Raises DataError where there are none, or those of several stages.
    """
    path, stage = _place(word)
    rows = _rows(path)
    stages = list(dict.fromkeys(str(row.get("stage", "")) for row in rows))
    if stage is None and len(stages) > 1:
        raise DataError(f"{path} has answers of {', '.join(stages)}; add one of them: {word}:{stages[-1]}.")
    if stage is not None and stage not in stages:
        raise DataError(f"{path} has no answers of {stage!r}; {expected_one_of(stage, stages)}.")
    rows = [row for row in rows if stage is None or str(row.get("stage", "")) == stage]
    modes = list(dict.fromkeys(str(row.get("mode", mode)) for row in rows))
    if mode not in modes:
        raise DataError(f"{word} has no {mode} answers; it has {', '.join(modes)}; set mode.")
    return answer_set(word, mode, [row for row in rows if str(row.get("mode", mode)) == mode])


def pair_answers(a: AnswerSet, b: AnswerSet) -> tuple[list[Comparison], dict[str, int]]:
    """Comparisons on the questions that both answer, in a's order, and how many answers only one of them has.

    Raises DataError where they share no question, or give one id to two prompts.
    """
    comparisons = []
    for (split, example_id, sample), (prompt, answer) in a.answers.items():
        if (split, example_id, sample) not in b.answers:
            continue
        other_prompt, other = b.answers[split, example_id, sample]
        if prompt.strip() != other_prompt.strip():
            raise DataError(f"{split} {example_id!r} is one question in {a.name} and another in {b.name}.")
        comparisons.append(Comparison(split, example_id, a.mode, sample, prompt, answer, other))
    if not comparisons:
        raise DataError(
            f"{a.name} and {b.name} answer no question in common (by split and example_id); expected answers to the "
            "same prompts: generate both with the same prompts file."
        )
    n = len(comparisons)
    return comparisons, {"only_a": len(a.answers) - n, "only_b": len(b.answers) - n}


def answer_set(name: str, mode: str, rows: Sequence[Mapping[str, Any]]) -> AnswerSet:
    """Rows of samples.jsonl, of one stage and in one mode, as answers to compare.

    Rows of the same question are its samples, numbered in the order of the file.
    """
    answers: dict[tuple[str, str, int], tuple[str, GivenAnswer]] = {}
    seen = Counter[tuple[str, str]]()
    for row in rows:
        question, right = (str(row.get("split", "")), row["example_id"]), row.get("is_right")
        borrows = None if right is None else row.get("borrowed_from") is not None
        answer = GivenAnswer(row["text"], row.get("stopped"), right, borrows, row.get("n_tokens"))
        answers[*question, seen[question]] = row["prompt"], answer
        seen[question] += 1
    return AnswerSet(name, mode, answers)


def _place(word: str) -> tuple[Path, str | None]:
    """The file and the stage; a name with a colon that exists is a path."""
    path, stage = Path(word), None
    if not path.exists() and ":" in word:
        head, _, stage = word.rpartition(":")
        path = Path(head)
    file = path / SAMPLES_FILE if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"There are no answers at {word} (looked for {file}); expected a samples.jsonl of `ldyn generate`, or the "
            "directory of a run, with :STAGE where there are several stages."
        )
    return file, stage


def _rows(path: Path) -> list[Mapping[str, Any]]:
    faults = RowFaults(path)
    rows = read_table(path, faults)
    faults.raise_if_any(rows)
    for number, row in rows.items():
        if missing := [name for name in REQUIRED if not isinstance(row.get(name), str)]:
            expected = f"expected rows with {', '.join(REQUIRED)}"
            raise DataError(f"{path}: row {number}: no text in {missing[0]!r}; {expected}.")
    return list(rows.values())
