"""Answers to compare, from samples.jsonl files: of `ldyn generate`, of a run, of anyone.

A row needs ``example_id``, ``prompt`` and ``text``; ``stage``, ``split``, ``mode``, ``stopped``, ``n_tokens``,
``is_right`` and ``borrowed_from`` are used where they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldyn.answers.pairwise.contest import Contest, GivenAnswer
from ldyn.errors import DataError, expected_one_of

SAMPLES_FILE = "samples.jsonl"
REQUIRED = ("example_id", "prompt", "text")
_SHOWN = 3

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
    """The answers that ``word`` means: FILE, DIR (with samples.jsonl), or either with ``:STAGE``.

    Raises DataError where it means nothing, or more than one stage.
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
        raise DataError(f"{word} has no {mode} answers; it has {', '.join(modes)} (--mode).")
    return answer_set(word, mode, [row for row in rows if str(row.get("mode", mode)) == mode])


def contests_between(a: AnswerSet, b: AnswerSet) -> tuple[list[Contest], dict[str, int]]:
    """The contests on the questions that both answer, in a's order, and how many answers only one of them has.

    Raises DataError where they share no question, or give one id to two prompts.
    """
    shared = [key for key in a.answers if key in b.answers]
    if not shared:
        raise DataError(
            f"{a.name} and {b.name} answer no question in common (by split and example_id); expected answers to one "
            "prompt set: generate both with the same --prompts."
        )
    for key in shared:
        if a.prompts[key].strip() != b.prompts[key].strip():
            raise DataError(f"{key[0]} {key[1]!r} is one question in {a.name} and another in {b.name}.")
    contests = [
        Contest(key[0], key[1], a.mode, key[2], a.prompts[key], a.answers[key], b.answers[key]) for key in shared
    ]
    alone = {"only_a": len(a.answers) - len(shared), "only_b": len(b.answers) - len(shared)}
    return contests, alone


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
    rows, faults = [], []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}); expected one JSON object a line.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row, fault = _row(line)
        if fault:
            faults.append(f"line {number}: {fault}")
        else:
            rows.append(row)
    if faults or not rows:
        shown = "; ".join(faults[:_SHOWN]) or "no row"
        raise DataError(f"{path} cannot be used: {shown}. Expected rows with {', '.join(REQUIRED)}.")
    return rows


def _row(line: str) -> tuple[dict[str, Any], str]:
    """The row, or what is wrong with it."""
    try:
        row = json.loads(line)
    except ValueError as error:
        return {}, f"not JSON ({error})"
    if not isinstance(row, dict):
        return {}, f"a {type(row).__name__}, no object"
    missing = [name for name in REQUIRED if not isinstance(row.get(name), str)]
    return row, f"no text in {missing[0]!r}" if missing else ""


def answer_set(name: str, mode: str, rows: Sequence[Mapping[str, Any]]) -> AnswerSet:
    """Rows of samples.jsonl, of one stage and in one mode, as answers to compare."""
    prompts: dict[Key, str] = {}
    answers: dict[Key, GivenAnswer] = {}
    for key, row in _keyed(rows):
        prompts[key], answers[key] = row["prompt"], _answer(row)
    return AnswerSet(name, mode, prompts, answers)


def _keyed(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """Rows of the same question are its samples, numbered in the order of the file."""
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        question = str(row.get("split", "")), row["example_id"]
        seen[question] = seen.get(question, -1) + 1
        yield (*question, seen[question]), row


def _answer(row: Mapping[str, Any]) -> GivenAnswer:
    right = row.get("is_right")
    borrows = None if right is None else row.get("borrowed_from") is not None
    return GivenAnswer(row["text"], row.get("stopped"), right, borrows, row.get("n_tokens"))
