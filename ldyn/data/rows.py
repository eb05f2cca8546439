"""From raw rows to PreferenceData, by the same rules for every source of real text.

Each rule is counted by split and reason:
- an empty (or blank) response is dropped; so is a training row whose prompt, chosen or rejected is empty, and a test
  row whose prompt or chosen is;
- a training row whose chosen equals its rejected teaches nothing and is dropped;
- of rows with the same question only the first is kept, so that "another question" is another question;
- a test row whose question occurs in the training rows is dropped. Without a test split, questions are held out from
  the training rows instead, drawn by the seed before anything else.

Two questions are the same if they differ only in case, spacing and Unicode form (``question_key``). The pairs are drawn
without replacement by the seed, or are the first rows as in the paper.

The corpus of a from-scratch base is fluent text without anything that is later trained on or observed:
- of a training pair its question only, never one of its answers, so that y+ is unlearned when finetuning starts;
- of training rows that are not pairs the question with each of its answers;
- no row whose question is a pair's or a test question's, and no document one of whose turns is the chosen or rejected
  answer of a pair or of a test question: in HH one row's prompt may continue the dialogue of another row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from ldyn.data.columns import Columns, column_faults
from ldyn.data.encoder import EncodingConfig
from ldyn.data.seeding import draw, seeded_random
from ldyn.data.text import normal_prompt, normal_response, question_key
from ldyn.errors import DataError
from ldyn.records import MissingResponses, PreferenceData, PreferencePair, ProbeExample

AUTOMATIC: Literal["auto"] = "auto"
_MOST_HELD_OUT = 500
_ANSWER_CUE = "Assistant:"
_SPEAKER = re.compile(r"(?:^|\n)\s*(?:Human|Assistant|System):")
_SIDES = ("chosen", "rejected")


@dataclass(frozen=True, kw_only=True)
class RowsConfig:
    """Which rows of a set of real text become what, and how they are encoded.

    columns: which column holds what, for instance {prompt: question, chosen: good}; not needed for columns with our
    names.
    n_train: at most so many training pairs. selection: whether they are drawn by the seed or are the first rows.
    n_held_out: how many questions are held out where there is no test split; "auto": one in ten, at most 500.
    """

    columns: Columns | None = None
    n_train: Annotated[int, Gt(0)] | None = None
    selection: Literal["drawn", "first"] = "drawn"
    n_held_out: Annotated[int, Ge(0)] | Literal["auto"] = AUTOMATIC
    encoding: EncodingConfig = field(default_factory=EncodingConfig)

    def __post_init__(self) -> None:
        if faults := column_faults(self.columns or {}):
            raise ValueError(f"columns: {'; '.join(faults)}")


@dataclass(frozen=True)
class RawRows:
    """What a source read: rows of both splits, whose responses may still be blank, what was counted and is missing.

    test: None where the source has no test split. version: see PreferenceData.
    """

    name: str
    train: Sequence[ProbeExample]
    test: Sequence[ProbeExample] | None
    counts: Counter[str]
    missing: Sequence[MissingResponses] = ()
    version: str = ""


def assemble(raw: RawRows, config: RowsConfig, *, seed: int, n_corpus: int | None = None) -> PreferenceData:
    """Applies the rules above; ``n_corpus``: at most so many documents for a base (None: all).

    Raises DataError if no training pair is left, or if there are test rows but none of them is left.
    """
    counts = Counter(raw.counts)
    train = _clean("train", raw.train, ("chosen", "rejected"), counts)
    if raw.test is None:
        number = min(len(train) // 10, _MOST_HELD_OUT) if config.n_held_out == AUTOMATIC else int(config.n_held_out)
        test, train = draw(train, number, seeded_random(seed, "held out"))
        counts["test.held_out"] = len(test)
    else:
        test = _unseen(_clean("test", raw.test, ("chosen",), counts), train, counts)
    _check_something_is_left(raw, train, test, counts)
    if config.selection == "drawn":
        paired, rest = draw(train, config.n_train, seeded_random(seed, "pairs"))
    else:
        number = len(train) if config.n_train is None else config.n_train
        paired, rest = train[:number], train[number:]
    documents = corpus_documents(paired, test, rest, config.encoding.separator, counts)
    corpus, _ = draw(documents, n_corpus, seeded_random(seed, "corpus"))
    counts.update({"pairs": len(paired), "corpus.documents": len(corpus)})
    return PreferenceData(
        name=raw.name,
        pairs=tuple(map(_pair, paired)),
        probes={"train": tuple(paired), "test": tuple(test)},
        corpus=tuple(corpus),
        counts={reason: number for reason, number in counts.items() if number},
        missing=tuple(raw.missing),
        version=raw.version,
    )


def without_blanks(row: ProbeExample) -> ProbeExample:
    return replace(row, responses={key: text for key, text in row.responses.items() if text.strip()})


def _pair(row: ProbeExample) -> PreferencePair:
    return PreferencePair(row.example_id, row.prompt, row.responses["chosen"], row.responses["rejected"], row.turns)


def _clean(
    split: str, rows: Iterable[ProbeExample], required: Sequence[str], counts: Counter[str]
) -> list[ProbeExample]:
    seen: set[str] = set()
    kept: list[ProbeExample] = []
    for row in rows:
        counts.update(f"{split}.empty_response.{key}" for key, text in row.responses.items() if not text.strip())
        filled = without_blanks(row)
        fault = _fault(filled, required, seen)
        if fault:
            counts[f"{split}.dropped_{fault}"] += 1
        else:
            seen.add(question_key(row.prompt))
            kept.append(filled)
    return kept


def _fault(row: ProbeExample, required: Sequence[str], seen: set[str]) -> str | None:
    if not row.prompt.strip():
        return "empty_prompt"
    for key in required:
        if key not in row.responses:
            return f"empty_{key}"
    answers = [normal_response(row.responses[key]) for key in required]
    if len(answers) == 2 and answers[0] == answers[1]:
        return "chosen_equals_rejected"
    return "repeated_prompt" if question_key(row.prompt) in seen else None


def _unseen(test: Sequence[ProbeExample], train: Sequence[ProbeExample], counts: Counter[str]) -> list[ProbeExample]:
    trained = {question_key(row.prompt) for row in train}
    kept = [row for row in test if question_key(row.prompt) not in trained]
    counts["test.dropped_prompt_in_train"] += len(test) - len(kept)
    return kept


def _check_something_is_left(
    raw: RawRows, train: Sequence[ProbeExample], test: Sequence[ProbeExample], counts: Counter[str]
) -> None:
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


# --------------------------------------------------------------------------------------------------------------
# The corpus


def corpus_documents(
    paired: Sequence[ProbeExample],
    unseen: Sequence[ProbeExample],
    others: Sequence[ProbeExample],
    separator: str,
    counts: Counter[str],
) -> list[str]:
    """The documents, by the rules above; ``others`` are training rows that are no pairs. Counts what is excluded."""
    watched = [*paired, *unseen]
    questions = {question_key(row.prompt) for row in watched}
    observed = {normal_response(row.responses[key]) for row in watched for key in _SIDES if key in row.responses}
    rest = [row for row in others if question_key(row.prompt) not in questions]
    counts["corpus.dropped_observed_question"] += len(others) - len(rest)
    candidates = [(_question_only(row.prompt), _turns(row.prompt)) for row in paired]
    candidates += [
        (normal_prompt(row.prompt) + separator + answer, [*_turns(row.prompt), answer])
        for row in rest
        for answer in (normal_response(row.responses[key]) for key in _SIDES)
    ]
    documents = [document for document, turns in candidates if observed.isdisjoint(turns)]
    counts["corpus.dropped_observed_answer"] += len(candidates) - len(documents)
    return documents


def _question_only(prompt: str) -> str:
    """The prompt without the cue for an answer, so that no document teaches that an answer may be nothing."""
    return normal_prompt(normal_prompt(prompt).removesuffix(_ANSWER_CUE))


def _turns(prompt: str) -> list[str]:
    return [normal_response(turn) for turn in _SPEAKER.split(prompt)]
