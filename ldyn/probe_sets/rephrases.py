"""Rephrases and human sentences for the examples of a set, by an endpoint or by a model on this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ldyn.answers.answer_cache import AnswerCache
from ldyn.answers.api import ApiModel
from ldyn.answers.api.budget import estimate_all
from ldyn.answers.api.client import Plan, plan_requests
from ldyn.answers.chats import ChatModel, Progress
from ldyn.answers.local_chat import LocalChatModel
from ldyn.data.text import normal_response
from ldyn.probe_sets.examples import Examples
from ldyn.probe_sets.own_answers import one_respondent
from ldyn.probe_sets.rephrasing.tasks import Templates, Writing
from ldyn.probe_sets.rephrasing.writer import Dropped, write_texts
from ldyn.probe_sets.settings import API, MODEL, NOBODY, BuildRequest
from ldyn.records import ProbeExample
from ldyn.run.score_file import find_device


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
    respondent = one_respondent(config.who.removeprefix(MODEL), "--rephraser")
    return LocalChatModel(respondent.name, respondent.load(), cache, str(find_device(request.device)), progress)


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
