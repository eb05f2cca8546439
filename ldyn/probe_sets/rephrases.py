"""Let a language model write rephrases and human sentences; check each, ask again for unusable ones, then drop them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ldyn.answers.api_costs import Plan, estimate_all
from ldyn.answers.api_model import ApiModel, plan_requests
from ldyn.answers.chats import AnswerCache, ChatAnswer, ChatModel, Progress
from ldyn.answers.local_models import LocalChatModel
from ldyn.data.text import normal_response
from ldyn.errors import ConfigError
from ldyn.probe_sets.examples import Examples
from ldyn.probe_sets.rephrase_texts import Templates, Writing, fault_of, letters_of, text_of
from ldyn.probe_sets.settings import API, MODEL, NOBODY, BuildRequest
from ldyn.run.stored_models import StoredModel, find_models

CANNED = "canned"
"""The fault of a text that was the answer to different sources: "I'm sorry, but I cannot help with that."."""
REPEATS_THE_ROW = "as_another_response"
"""The fault of a text that is another response of its row, word for word."""

Row = tuple[str, str]  # (split, example id)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A text that was unusable in the last try: its fault, and the text or the reason of a refusal."""

    writing: Writing
    fault: str
    said: str


@dataclass
class Written:
    """The texts that can be used, what was dropped, and how often something was asked for again, by fault."""

    texts: dict[Writing, str] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
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
        if not left:
            break
        requests = [replace(one.request, sample=one.request.sample + attempt) for one in left]
        answers = dict(zip(left, model.answer(requests), strict=True))
        for writing, answer in answers.items():
            sources.setdefault(letters_of(text_of(answer, writing)), set()).add(_source(writing))
        canned = {letters for letters, of in sources.items() if len(of) > 1}
        dropped = [Dropped(one, CANNED, text) for one, text in written.texts.items() if letters_of(text) in canned]
        for one in dropped:
            del written.texts[one.writing]
        dropped += _sorted_out(answers, canned, taken, written)
        again = [one for one in dropped if one.writing.request.temperature > 0 and attempt + 1 < tries]
        written.asked_again.update(one.fault for one in again)
        written.dropped += [one for one in dropped if one not in again]
        left = [one.writing for one in again]
    return written


def _source(writing: Writing) -> str:
    return letters_of(writing.source) or f"{writing.split} {writing.example_id}"


def _sorted_out(
    answers: Mapping[Writing, ChatAnswer], canned: set[str], taken: dict[Row, set[str]], written: Written
) -> list[Dropped]:
    """The unusable answers; the others go to ``written`` and ``taken``."""
    dropped = []
    for writing, answer in answers.items():
        text = text_of(answer, writing)
        of_row = taken.setdefault((writing.split, writing.example_id), set())
        fault = fault_of(answer, text, writing)
        if fault is None and letters_of(text) in canned:
            fault = CANNED
        if fault is None and normal_response(text) in of_row:
            fault = REPEATS_THE_ROW
        if fault is None:
            written.texts[writing] = text
            of_row.add(normal_response(text))
        else:
            dropped.append(Dropped(writing, fault, answer.reason or answer.text))
    return dropped


def open_rephraser(request: BuildRequest, cache: AnswerCache, progress: Progress) -> ChatModel:
    """The model that writes. Raises an LdynError where it cannot be had, as without a key."""
    config = request.rephraser
    if config.who == API:
        assert config.endpoint is not None
        return ApiModel(config.endpoint, cache, progress)
    answerer = one_model(config.who.removeprefix(MODEL), "rephraser.who")
    return LocalChatModel(answerer.name, answerer.load(), cache, request.device, progress)


def one_model(word: str, option: str) -> StoredModel:
    """The one model of this name. Raises an LdynError where there is none, or several."""
    found = find_models([word])
    if len(found) != 1:
        names = ", ".join(one.name for one in found)
        raise ConfigError([f"{option}: found {word!r}, a run with several models, expected one of {names}"])
    return found[0]


def texts_to_write(examples: Examples, request: BuildRequest) -> list[Writing]:
    """All texts that the examples lack. Raises DataError for templates that cannot be used."""
    if request.rephraser.who == NOBODY:
        return []
    templates, temperature = Templates(request.rephraser.templates), request.rephraser.temperature
    return [
        writing
        for split, members in examples.items()
        for writing in templates.writings(split, members, request.written, temperature)
    ]


def plan_of(writings: Sequence[Writing], request: BuildRequest, cache: AnswerCache) -> Plan:
    """What the first try would ask, at most; of a model on this machine it is not known what the cache holds."""
    requests = [writing.request for writing in writings]
    if request.rephraser.endpoint is not None:
        return plan_requests(request.rephraser.endpoint, cache, requests)
    return Plan(0, estimate_all(dict.fromkeys(requests)))


def with_rephrases(
    examples: Examples, writings: Sequence[Writing], model: ChatModel, tries: int
) -> tuple[Examples, Sequence[Dropped], Counter[str]]:
    """The examples with what ``model`` has written, what was dropped, and counts of both.

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
    counts.update(f"{one.writing.split}.dropped.{one.fault}.{one.writing.probe}" for one in written.dropped)
    completed = {split: [rows[split, one.example_id] for one in members] for split, members in examples.items()}
    return completed, written.dropped, counts
