"""The text that is trained on, to keep unseen answers of a probe set apart from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from ldyn.data.text import normal_response
from ldyn.records import PreferencePair

RUN_OF_WORDS = 13
"""Two texts that share so many words in a row overlap (the length by which GPT-3's data was deduplicated)."""


class TrainingText:
    """What is trained on, indexed for comparison."""

    def __init__(self, pairs: Sequence[PreferencePair]):
        self._pairs = pairs

    def has(self, text: str) -> bool:
        """Whether ``text`` is a training answer, or shares RUN_OF_WORDS words in a row with the training text."""
        return normal_response(text) in self._answers or any(hash(run) in self._all_runs for run in _runs(text))

    @cached_property
    def _answers(self) -> frozenset[str]:
        return frozenset(normal_response(text) for pair in self._pairs for text in (pair.chosen, pair.rejected))

    @cached_property
    def _all_runs(self) -> frozenset[int]:
        """Hashes only: 5,000 pairs have millions of runs, whose words would take gigabytes."""
        texts = (text for pair in self._pairs for text in (pair.prompt, pair.chosen, pair.rejected))
        return frozenset(hash(run) for text in texts for run in _runs(text))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return (tuple(words[start : start + RUN_OF_WORDS]) for start in range(len(words) - RUN_OF_WORDS + 1))
