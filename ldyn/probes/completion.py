"""Completing a probe example: what the data gives is kept, what it lacks is made, what its name belies is replaced.

A released file may call a response ``irr_train`` that is the answer to no training question (in the paper's test file
it answers another *test* question), or ``irr_test`` one whose text was trained on ("You're welcome."). Such a response
would be plotted under a name that is not true, so it is made anew by construction, unless the settings keep it; it is
counted in any case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from ldyn.data.seeding import seeded_random
from ldyn.data.text import normal_prompt, normal_response
from ldyn.probes.families import FAMILIES, FamilyContext
from ldyn.records import PreferencePair, ProbeExample


class Completer:
    """Completes the examples of one split to the ``wanted`` probes; ``given`` are those that the split's rows have.

    ``counts`` gains "<split>.constructed.<probe>", "….not_constructible.…" and "….mislabelled.…".
    """

    def __init__(
        self,
        split: str,
        *,
        wanted: Sequence[str],
        given: Iterable[str],
        pairs: Sequence[PreferencePair],
        unseen: Sequence[ProbeExample],
        on_mislabelled: Literal["rebuild", "keep"],
        seed: int,
        counts: Counter[str],
    ):
        self._split, self._wanted, self._given = split, wanted, set(given)
        self._pairs, self._unseen = pairs, unseen
        self._on_mislabelled, self._seed, self._counts = on_mislabelled, seed, counts
        self._askers = _askers(pairs)
        self._trained = frozenset(normal_response(text) for pair in pairs for text in (pair.chosen, pair.rejected))

    def complete(self, example: ProbeExample) -> ProbeExample:
        """The example with exactly the wanted probes, as far as they can be had."""
        texts = {probe: self._text(example, probe) for probe in self._wanted}
        return replace(example, responses={probe: text for probe, text in texts.items() if text is not None})

    def _text(self, example: ProbeExample, probe: str) -> str | None:
        text = example.responses.get(probe)
        if text is None:
            # A gap in a family that the rows have (an empty text, a missing key) stays a gap; its source counted it.
            return None if probe in self._given else self._made(example, probe)
        if not self._is_mislabelled(example, probe, normal_response(text)):
            return text
        self._counts[f"{self._split}.mislabelled.{probe}"] += 1
        return text if self._on_mislabelled == "keep" else self._made(example, probe)

    def _made(self, example: ProbeExample, probe: str) -> str | None:
        if probe not in FAMILIES:
            return None
        random = seeded_random(self._seed, self._split, example.example_id, probe)
        text = FAMILIES[probe](example, FamilyContext(self._pairs, self._unseen, self._trained, random))
        self._counts[f"{self._split}.{'not_constructible' if text is None else 'constructed'}.{probe}"] += 1
        return text

    def _is_mislabelled(self, example: ProbeExample, probe: str, text: str) -> bool:
        if probe == "irr_train":
            is_own = text == normal_response(example.responses["chosen"])
            return is_own or not self._askers.get(text, set()) - {normal_prompt(example.prompt)}
        return probe == "irr_test" and text in self._trained


def _askers(pairs: Iterable[PreferencePair]) -> dict[str, set[str]]:
    """Chosen answer -> the training questions it answers."""
    askers: dict[str, set[str]] = {}
    for pair in pairs:
        askers.setdefault(normal_response(pair.chosen), set()).add(normal_prompt(pair.prompt))
    return askers
