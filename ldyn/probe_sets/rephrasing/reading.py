"""From a language model's answer to the text that it was asked for, and why a text cannot be used.

The rules are those of `ldyn probes --check` (``ldyn.probe_sets.quality_checks``), applied to one text
at a time, so that what is kept here is not found there.
"""

from __future__ import annotations

import re

from ldyn.answers.chats import REFUSED, ChatAnswer
from ldyn.answers.text_metrics import repeated_ngrams
from ldyn.data.text import normal_response
from ldyn.probe_sets.markup import is_open, leftover_markup
from ldyn.probe_sets.quality_checks import LONG, SHORT
from ldyn.probe_sets.rephrasing.tasks import Writing

MOST_REPEATED = 0.3
"""Share of 4-grams that occurred before in the text, above which it runs in a loop and no person wrote it."""

_TAGGED = re.compile(r"<new>(.*?)</new>", re.DOTALL)
_QUOTED = re.compile(r"\A\"([^\"]*)\"\Z|\A“([^“”]*)”\Z")


def text_of(answer: ChatAnswer, writing: Writing) -> str:
    """The last text between <new> and </new>, or all of the answer; without quotes that the source does not have."""
    tagged = _TAGGED.findall(answer.text)
    text = normal_response(tagged[-1] if tagged else answer.text)
    quoted = _QUOTED.match(text)
    if quoted and not _QUOTED.match(writing.source):
        return normal_response(quoted[1] or quoted[2] or "")
    return text


def fault_of(answer: ChatAnswer, text: str, writing: Writing) -> str | None:
    """Why ``text``, taken from ``answer``, is no use, in a word; None if it is."""
    if answer.finish == REFUSED:
        return "refused"
    if not text:
        return "empty"
    if answer.finish == "length" and not _TAGGED.search(answer.text):
        return "cut"
    return _fault_of_words(text, writing) or _fault_of_form(text, writing)


def _fault_of_words(text: str, writing: Writing) -> str | None:
    words = text.split()
    if sum(character.isalpha() for character in text) * 2 < len("".join(words)) and not _is_mostly_signs(writing):
        return "no_words"
    ratio = len(words) / max(1, writing.words)
    if ratio < SHORT:
        return "too_short"
    if ratio > LONG:
        return "too_long"
    repeats = repeated_ngrams(words, 4)
    return "loop" if repeats > max(MOST_REPEATED, repeated_ngrams(writing.source.split(), 4)) else None


def _is_mostly_signs(writing: Writing) -> bool:
    """A source of numbers, or of code, is rephrased in numbers and code."""
    letters = sum(character.isalpha() for character in writing.source)
    return bool(writing.source) and letters * 2 < len("".join(writing.source.split()))


def _fault_of_form(text: str, writing: Writing) -> str | None:
    if letters_of(text) == letters_of(writing.source):
        return "unchanged"
    if any(True for _ in leftover_markup(text, writing.source)):
        return "markup"
    return "unfinished" if is_open(text) and not is_open(writing.source) else None


def letters_of(text: str) -> str:
    """What is left of a text when case, spaces and punctuation do not count."""
    return "".join(re.findall(r"\w+", text.casefold()))
