"""The probe examples of a set: drawn, completed by construction, and compared with the training text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ldyn.data.seeding import draw, seeded_random
from ldyn.data.text import normal_prompt, normal_response
from ldyn.errors import DataError
from ldyn.probe_sets.settings import BuildRequest
from ldyn.probes.builder import check_probes
from ldyn.probes.families import Completer
from ldyn.records import PROBE_FAMILIES, PreferenceData, PreferencePair, ProbeExample

Examples = Mapping[str, Sequence[ProbeExample]]
_FAULTS_SHOWN = 5
RUN_OF_WORDS = 13
"""Two texts that share so many words in a row overlap (the length by which GPT-3's data was deduplicated)."""


@dataclass(frozen=True)
class Drawn:
    """Split -> its examples; counts of what was and could not be made."""

    examples: Examples
    counts: Mapping[str, int]


def draw_examples(data: PreferenceData, request: BuildRequest) -> Drawn:
    """Draw the examples, as `ldyn train` with this seed does, and make what can be made from the pairs alone.

    ``irr_train`` comes from the drawn training examples: these are trained on whether the set is used beside its data
    or its rows are the training pairs themselves. ``irr_test`` comes from answers of the test split that share no long
    run of words with the training text. Raises DataError unless training and unseen text is apart.
    """
    counts: Counter[str] = Counter()
    training = TrainingText(data.pairs)
    drawn = {split: _drawn(data, split, request) for split in ("train", "test") if data.probes.get(split)}
    unseen = [one for one in data.probes.get("test", ()) if not training.has(one.responses["chosen"])]
    sources = {"irr_train": drawn["train"], "irr_test": unseen}
    for split, members in drawn.items():
        dealt = members
        for probe in sources.keys() & set(request.constructed):
            dealt = _with_answers_of(sources[probe], dealt, split, probe, request.seed, counts)
        drawn[split] = _completed(split, dealt, data, request, counts)
        counts[f"{split}.examples"] = len(members)
    check_disjoint(drawn, data.pairs)
    return Drawn(drawn, {reason: number for reason, number in counts.items() if number})


def _drawn(data: PreferenceData, split: str, request: BuildRequest) -> list[ProbeExample]:
    number = request.n_train if split == "train" else request.n_test
    drawn, _ = draw(data.probes[split], number, seeded_random(request.seed, "probes", split))
    kept = PROBE_FAMILIES if request.keep else ("chosen", "rejected")
    return [replace(one, responses={key: text for key, text in one.responses.items() if key in kept}) for one in drawn]


def _with_answers_of(
    others: Sequence[ProbeExample],
    examples: Sequence[ProbeExample],
    split: str,
    probe: str,
    seed: int,
    counts: Counter[str],
) -> list[ProbeExample]:
    """The examples with the chosen answer to another question: none twice, as long as another one fits."""
    random, deck, completed = seeded_random(seed, "dealt", split, probe), list[ProbeExample](), list[ProbeExample]()
    for example in examples:
        if probe in example.responses:
            completed.append(example)
            continue
        if not any(_is_another(other, example) for other in deck):
            deck = random.sample(list(others), len(others))
        other = next((other for other in deck if _is_another(other, example)), None)
        counts[f"{split}.{'not_constructible' if other is None else 'constructed'}.{probe}"] += 1
        if other is None:
            completed.append(example)
            continue
        deck.remove(other)
        completed.append(replace(example, responses={**example.responses, probe: other.responses["chosen"]}))
    return completed


def _is_another(other: ProbeExample, example: ProbeExample) -> bool:
    is_other = normal_prompt(other.prompt) != normal_prompt(example.prompt)
    return is_other and normal_response(other.responses["chosen"]) != normal_response(example.responses["chosen"])


def _completed(
    split: str, examples: Sequence[ProbeExample], data: PreferenceData, request: BuildRequest, counts: Counter[str]
) -> list[ProbeExample]:
    given = {key for example in examples for key in example.responses}
    completer = Completer(
        split,
        wanted=[probe for probe in PROBE_FAMILIES if probe in given or probe in request.constructed],
        given=("irr_train", "irr_test"),  # where none could be dealt, there is none
        pairs=data.pairs,
        unseen=data.probes.get("test", ()),
        seed=request.seed,
        counts=counts,
    )
    return [completer.complete(example) for example in examples]


def check_disjoint(examples: Examples, pairs: Sequence[PreferencePair]) -> None:
    """Raises DataError unless the unseen are unseen, and the trained trained.

    Questions: those of train probes are training questions, those of test probes are not. Answers: no ``irr_test`` is
    a chosen or rejected answer of a training pair, and every ``irr_train`` is a chosen one.
    """
    check_probes(examples, pairs)
    faults = list(_answer_faults(examples, pairs))
    if faults:
        more = f"\n… and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise DataError("\n".join(faults[:_FAULTS_SHOWN]) + more + "\nBuild without keep to make these again.")


def _answer_faults(examples: Examples, pairs: Sequence[PreferencePair]) -> Iterator[str]:
    chosen = {normal_response(pair.chosen) for pair in pairs}
    trained = chosen | {normal_response(pair.rejected) for pair in pairs}
    for split, members in examples.items():
        for example in members:
            if normal_response(example.responses.get("irr_test", "")) in trained:
                yield f"The irr_test of {split} example {example.example_id!r} is trained on."
            if "irr_train" in example.responses and normal_response(example.responses["irr_train"]) not in chosen:
                yield f"The irr_train of {split} example {example.example_id!r} is no chosen answer of a training pair."


# --------------------------------------------------------------------------------------------------------------
# The training text


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
