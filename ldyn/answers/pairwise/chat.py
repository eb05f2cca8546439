"""A language model as a judge of pairs, at temperature 0: behind an endpoint or on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ldyn.answers import templates
from ldyn.answers.chats import ChatAnswer, ChatModel, ChatRequest
from ldyn.answers.pairwise.contest import Comparison, Verdict
from ldyn.answers.pairwise.verdicts import read_verdict

MAX_TOKENS = 200
"""Room for the verdict; a judge that needs more has not answered as it was asked to."""

FIELDS = ("prompt", "first", "second")
_SAID = 500  # characters of the judge's answer that are kept in a judgement; all of it is in the cache
_SAME = Verdict("tie", "not asked: the two texts are the same")


class ChatPairJudge:
    """Asks ``model`` with a template in which {prompt}, {first}, {second} and {mark} stand for what is compared."""

    def __init__(self, model: ChatModel, template: str, max_tokens: int = MAX_TOKENS):
        templates.check_fields(template, "of the judge", FIELDS)
        self._model, self._template, self._max_tokens = model, template, max_tokens
        self.name = model.name

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """Two equal texts tie without being asked about. Raises an LdynError where the model cannot be had."""
        answers = iter(self._model.answer(self.requests(comparisons)))
        return [_SAME if _are_equal(one) else _verdict(next(answers)) for one in comparisons]

    def requests(self, comparisons: Sequence[Comparison]) -> list[ChatRequest]:
        """What is asked, one request for each comparison of two different texts."""
        return [
            ChatRequest((("user", _filled(self._template, one)),), temperature=0.0, max_tokens=self._max_tokens)
            for one in comparisons
            if not _are_equal(one)
        ]


def _are_equal(comparison: Comparison) -> bool:
    return comparison.first.text.strip() == comparison.second.text.strip()


def _verdict(answer: ChatAnswer) -> Verdict:
    return Verdict(read_verdict(answer.text), answer.text[:_SAID] or answer.reason)


def read_template(path: Path | None) -> str:
    """The template of a file, or our own. Raises DataError where it cannot be used."""
    return templates.read_template(path, "answers/pairwise/templates/compare.txt", FIELDS)


def _filled(template: str, comparison: Comparison) -> str:
    texts = {"prompt": comparison.prompt, "first": comparison.first.text, "second": comparison.second.text}
    return templates.filled(template, texts)
