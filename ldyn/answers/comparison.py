"""Two answers to one question, judged in both orders; answers to compare, read from samples.jsonl files.

A judge sees two answers in one order and prefers the first, the second or neither. Each comparison is judged twice,
with the answers exchanged. Two equal verdicts are the outcome; everything else is a tie. Where one of the verdicts
cannot be read, the comparison is *unjudged*: counted, never guessed.

A row of samples.jsonl needs ``example_id``, ``prompt`` and ``text``; ``stage``, ``split``, ``mode``, ``stopped``,
``n_tokens``, ``is_right`` and ``borrowed_from`` are used where they are present.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

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

    @property
    def question(self) -> tuple[str, str]:
        """The observation: several samples of one question are not independent."""
        return self.split, self.example_id


@dataclass(frozen=True, slots=True)
class ShownPair:
    """What a judge sees; it does not know which model gave which answer."""

    example_id: str
    prompt: str
    first: GivenAnswer
    second: GivenAnswer


@dataclass(frozen=True, slots=True)
class Verdict:
    """``winner`` is None where the judge's answer could not be read; ``said`` is that answer, or the scores."""

    winner: Place | None
    said: str = ""


class Judge(Protocol):
    """Prefers one of two answers."""

    @property
    def name(self) -> str:
        """How results call the judge."""

    def compare(self, pairs: Sequence[ShownPair]) -> list[Verdict]:
        """One verdict for each pair, in order. Raises an LdynError where the judge cannot be used."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A comparison with the verdicts on (a, b) and (b, a); ``outcome`` is None where one of them could not be read."""

    comparison: Comparison
    forward: Verdict
    backward: Verdict

    @property
    def outcome(self) -> Outcome | None:
        """The side that both verdicts prefer, else a tie."""
        if self.forward.winner is None or self.backward.winner is None:
            return None
        first, second = self.preferences
        return first if first == second and first is not None else "tie"

    @property
    def preferences(self) -> tuple[Outcome | None, Outcome | None]:
        """The side that each of the two verdicts prefers."""
        return _preferred(self.forward.winner, "a", "b"), _preferred(self.backward.winner, "b", "a")

    @property
    def orders_disagree(self) -> bool:
        """Whether the order of the answers made the difference."""
        return self.outcome is not None and self.preferences[0] != self.preferences[1]


def _preferred(winner: Place | None, first: Outcome, second: Outcome) -> Outcome | None:
    names: dict[Place, Outcome] = {"first": first, "second": second, "tie": "tie"}
    return None if winner is None else names[winner]


def shown_pairs(comparisons: Sequence[Comparison]) -> list[ShownPair]:
    """Each comparison twice: a first, then b first."""
    orders = [(one, answers) for one in comparisons for answers in ((one.a, one.b), (one.b, one.a))]
    return [ShownPair(one.example_id, one.prompt, *answers) for one, answers in orders]


def judge_comparisons(judge: Judge, comparisons: Sequence[Comparison]) -> list[Judgement]:
    """Ask the judge about every comparison in both orders, all at once, so that it can work in batches."""
    verdicts = judge.compare(shown_pairs(comparisons))
    return [Judgement(*one) for one in zip(comparisons, verdicts[::2], verdicts[1::2], strict=True)]


# --------------------------------------------------------------------------------------------------------------
# Answers to compare

Key = tuple[str, str, int]
"""(split, example id, number of the sample)."""


@dataclass(frozen=True)
class AnswerSet:
    """All answers of one stage in one mode. ``prompts`` and ``answers`` have the same keys."""

    name: str
    mode: str
    prompts: Mapping[Key, str]
    answers: Mapping[Key, GivenAnswer]


def read_answers(word: str, mode: str) -> AnswerSet:
    """The answers at ``word``: FILE, DIR (with samples.jsonl), or either with ``:STAGE``.

    Raises DataError where there are none, or those of several stages.
    """
    path, stage = _place(word)
    rows = _rows(path)
    stages = list(dict.fromkeys(str(row.get("stage", "")) for row in rows))
    if stage is None and len(stages) > 1:
        raise DataError(f"{path} has answers of {', '.join(stages)}; say which: {word}:{stages[-1]}.")
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
    shared = [key for key in a.answers if key in b.answers]
    if not shared:
        raise DataError(
            f"{a.name} and {b.name} answer no question in common (by split and example_id); expected answers to the "
            "same prompts: generate both with the same prompts file."
        )
    for key in shared:
        if a.prompts[key].strip() != b.prompts[key].strip():
            raise DataError(f"{key[0]} {key[1]!r} is one question in {a.name} and another in {b.name}.")
    comparisons = [
        Comparison(key[0], key[1], a.mode, key[2], a.prompts[key], a.answers[key], b.answers[key]) for key in shared
    ]
    return comparisons, {"only_a": len(a.answers) - len(shared), "only_b": len(b.answers) - len(shared)}


def _place(word: str) -> tuple[Path, str | None]:
    """The file and the stage; a name with a colon that exists is a path."""
    path = Path(word)
    head, _, stage = word.rpartition(":")
    named = None
    if not path.exists() and head:
        path, named = Path(head), stage
    file = path / SAMPLES_FILE if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"There are no answers at {word} (looked for {file}); expected a samples.jsonl of `ldyn generate`, or the "
            "directory of a run, with :STAGE where there are several stages."
        )
    return file, named


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}); expected one JSON object a line.") from error
    rows = [_row(line, f"{path}: line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise DataError(f"{path} has no row; expected rows with {', '.join(REQUIRED)}.")
    return rows


def _row(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON ({error}); expected an object with {', '.join(REQUIRED)}.") from error
    missing = [name for name in REQUIRED if not isinstance(row, dict) or not isinstance(row.get(name), str)]
    if missing:
        raise DataError(f"{place}: no text in {missing[0]!r}; expected an object with {', '.join(REQUIRED)}.")
    return dict(row)


def answer_set(name: str, mode: str, rows: Sequence[Mapping[str, Any]]) -> AnswerSet:
    """Rows of samples.jsonl, of one stage and in one mode, as answers to compare.

    Rows of the same question are its samples, numbered in the order of the file.
    """
    prompts: dict[Key, str] = {}
    answers: dict[Key, GivenAnswer] = {}
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        question = str(row.get("split", "")), row["example_id"]
        number = seen[question] = seen.get(question, -1) + 1
        right = row.get("is_right")
        borrows = None if right is None else row.get("borrowed_from") is not None
        prompts[*question, number] = row["prompt"]
        answers[*question, number] = GivenAnswer(row["text"], row.get("stopped"), right, borrows, row.get("n_tokens"))
    return AnswerSet(name, mode, prompts, answers)
