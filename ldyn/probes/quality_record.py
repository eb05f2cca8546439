"""What the quality checks of a probe set look at and what they find."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ldyn.data.encoder import normal_prompt, normal_response
from ldyn.data.rows import Row
from ldyn.records import MissingResponses

RUN_OF_WORDS = 13
"""So many words in a row that two texts share are no accident (the length by which GPT-3's data was deduplicated)."""

REPHRASES = ("chosen_selfr", "chosen_gptsemantic", "chosen_gptformat", "reject_gptsemantic", "reject_gptformat")
WRITTEN_BY_A_MODEL = ("chosen_initial", *REPHRASES, "irr_hum")


def source_of(probe: str) -> str:
    """The response that a probe is compared with: that of the same side."""
    return "rejected" if probe.startswith("reject") else "chosen"


@dataclass(frozen=True)
class TokenCounts:
    """How many tokens a prompt and a response (with its EOS) have; ``exact`` or a lower bound; the limits for each."""

    prompt: Callable[[str], int]
    response: Callable[[str], int]
    exact: bool
    max_prompt_tokens: int = 256
    max_response_tokens: int = 256


def fewest_tokens(text: str) -> int:
    """A lower bound for every tokenizer that does not merge across words: the number of words.

    Punctuation is left out, since some tokenizers (Qwen's, Llama 3's) merge a mark with the word behind it.
    """
    return len(re.findall(r"\w+", text))


LOWER_BOUND = TokenCounts(fewest_tokens, lambda text: fewest_tokens(text) + 1, exact=False)


class TrainingText:
    """What is trained on, ready to be compared with. ``rows`` have prompt, chosen and perhaps rejected."""

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
        """The first RUN_OF_WORDS words of ``text`` that occur in a row in the training text; None if there are none."""
        return next((" ".join(run) for run in _runs(text) if hash(run) in self._all_runs), None)

    @cached_property
    def _all_runs(self) -> frozenset[int]:
        """Their hashes: 5,000 pairs have millions of runs, whose words would take gigabytes."""
        texts = (text for row in self.rows for text in _trained_texts(row))
        return frozenset(hash(run) for text in texts for run in _runs(text))


def _trained_texts(row: Row) -> Iterator[str]:
    yield row.prompt
    yield from (row.responses[key] for key in ("chosen", "rejected") if key in row.responses)


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return (tuple(words[start : start + RUN_OF_WORDS]) for start in range(len(words) - RUN_OF_WORDS + 1))


@dataclass(frozen=True)
class CheckedSet:
    """A probe set as it was read: split -> rows, blank responses included; the training text; tokens and their limits.

    The rows of the split "train" belong to the training text; rows of other splits are held against it.
    """

    splits: Mapping[str, Sequence[Row]]
    training: TrainingText
    missing: Sequence[MissingResponses] = ()
    tokens: TokenCounts = LOWER_BOUND

    def responses(self, *probes: str) -> Iterator[tuple[str, str, list[tuple[Row, str]]]]:
        """(split, probe, [(row, text)]) for each probe that occurs (of those named, or all), in the rows' own order."""
        for split, rows in self.splits.items():
            for probe in dict.fromkeys(key for row in rows for key in row.responses):
                if not probes or probe in probes:
                    yield split, probe, [(row, row.responses[probe]) for row in rows if probe in row.responses]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A place where something was found: the row's id and a piece of its text."""

    row_id: str
    text: str


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """``count`` of ``of`` rows of one split have ``what`` in ``probe`` ("prompt", "id" or a probe key)."""

    split: str
    probe: str
    what: str
    count: int
    of: int
    excerpts: tuple[Excerpt, ...] = ()


@dataclass(frozen=True)
class Check:
    """One question that is asked of a probe set.

    effect: what it does to curves that are measured with it. in_ldyn: what ldyn itself does about it.
    distorts: whether it stays in the curves that ldyn measures.
    """

    name: str
    find: Callable[[CheckedSet], Iterable[QualityFinding]]
    effect: str
    in_ldyn: str
    distorts: bool


EXCERPTS = 3
EXCERPT_LENGTH = 160


def excerpt(row: Row, text: str, around: int = 0) -> Excerpt:
    """A piece of ``text`` in which the character number ``around`` stands."""
    start = max(0, around - EXCERPT_LENGTH // 4)
    piece = text[start : start + EXCERPT_LENGTH]
    return Excerpt(row.row_id, ("…" if start else "") + piece + ("…" if start + EXCERPT_LENGTH < len(text) else ""))


def finding(split: str, probe: str, what: str, hits: Sequence[Excerpt], of: int) -> Iterator[QualityFinding]:
    """The finding with the first excerpts, unless there is no hit."""
    if hits:
        yield QualityFinding(split, probe, what, len(hits), of, tuple(hits[:EXCERPTS]))


def findings_by_kind(split: str, probe: str, kinds: Iterable[tuple[str, Excerpt]], of: int) -> Iterator[QualityFinding]:
    """One finding for each kind, the commonest first."""
    hits: dict[str, list[Excerpt]] = {}
    for kind, hit in kinds:
        hits.setdefault(kind, []).append(hit)
    for kind, _ in Counter({kind: len(found) for kind, found in hits.items()}).most_common():
        yield from finding(split, probe, kind, hits[kind], of)
