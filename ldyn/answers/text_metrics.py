"""How repetitive an answer is, and how much of it was trained for *other* questions (the hallucination of claim S4).

The overlap has two measures on lower-cased words, without embeddings:

    likeness(a, b) = 2 LCS(a, b) / (|a| + |b|)       LCS: longest common subsequence (ROUGE-L's F1, Lin 2004)
    foreign 4-grams = share of the answer's 4-grams that occur in the chosen answer to another training question, and
                      neither in its own question nor in its own answers

The likeness to the nearest of many answers grows with their number, and answers of one style share stock phrases:
compare checkpoints on one prompt set, do not read the numbers as absolute.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Any

from ldyn.data.text import normal_prompt
from ldyn.records import PreferencePair

Words = tuple[str, ...]
N = 4

# --------------------------------------------------------------------------------------------------------------
# Repetition


def repeated_ngrams(units: Sequence[Hashable], n: int) -> float:
    """Share of n-grams that occurred before in ``units``, in [0, 1); 0 where there is none (n = 4: "repeated_4grams").

    1 less it are the distinct n-grams by all (n = 2: Li et al., 2016, "distinct-2").

    "a b a b a b": the 2-grams ab, ba, ab, ba, ab; three of five occurred before.
    """
    total = len(units) - n + 1
    distinct = {tuple(units[start : start + n]) for start in range(total)}
    return 1 - len(distinct) / total if total > 0 else 0.0


def longest_loop(units: Sequence[Hashable]) -> int:
    """Units covered by the longest stretch in which one block follows itself at least once; 0 where none does.

    "x a b a b a y" has the loop "a b a b a": 5 units of period 2. Takes quadratic time.
    """
    longest = 0
    for period in range(1, len(units) // 2 + 1):
        matches = 0  # how many units in a row, up to here, equal the one a period before
        for earlier, later in zip(units, units[period:], strict=False):
            matches = matches + 1 if earlier == later else 0
            if matches >= period:
                longest = max(longest, matches + period)
    return longest


# --------------------------------------------------------------------------------------------------------------
# Overlap


class TrainingAnswers:
    """The chosen answers of the training pairs, indexed for the overlap."""

    def __init__(self, pairs: Sequence[PreferencePair]):
        self._ids = [pair.pair_id for pair in pairs]
        self._prompts = [normal_prompt(pair.prompt) for pair in pairs]
        self._words = [words_of(pair.chosen) for pair in pairs]
        self._owners: dict[Words, set[int]] = {}
        for index, words in enumerate(self._words):
            for gram in _grams(words):
                self._owners.setdefault(gram, set()).add(index)

    def overlap(self, prompt: str, answer: str, own_answers: Sequence[str]) -> dict[str, Any]:
        """Compare an answer to ``prompt``. own_answers: what the data says to it, chosen first; may be empty.

        likeness_own: to the question's own chosen answer, None where it is not known. likeness_other: to the nearest
        chosen answer of another training question, whose pair id is likest_other. foreign_4grams: a share, see above.
        A training answer to the same question, or with the text of its own chosen answer, is no other's answer.
        """
        words, own = words_of(answer), [words_of(text) for text in own_answers]
        others = self._others(normal_prompt(prompt), own[0] if own else None)
        likenesses = {index: likeness(words, self._words[index]) for index in others}
        nearest = max(others, key=likenesses.__getitem__, default=None)
        known = set(_grams(words_of(prompt))).union(*map(_grams, own))
        return {
            "likeness_own": likeness(words, own[0]) if own else None,
            "likeness_other": 0.0 if nearest is None else likenesses[nearest],
            "likest_other": None if nearest is None or not likenesses[nearest] else self._ids[nearest],
            "foreign_4grams": self._share_foreign(words, known, set(others)),
        }

    def _others(self, prompt: str, own: Words | None) -> list[int]:
        indices = range(len(self._ids))
        return [index for index in indices if self._prompts[index] != prompt and self._words[index] != own]

    def _share_foreign(self, words: Words, known: set[Words], others: set[int]) -> float:
        grams = _grams(words)
        foreign = [gram not in known and not others.isdisjoint(self._owners.get(gram, ())) for gram in grams]
        return sum(foreign) / len(grams) if grams else 0.0


def words_of(text: str) -> Words:
    return tuple(re.findall(r"\w+", text.lower()))


def likeness(a: Words, b: Words) -> float:
    """2 LCS / (|a| + |b|), in [0, 1]; 0 where both are empty."""
    return 2 * longest_common_subsequence(a, b) / (len(a) + len(b)) if a or b else 0.0


def longest_common_subsequence(a: Words, b: Words) -> int:
    """Its length, in |b| steps on integers of |a| bits (H. Hyyrö, Bit-parallel LCS-length computation revisited, 2004).

    Bit i of ``row`` is 0 where the dynamic programme's row grows from column i to i + 1.
    """
    places: dict[str, int] = {}
    for index, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << index
    every = (1 << len(a)) - 1
    row = every
    for word in b:
        found = row & places.get(word, 0)
        row = ((row + found) | (row - found)) & every
    return len(a) - row.bit_count()


def _grams(words: Words) -> list[Words]:
    return [words[start : start + N] for start in range(len(words) - N + 1)]
