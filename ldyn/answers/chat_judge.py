"""A language model that compares two answers, and the verdict in what it writes.

A verdict is the JSON that the model was asked for or, failing that, one of a few plain forms. Nothing is guessed: an
answer that names no winner, or both, is unread (None).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ldyn.answers.chats import ChatAnswer, ChatModel, ChatRequest, filled, read_template
from ldyn.answers.comparison import Comparison, Place, Verdict

MAX_TOKENS = 200
"""Room for the verdict; a judge that needs more has not answered as asked."""

FIELDS = ("prompt", "first", "second")
_SAID = 500  # characters of the judge's answer that are kept in a judgement; all of it is in the cache
_SAME = Verdict("tie", "not asked: the two texts are the same")


def compare_template(path: Path | None) -> str:
    """The template in a file, or our own. Raises DataError where it cannot be used."""
    return read_template(path, "answers/compare.txt", FIELDS)


class ChatJudge:
    """Asks ``model`` with a template in which {prompt}, {first}, {second} and {mark} are filled in."""

    def __init__(self, model: ChatModel, template: str):
        self.model, self.name, self._template = model, model.name, template

    def compare(self, pairs: Sequence[Comparison]) -> list[Verdict]:
        """Two equal texts tie without a request. Raises an LdynError where the model cannot be asked."""
        answers = iter(self.model.answer(requests_of(self._template, pairs)))
        return [_SAME if _are_equal(one) else _verdict(next(answers)) for one in pairs]


def _verdict(answer: ChatAnswer) -> Verdict:
    return Verdict(read_verdict(answer.text), answer.text[:_SAID] or answer.reason)


def requests_of(template: str, pairs: Sequence[Comparison]) -> list[ChatRequest]:
    """One request for each pair of two different texts."""
    shown = [(one.prompt, one.a.text, one.b.text) for one in pairs if not _are_equal(one)]
    messages = [filled(template, dict(zip(FIELDS, texts, strict=True))) for texts in shown]
    return [ChatRequest((("user", message),), temperature=0.0, max_tokens=MAX_TOKENS) for message in messages]


def _are_equal(pair: Comparison) -> bool:
    return pair.a.text.strip() == pair.b.text.strip()


# --------------------------------------------------------------------------------------------------------------
# Verdicts in words

WINNER_KEYS = ("winner", "verdict", "better", "preferred")
_NAMES: dict[str, Place] = {
    "1": "first", "a": "first", "first": "first",
    "2": "second", "b": "second", "second": "second",
    "tie": "tie", "equal": "tie", "both": "tie", "neither": "tie", "draw": "tie", "c": "tie",
}  # fmt: skip
_NAME = r"(1|2|A|B|(?i:tie|draw))"  # no small a: "the winner is a …"
_ANSWER = r"(?i:answer|response|option|assistant)"
_OPEN = r"[\s\"'“*\[(]*"
_SAYINGS = (
    re.compile(r"\[\[\s*(1|2|A|B|C|(?i:tie))\s*\]\]"),  # as in MT-Bench, where C is a tie
    re.compile(rf"(?i:\b(?:winner|verdict|choice)\b\W*?(?:is|:|=)){_OPEN}(?:a )?{_ANSWER}?{_OPEN}{_NAME}\b"),
    re.compile(rf"\A\W*{_ANSWER}?\W*{_NAME}\W*\Z"),  # nothing but the name
)


def read_verdict(text: str) -> Place | None:
    """The answer that the text prefers, or None where that is unclear."""
    sayings = ([_NAMES[name.lower()] for name in pattern.findall(text)] for pattern in _SAYINGS)
    found = list(_json_winners(text)) or next(filter(None, sayings), [])
    return found[0] if found and len(set(found)) == 1 else None


def _json_winners(text: str) -> Iterator[Place]:
    for match in re.finditer(r"\{[^{}]*\}", text):
        try:
            record = json.loads(match[0])
        except ValueError:
            continue
        for key, value in record.items():
            name = re.sub(rf"^{_ANSWER}\s*", "", str(value).strip()).lower()
            if key.strip().lower() in WINNER_KEYS and name in _NAMES:
                yield _NAMES[name]
