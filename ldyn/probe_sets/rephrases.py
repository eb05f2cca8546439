"""Let a language model write rephrases and human sentences; check each, ask again for unusable ones, then drop them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ldyn.answers.answer_cache import AnswerCache
from ldyn.answers.api_costs import Plan, estimate_all
from ldyn.answers.api_model import ApiModel, plan_requests
from ldyn.answers.chats import ChatAnswer, ChatModel, ChatRequest, Progress
from ldyn.answers.local_models import LocalChatModel
from ldyn.data.text import normal_response
from ldyn.probe_sets.examples import Examples
from ldyn.probe_sets.own_answers import one_respondent
from ldyn.probe_sets.rephrase_texts import Templates, Writing, fault_of, letters_of, text_of
from ldyn.probe_sets.settings import API, MODEL, NOBODY, BuildRequest
from ldyn.records import ProbeExample

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
    sorter, left = _Sorter(taken), list(writings)
    for attempt in range(tries):
        if not left:
            break
        answers = model.answer([numbered(writing.request, attempt) for writing in left])
        dropped = sorter.sort_out(list(zip(left, answers, strict=True)))
        can_be_had_again = [one for one in dropped if one.writing.request.temperature > 0 and attempt + 1 < tries]
        sorter.written.asked_again.update(one.fault for one in can_be_had_again)
        sorter.written.dropped += [one for one in dropped if one not in can_be_had_again]
        left = [one.writing for one in can_be_had_again]
    return sorter.written


def numbered(request: ChatRequest, attempt: int) -> ChatRequest:
    """The same request as another draw."""
    return replace(request, sample=request.sample + attempt)


class _Sorter:
    """Separates usable from unusable texts, knowing all earlier answers."""

    def __init__(self, taken: Mapping[Row, set[str]]):
        self.written = Written()
        self._taken = {row: set(texts) for row, texts in taken.items()}
        self._sources: dict[str, set[str]] = {}  # letters of a text -> the sources that it was the answer to

    def sort_out(self, answers: Sequence[tuple[Writing, ChatAnswer]]) -> list[Dropped]:
        """Keep usable texts; return unusable ones, and kept ones that now turn out to be canned."""
        texts = [(writing, answer, text_of(answer, writing)) for writing, answer in answers]
        for writing, _, text in texts:
            self._sources.setdefault(letters_of(text), set()).add(_source(writing))
        kept = self.written.texts
        dropped = [Dropped(writing, CANNED, text) for writing, text in kept.items() if self._is_canned(text)]
        for one in dropped:
            del kept[one.writing]
        for writing, answer, text in texts:
            fault = fault_of(answer, text, writing) or self._fault_beside_others(text, writing)
            if fault is not None:
                dropped.append(Dropped(writing, fault, answer.reason or answer.text))
                continue
            kept[writing] = text
            self._taken.setdefault((writing.split, writing.example_id), set()).add(normal_response(text))
        return dropped

    def _fault_beside_others(self, text: str, writing: Writing) -> str | None:
        if self._is_canned(text):
            return CANNED
        row = self._taken.get((writing.split, writing.example_id), set())
        return REPEATS_THE_ROW if normal_response(text) in row else None

    def _is_canned(self, text: str) -> bool:
        return len(self._sources.get(letters_of(text), ())) > 1


def _source(writing: Writing) -> str:
    return letters_of(writing.source) or f"{writing.split} {writing.example_id}"


@dataclass(frozen=True)
class Rephrased:
    """The examples with what was written, what was dropped, and counts of both."""

    examples: Examples
    dropped: Sequence[Dropped]
    counts: Counter[str]


def open_rephraser(request: BuildRequest, cache: AnswerCache, progress: Progress) -> ChatModel:
    """The model that writes. Raises an LdynError where it cannot be had, as without a key."""
    config = request.rephraser
    if config.who == API:
        assert config.endpoint is not None
        return ApiModel(config.endpoint, cache, progress)
    respondent = one_respondent(config.who.removeprefix(MODEL), "rephraser.who")
    return LocalChatModel(respondent.name, respondent.load(), cache, request.device, progress)


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


def with_rephrases(examples: Examples, writings: Sequence[Writing], model: ChatModel, tries: int) -> Rephrased:
    """Let ``model`` write everything. Raises an LdynError where no answer can be had; what was answered is kept."""
    taken = {
        (split, one.example_id): {normal_response(text) for text in one.responses.values()}
        for split, members in examples.items()
        for one in members
    }
    written = write_texts(writings, model, tries, taken)
    texts: dict[tuple[str, str], dict[str, str]] = {}
    counts = Counter({f"asked_again.{fault}": number for fault, number in written.asked_again.items()})
    for writing, text in written.texts.items():
        texts.setdefault((writing.split, writing.example_id), {})[writing.probe] = text
        counts[f"{writing.split}.written.{writing.probe}"] += 1
    for one in written.dropped:
        counts[f"{one.writing.split}.dropped.{one.fault}.{one.writing.probe}"] += 1
    completed = {
        split: [_with_texts(example, texts.get((split, example.example_id), {})) for example in members]
        for split, members in examples.items()
    }
    return Rephrased(completed, written.dropped, counts)


def _with_texts(example: ProbeExample, texts: dict[str, str]) -> ProbeExample:
    return replace(example, responses={**example.responses, **texts})
