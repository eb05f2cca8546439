"""The probe examples of a set: drawn, completed by construction, and compared with the training text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from ldyn.data.layouts import Row
from ldyn.data.seeding import draw, seeded_random
from ldyn.data.text import normal_prompt, normal_response
from ldyn.errors import DataError
from ldyn.probe_sets.quality_checks import TrainingText
from ldyn.probe_sets.settings import BuildRequest
from ldyn.probes.builder import check_probes
from ldyn.probes.families import Completer
from ldyn.records import PROBE_FAMILIES, PreferenceData, PreferencePair, ProbeExample

Examples = Mapping[str, Sequence[ProbeExample]]
_FAULTS_SHOWN = 5


@dataclass(frozen=True)
class Drawn:
    """Split -> its examples; the training text; counts of what was and could not be made."""

    examples: Examples
    training: TrainingText
    counts: Mapping[str, int]


def draw_examples(data: PreferenceData, request: BuildRequest) -> Drawn:
    """Draw the examples and make what can be made from the pairs alone.

    Raises DataError unless training and unseen questions and answers are apart; see ``check_disjoint``.
    """
    counts: Counter[str] = Counter()
    training = TrainingText([_row(pair) for pair in data.pairs])
    drawn = {split: _drawn(data, split, request) for split in ("train", "test") if data.probes.get(split)}
    dealers = _Dealers(data, drawn["train"], training, request.seed, counts)
    examples = {split: _completed(split, members, data, request, dealers) for split, members in drawn.items()}
    counts.update({f"{split}.examples": len(members) for split, members in examples.items()})
    check_disjoint(examples, data.pairs)
    return Drawn(examples, training, {reason: number for reason, number in counts.items() if number})


def _row(pair: PreferencePair) -> Row:
    return Row(pair.pair_id, pair.prompt, {"chosen": pair.chosen, "rejected": pair.rejected})


def _drawn(data: PreferenceData, split: str, request: BuildRequest) -> list[ProbeExample]:
    """The draw of `ldyn train` with the same seed and the same data."""
    number = request.n_train if split == "train" else request.n_test
    drawn, _ = draw(data.probes[split], number, seeded_random(request.seed, "probes", split))
    return drawn if request.keep else [_pair_only(example) for example in drawn]


def _pair_only(example: ProbeExample) -> ProbeExample:
    kept = {key: text for key, text in example.responses.items() if key in ("chosen", "rejected")}
    return replace(example, responses=kept)


class _Dealers:
    """Answers to other questions, for examples that lack them.

    ``irr_train`` comes from the drawn training examples: these are trained on whether the set is used beside its data
    or its rows are the training pairs themselves. ``irr_test`` comes from the test split, from answers that are not
    trained on and share no long run of words with what is.
    """

    def __init__(
        self,
        data: PreferenceData,
        train: Sequence[ProbeExample],
        training: TrainingText,
        seed: int,
        counts: Counter[str],
    ):
        unseen = data.probes.get("test", ())
        fresh = [example for example in unseen if not _is_known(example.responses["chosen"], training)]
        counts["unseen_answers_passed_over"] = len(unseen) - len(fresh)
        self._answers = {"irr_train": _answers(train), "irr_test": _answers(fresh)}
        self._seed, self.counts = seed, counts

    def deal(self, split: str, probe: str, examples: Sequence[ProbeExample]) -> list[ProbeExample]:
        lacking = [example for example in examples if probe not in example.responses]
        random = seeded_random(self._seed, "dealt", split, probe)
        dealt, restarts = deal_answers(lacking, self._answers[probe], random)
        self.counts[f"{split}.constructed.{probe}"] += len(dealt)
        self.counts[f"{split}.not_constructible.{probe}"] += len(lacking) - len(dealt)
        self.counts[f"{split}.drawn_again.{probe}"] += restarts
        return [
            replace(one, responses={**one.responses, probe: dealt[one.example_id]}) if one.example_id in dealt else one
            for one in examples
        ]


def _is_known(text: str, training: TrainingText) -> bool:
    return normal_response(text) in training.answers or training.shared_run(text) is not None


def _answers(examples: Sequence[ProbeExample]) -> list[tuple[str, str]]:
    return [(example.prompt, example.responses["chosen"]) for example in examples]


def _completed(
    split: str, examples: Sequence[ProbeExample], data: PreferenceData, request: BuildRequest, dealers: _Dealers
) -> list[ProbeExample]:
    for probe in ("irr_train", "irr_test"):
        if probe in request.constructed:
            examples = dealers.deal(split, probe, examples)
    given = {key for example in examples for key in example.responses}
    completer = Completer(
        split,
        wanted=[probe for probe in PROBE_FAMILIES if probe in given or probe in request.constructed],
        given=("irr_train", "irr_test"),  # where none could be dealt, there is none
        pairs=data.pairs,
        unseen=data.probes.get("test", ()),
        on_mislabelled="rebuild",
        seed=request.seed,
        counts=dealers.counts,
    )
    return [completer.complete(example) for example in examples]


# --------------------------------------------------------------------------------------------------------------
# Apart


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


QuestionAndAnswer = tuple[str, str]


def deal_answers(
    examples: Sequence[ProbeExample], answers: Iterable[QuestionAndAnswer], random: Random
) -> tuple[dict[str, str], int]:
    """Example id -> the answer to another question, drawn without replacement; and how often the draw restarted.

    An answer fits an example if it belongs to another question and is another text than the example's ``chosen``. Where
    no answer fits that has not been given yet, one is exchanged with an earlier example; where that is impossible, too,
    all answers can be drawn again, and where none fits even then, the example gets none.
    """
    distinct = {normal_response(text): (prompt, text) for prompt, text in answers}
    every = list(distinct.values())
    deck = random.sample(every, len(every))
    dealt: list[tuple[ProbeExample, QuestionAndAnswer]] = []
    restarts = 0
    for example in examples:
        given = _taken(example, deck) or _exchanged(example, dealt, deck)
        if given is None and len(deck) < len(every):
            deck = random.sample(every, len(every))
            restarts += 1
            given = _taken(example, deck)
        if given is not None:
            dealt.append((example, given))
    return {example.example_id: text for example, (_, text) in dealt}, restarts


def _taken(example: ProbeExample, deck: list[QuestionAndAnswer]) -> QuestionAndAnswer | None:
    """The first answer of the deck that fits, taken out of it."""
    place = next((place for place, answer in enumerate(deck) if _fits(example, answer)), None)
    return None if place is None else deck.pop(place)


def _exchanged(
    example: ProbeExample, dealt: list[tuple[ProbeExample, QuestionAndAnswer]], deck: list[QuestionAndAnswer]
) -> QuestionAndAnswer | None:
    """An answer that an earlier example can spare, because what is left of the deck fits that one."""
    for place, (other, answer) in enumerate(dealt):
        instead = _taken(other, deck) if _fits(example, answer) else None
        if instead is not None:
            dealt[place] = (other, instead)
            return answer
    return None


def _fits(example: ProbeExample, answer: QuestionAndAnswer) -> bool:
    prompt, text = answer
    is_other = normal_prompt(prompt) != normal_prompt(example.prompt)
    return is_other and normal_response(text) != normal_response(example.responses["chosen"])
