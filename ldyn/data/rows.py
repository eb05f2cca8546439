"""From raw rows to PreferenceData, by the same rules for every source of real text.

Each rule is counted by split and reason:
- an empty (or blank) response is dropped; so is a training row whose prompt, chosen or rejected is empty, and a test
  row whose prompt or chosen is;
- a training row whose chosen equals its rejected teaches nothing and is dropped;
- of rows with the same question only the first is kept, so that "another question" is another question;
- a test row whose question occurs in the training rows is dropped. Without a test split, questions are held out from
  the training rows instead, drawn by the seed before anything else.

Two questions are the same if they differ only in case, spacing and Unicode form (``question_key``). The pairs are drawn
without replacement by the seed, or are the first rows as in the paper. Training rows that become no pair
feed the corpus: see ``ldyn.data.corpus``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ldyn.data.corpus import corpus_documents
from ldyn.data.layouts import Row
from ldyn.data.seeding import draw, seeded_random
from ldyn.data.text import normal_response, question_key
from ldyn.errors import DataError
from ldyn.records import MissingResponses, PreferenceData, PreferencePair, ProbeExample

AUTOMATIC: Literal["auto"] = "auto"
Selection = Literal["drawn", "first"]
_MOST_HELD_OUT = 500


@dataclass(frozen=True)
class RawRows:
    """What a source read: rows of both splits, what was counted and what is missing.

    test: None where the source has no test split. version: see PreferenceData.
    """

    name: str
    train: Sequence[Row]
    test: Sequence[Row] | None
    counts: Counter[str]
    missing: Sequence[MissingResponses] = ()
    version: str = ""


@dataclass(frozen=True)
class SplitRules:
    """Which rows become what.

    n_train: at most so many training pairs; n_corpus: at most so many documents for a base (None: all).
    selection: whether the pairs are drawn by the seed or are the first rows.
    n_held_out: how many questions are held out where there is no test split; "auto": one in ten, at most 500.
    """

    n_train: int | None
    n_corpus: int | None
    selection: Selection
    n_held_out: int | Literal["auto"]


def assemble(raw: RawRows, rules: SplitRules, *, separator: str, seed: int) -> PreferenceData:
    """Applies the rules above.

    Raises DataError if no training pair is left, or if there are test rows but none of them is left.
    """
    counts = Counter(raw.counts)
    train = _clean("train", raw.train, ("chosen", "rejected"), counts)
    if raw.test is None:
        test, train = _held_out(train, rules.n_held_out, seed, counts)
    else:
        test = _unseen(_clean("test", raw.test, ("chosen",), counts), train, counts)
    _check_something_is_left(raw, train, test, counts)
    paired, rest = _selected(train, rules, seed)
    pairs, examples = tuple(map(_pair, paired)), tuple(map(_example, test))
    others = [(row.prompt, _answers(row)) for row in rest]
    documents = corpus_documents(pairs, examples, others, separator, counts)
    corpus, _ = draw(documents, rules.n_corpus, seeded_random(seed, "corpus"))
    counts.update({"pairs": len(paired), "corpus.documents": len(corpus)})
    return PreferenceData(
        name=raw.name,
        pairs=pairs,
        probes={"train": tuple(map(_example, paired)), "test": examples},
        corpus=tuple(corpus),
        counts={reason: number for reason, number in counts.items() if number},
        missing=tuple(raw.missing),
        version=raw.version,
    )


def _held_out(
    rows: Sequence[Row], number: int | Literal["auto"], seed: int, counts: Counter[str]
) -> tuple[list[Row], list[Row]]:
    """Questions that are not trained on, and the others."""
    wanted = min(len(rows) // 10, _MOST_HELD_OUT) if number == AUTOMATIC else int(number)
    held_out, others = draw(rows, wanted, seeded_random(seed, "held out"))
    counts["test.held_out"] = len(held_out)
    return held_out, others


def _selected(rows: Sequence[Row], rules: SplitRules, seed: int) -> tuple[list[Row], list[Row]]:
    if rules.selection == "drawn":
        return draw(rows, rules.n_train, seeded_random(seed, "pairs"))
    number = len(rows) if rules.n_train is None else rules.n_train
    return list(rows[:number]), list(rows[number:])


def _pair(row: Row) -> PreferencePair:
    return PreferencePair(row.row_id, row.prompt, row.responses["chosen"], row.responses["rejected"], row.turns)


def _example(row: Row) -> ProbeExample:
    return ProbeExample(row.row_id, row.prompt, dict(row.responses), row.turns, row.sampled)


def _clean(split: str, rows: Iterable[Row], required: Sequence[str], counts: Counter[str]) -> list[Row]:
    seen: set[str] = set()
    kept: list[Row] = []
    for row in rows:
        counts.update(f"{split}.empty_response.{key}" for key, text in row.responses.items() if not text.strip())
        filled = replace(row, responses={key: text for key, text in row.responses.items() if text.strip()})
        fault = _fault(filled, required, seen)
        if fault:
            counts[f"{split}.dropped_{fault}"] += 1
        else:
            seen.add(question_key(row.prompt))
            kept.append(filled)
    return kept


def _fault(row: Row, required: Sequence[str], seen: set[str]) -> str | None:
    """Why a row cannot be used, or None."""
    if not row.prompt.strip():
        return "empty_prompt"
    for key in required:
        if key not in row.responses:
            return f"empty_{key}"
    answers = [normal_response(row.responses[key]) for key in required]
    if len(answers) == 2 and answers[0] == answers[1]:
        return "chosen_equals_rejected"
    return "repeated_prompt" if question_key(row.prompt) in seen else None


def _unseen(test: Sequence[Row], train: Sequence[Row], counts: Counter[str]) -> list[Row]:
    trained = {question_key(row.prompt) for row in train}
    kept = [row for row in test if question_key(row.prompt) not in trained]
    counts["test.dropped_prompt_in_train"] += len(test) - len(kept)
    return kept


def _answers(row: Row) -> tuple[str, ...]:
    return tuple(row.responses.get(key, "") for key in ("chosen", "rejected"))


def _check_something_is_left(raw: RawRows, train: Sequence[Row], test: Sequence[Row], counts: Counter[str]) -> None:
    found = ", ".join(f"{reason}: {number}" for reason, number in sorted(counts.items()) if number) or "no row"
    if not train:
        raise DataError(
            f"{raw.name}: no training pair is left (found {found}); expected rows with a prompt, a chosen and a "
            "different rejected answer; correct the rows, or set dataset.path to other ones."
        )
    if raw.test and not test:
        raise DataError(
            f"{raw.name}: no test question is left (found {found}); expected questions that are not in the training "
            "rows; hold some out, or read the training file alone."
        )
