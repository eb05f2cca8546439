"""Let a language model write rephrases and human sentences; check each, ask again for unusable ones, then drop them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ldyn.answers.chats import ChatAnswer, ChatModel
from ldyn.data.text import normal_response
from ldyn.probe_sets.examples import Examples
from ldyn.probe_sets.rephrase_texts import Templates, Writing, fault_of, letters_of, text_of
from ldyn.probe_sets.settings import BuildRequest

CANNED = "canned"
"""The fault of a text that was the answer to different sources: "I'm sorry, but I cannot help with that."."""
REPEATS_THE_ROW = "as_another_response"
"""The fault of a text that is another response of its row, word for word."""

Row = tuple[str, str]  # (split, example id)


@dataclass
class Written:
    """The texts that can be used, the fault of each that was dropped, and what was asked for again, by fault."""

    texts: dict[Writing, str] = field(default_factory=dict)
    dropped: dict[Writing, str] = field(default_factory=dict)
    asked_again: Counter[str] = field(default_factory=Counter)


def write_texts(writings: Sequence[Writing], model: ChatModel, tries: int, taken: Mapping[Row, set[str]]) -> Written:
    """Ask for every text, and again for unusable ones, ``tries`` times in all.

    At temperature 0 a model would repeat itself, so there is one try. ``taken``: the other responses of each
    row, normalised, which a text may not repeat. Raises an LdynError where no answer can be had.
    """
    written, left = Written(), list(writings)
    taken = {row: set(texts) for row, texts in taken.items()}
    sources: dict[str, set[str]] = {}  # letters of a text -> the sources that it was the answer to
    for attempt in range(tries):
        requests = [replace(one.request, sample=one.request.sample + attempt) for one in left]
        answers = dict(zip(left, model.answer(requests), strict=True)) if requests else {}
        for writing, answer in answers.items():
            source = letters_of(writing.source) or f"{writing.split} {writing.example_id}"
            sources.setdefault(letters_of(text_of(answer, writing)), set()).add(source)
        canned = {letters for letters, of in sources.items() if len(of) > 1}
        faults = {one: CANNED for one, text in written.texts.items() if letters_of(text) in canned}
        for one in faults:
            del written.texts[one]
        faults |= _sorted_out(answers, canned, taken, written.texts)
        left = [one for one in faults if one.request.temperature > 0 and attempt + 1 < tries]
        written.asked_again.update(faults[one] for one in left)
        written.dropped |= {one: fault for one, fault in faults.items() if one not in left}
    return written


def _sorted_out(
    answers: Mapping[Writing, ChatAnswer], canned: set[str], taken: dict[Row, set[str]], texts: dict[Writing, str]
) -> dict[Writing, str]:
    faults = {}
    for writing, answer in answers.items():
        text = text_of(answer, writing)
        of_row = taken.setdefault((writing.split, writing.example_id), set())
        fault = fault_of(answer, text, writing) or (CANNED if letters_of(text) in canned else None)
        if fault is None and normal_response(text) in of_row:
            fault = REPEATS_THE_ROW
        if fault is None:
            texts[writing] = text
            of_row.add(normal_response(text))
        else:
            faults[writing] = fault
    return faults


def texts_to_write(examples: Examples, request: BuildRequest) -> list[Writing]:
    """All texts that the examples lack."""
    if request.rephraser.endpoint is None:
        return []
    templates, temperature = Templates(), request.rephraser.temperature
    return [
        writing
        for split, members in examples.items()
        for writing in templates.writings(split, members, request.written, temperature)
    ]


def with_rephrases(
    examples: Examples, writings: Sequence[Writing], model: ChatModel, tries: int
) -> tuple[Examples, Counter[str]]:
    """The examples with what ``model`` has written, and counts of what was written, asked for again and dropped.

    Raises an LdynError where no answer can be had; what was answered is kept.
    """
    rows = {(split, one.example_id): one for split, members in examples.items() for one in members}
    taken = {row: set(map(normal_response, one.responses.values())) for row, one in rows.items()}
    written = write_texts(writings, model, tries, taken)
    counts = Counter({f"asked_again.{fault}": number for fault, number in written.asked_again.items()})
    for writing, text in written.texts.items():
        row = (writing.split, writing.example_id)
        rows[row] = replace(rows[row], responses={**rows[row].responses, writing.probe: text})
        counts[f"{writing.split}.written.{writing.probe}"] += 1
    counts.update(f"{one.split}.dropped.{fault}.{one.probe}" for one, fault in written.dropped.items())
    return {split: [rows[split, one.example_id] for one in members] for split, members in examples.items()}, counts
