"""The checks of a probe set, and the table that says what each finding does to the curves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ldyn.data.layouts import Row
from ldyn.data.text import normal_prompt, normal_response
from ldyn.probe_sets.markup import is_open, leftover_markup

RUN_OF_WORDS = 13
"""Two texts that share so many words in a row overlap (the length by which GPT-3's data was deduplicated)."""
SHORT, LONG = 0.5, 2.0
"""Fewest and most words of a rephrase for each word of its source."""

REPHRASES = ("chosen_selfr", "chosen_gptsemantic", "chosen_gptformat", "reject_gptsemantic", "reject_gptformat")
WRITTEN_BY_A_MODEL = ("chosen_initial", *REPHRASES, "irr_hum")
UNSEEN_SPLIT = "test"


class TrainingText:
    """What is trained on, indexed for comparison. ``rows`` have prompt, chosen and perhaps rejected."""

    def __init__(self, rows: Sequence[Row]):
        self.rows = rows

    @cached_property
    def questions(self) -> frozenset[str]:
        return frozenset(normal_prompt(row.prompt) for row in self.rows)

    @cached_property
    def chosen(self) -> frozenset[str]:
        return frozenset(normal_response(row.responses.get("chosen", "")) for row in self.rows)

    @cached_property
    def answers(self) -> frozenset[str]:
        """Chosen and rejected answers."""
        return self.chosen | {normal_response(row.responses.get("rejected", "")) for row in self.rows}

    def shared_run(self, text: str) -> str | None:
        """The first RUN_OF_WORDS words in a row of ``text`` that occur in the training text, or None."""
        return next((" ".join(run) for run in _runs(text) if hash(run) in self._all_runs), None)

    @cached_property
    def _all_runs(self) -> frozenset[int]:
        """Hashes only: 5,000 pairs have millions of runs, whose words would take gigabytes."""
        return frozenset(hash(run) for row in self.rows for text in _trained_texts(row) for run in _runs(text))


def _trained_texts(row: Row) -> Iterator[str]:
    yield row.prompt
    yield from (row.responses[key] for key in ("chosen", "rejected") if key in row.responses)


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return (tuple(words[start : start + RUN_OF_WORDS]) for start in range(len(words) - RUN_OF_WORDS + 1))


@dataclass(frozen=True)
class TokenCounts:
    """Counts the tokens of a prompt and of a response (with EOS) by one tokenizer; and the limits of both."""

    prompt: Callable[[str], int]
    response: Callable[[str], int]
    max_prompt_tokens: int
    max_response_tokens: int


@dataclass(frozen=True)
class CheckedSet:
    """A probe set as it was read: split -> rows; the training text, which the split "train" belongs to; token counts.

    ``tokens``: None where no tokenizer is given; truncation is then not checked.
    """

    splits: Mapping[str, Sequence[Row]]
    training: TrainingText
    tokens: TokenCounts | None = None

    def texts(self, *probes: str) -> Iterator[tuple[str, str, Row, str]]:
        """(split, probe, row, text) of every response, or of those probes only."""
        for split, rows in self.splits.items():
            for row in rows:
                for probe, text in row.responses.items():
                    if not probes or probe in probes:
                        yield split, probe, row, text

    def number(self, split: str, probe: str) -> int:
        """How many rows of the split have the probe; all of them for a prompt."""
        return sum(probe == "prompt" or probe in row.responses for row in self.splits[split])


@dataclass(frozen=True, slots=True)
class Hit:
    """One row in which a check found ``what``, in a probe or "prompt"; ``text`` around the place ``around``."""

    split: str
    probe: str
    what: str
    row: Row
    text: str
    around: int = 0


def source_of(probe: str) -> str:
    """The response that a probe is compared with: that of the same side."""
    return "rejected" if probe.startswith("reject") else "chosen"


def _source(row: Row, probe: str) -> str:
    """The text that a rephrase was made from; a human sentence has none."""
    return "" if probe == "irr_hum" else row.responses.get(source_of(probe), "")


# --------------------------------------------------------------------------------------------------------------
# Checks of single responses


def separator(probes: CheckedSet) -> Iterator[Hit]:
    """Responses that begin with a space where chosen (rejected) has none, or the reverse."""
    for split, probe, row, text in probes.texts():
        source = row.responses.get(source_of(probe), "")
        if not text.strip() or not source or text[0].isspace() == source[0].isspace():
            continue
        has_space = text[0].isspace()
        what = f"a leading space, which {source_of(probe)} lacks"
        yield Hit(split, probe, what if has_space else f"no leading space, which {source_of(probe)} has", row, text)


def missing(probes: CheckedSet) -> Iterator[Hit]:
    """Probes that other rows of the split have; blank responses."""
    for split, rows in probes.splits.items():
        every = dict.fromkeys(probe for row in rows for probe in row.responses)
        for row in rows:
            yield from (Hit(split, probe, "missing", row, "") for probe in every if probe not in row.responses)
            yield from (Hit(split, probe, "blank", row, "") for probe, t in row.responses.items() if not t.strip())


def markup(probes: CheckedSet) -> Iterator[Hit]:
    """Markup that the source does not have: any, and kind by kind."""
    for split, probe, row, text in probes.texts(*WRITTEN_BY_A_MODEL):
        kinds = list(leftover_markup(text, _source(row, probe)))
        yield from (Hit(split, probe, "any markup", row, text, place) for _, place in kinds[:1])
        yield from (Hit(split, probe, kind, row, text, place) for kind, place in kinds)


def length(probes: CheckedSet) -> Iterator[Hit]:
    """Rephrases with less than half, or more than twice, the words of their source."""
    for split, probe, row, text in probes.texts(*REPHRASES):
        words, source = len(text.split()), len(_source(row, probe).split())
        if words and source and words < SHORT * source:
            yield Hit(split, probe, f"fewer than {SHORT:g} words a word of {source_of(probe)}", row, text)
        elif words and source and words > LONG * source:
            yield Hit(split, probe, f"more than {LONG:g} words a word of {source_of(probe)}", row, text)


def unfinished(probes: CheckedSet) -> Iterator[Hit]:
    """Texts of a model that end within a sentence where their source does not."""
    for split, probe, row, text in probes.texts(*WRITTEN_BY_A_MODEL):
        if is_open(text) and not is_open(_source(row, probe)):
            yield Hit(split, probe, "ends within a sentence", row, text, len(text))


def truncation(probes: CheckedSet) -> Iterator[Hit]:
    """Prompts and responses longer than the limits."""
    tokens = probes.tokens
    if tokens is None:
        return
    for split, rows in probes.splits.items():
        long = (row for row in rows if tokens.prompt(row.prompt) > tokens.max_prompt_tokens)
        yield from (Hit(split, "prompt", f"more than {tokens.max_prompt_tokens} tokens", r, r.prompt) for r in long)
    for split, probe, row, text in probes.texts():
        if tokens.response(text) > tokens.max_response_tokens:
            yield Hit(split, probe, f"more than {tokens.max_response_tokens} tokens with EOS", row, text)


# --------------------------------------------------------------------------------------------------------------
# Checks against other texts


def identical(probes: CheckedSet) -> Iterator[Hit]:
    """Two probes of one row with the same text."""
    for split, rows in probes.splits.items():
        for row in rows:
            first_with: dict[str, str] = {}
            for probe, text in row.responses.items():
                first = first_with.setdefault(normal_response(text) or probe, probe)
                if first != probe:
                    yield Hit(split, probe, f"the same text as {first}", row, text)


def unseen_is_trained(probes: CheckedSet) -> Iterator[Hit]:
    """Questions and answers that are called unseen and are trained on, letter by letter."""
    for row in probes.splits.get(UNSEEN_SPLIT, ()):
        if normal_prompt(row.prompt) in probes.training.questions:
            yield Hit(UNSEEN_SPLIT, "prompt", "a training question", row, row.prompt)
    for split, probe, row, text in _unseen_answers(probes):
        if normal_response(text) in probes.training.answers:
            yield Hit(split, probe, "a training answer", row, text)


def unseen_overlaps(probes: CheckedSet) -> Iterator[Hit]:
    """Answers that are called unseen and share a long run of words with the training text, its prompts included."""
    for split, probe, row, text in _unseen_answers(probes):
        run = None if normal_response(text) in probes.training.answers else probes.training.shared_run(text)
        if run is not None:
            yield Hit(split, probe, f"{RUN_OF_WORDS} words in a row of the training text", row, run)


def _unseen_answers(probes: CheckedSet) -> Iterator[tuple[str, str, Row, str]]:
    """``irr_test`` everywhere, and the answers to unseen questions."""
    for split, probe, row, text in probes.texts("irr_test", "chosen", "rejected"):
        if text.strip() and (probe == "irr_test" or split == UNSEEN_SPLIT):
            yield split, probe, row, text


def wrong_irr_train(probes: CheckedSet) -> Iterator[Hit]:
    """``irr_train`` that is the answer to its own question, or to no training question."""
    for split, probe, row, text in probes.texts("irr_train") if probes.training.rows else ():
        if normal_response(text) == normal_response(row.responses.get("chosen", "")):
            yield Hit(split, probe, "the chosen answer to its own question", row, text)
        if normal_response(text) not in probes.training.chosen:
            yield Hit(split, probe, "not a chosen answer of the training rows", row, text)


def repeated(probes: CheckedSet) -> Iterator[Hit]:
    """Unrelated answers that an earlier row has for the same probe."""
    seen: set[tuple[str, str, str]] = set()
    for split, probe, row, text in probes.texts("irr_train", "irr_test", "irr_hum"):
        key = (split, probe, normal_response(text))
        if text.strip() and key in seen:
            yield Hit(split, probe, "as in an earlier row", row, text)
        seen.add(key)


@dataclass(frozen=True)
class Check:
    """One check. effect: what its findings do to the curves. handled: what ldyn does about them; "" if nothing."""

    name: str
    find: Callable[[CheckedSet], Iterator[Hit]]
    effect: str
    handled: str = ""


CHECKS: tuple[Check, ...] = (
    Check(
        "leading space",
        separator,
        "A first token without its space is unlikely, which lowers the whole curve.",
        "ldyn puts the same separator before every response.",
    ),
    Check(
        "missing response",
        missing,
        "The mean of this probe is over other questions than the means it is compared with.",
        "ldyn drops blank responses and stops at missing ones, unless probes.on_missing=drop.",
    ),
    Check(
        "leftover markup",
        markup,
        "The curve shows how likely labels and markers are, not how likely a rephrase is.",
    ),
    Check(
        "length ratio",
        length,
        "Sums over tokens grow with length: compare means per token only.",
    ),
    Check("unfinished", unfinished, "EOS is scored where the text would continue, which lowers the sum."),
    Check(
        "truncation",
        truncation,
        "Tokens behind the limit are not scored.",
        "ldyn cuts training rows and probes by the same rule and counts them.",
    ),
    Check("identical responses", identical, "Two curves share these rows, so their difference shrinks."),
    Check(
        "unseen text is trained on",
        unseen_is_trained,
        "The curves of unseen questions and answers rise because they are trained on.",
        "ldyn drops such questions and replaces such irr_test responses (probes.on_mislabelled=rebuild).",
    ),
    Check("unseen answer overlaps", unseen_overlaps, "A part of the answer is trained on, which lifts the curve."),
    Check(
        "irr_train is no training answer",
        wrong_irr_train,
        "The curve cannot rise as that of a training answer does.",
        "ldyn replaces it by the answer to another training question (probes.on_mislabelled=rebuild).",
    ),
    Check("repeated response", repeated, "The curve rests on fewer texts than its n says."),
)
