"""Reading a verdict in what a language model wrote: the JSON that it was asked for, or, failing that, plain words.

Nothing is guessed: an answer that names nobody, or names both as the winner, is unread (None).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ldyn.answers.pairwise.contest import Place

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
    re.compile(rf"(?i:\b(?:better|best|preferred)) {_ANSWER} is{_OPEN}{_ANSWER}?{_OPEN}{_NAME}\b"),
    re.compile(rf"{_ANSWER} {_NAME} (?i:is (?:clearly |much |slightly )?better|is the (?:better|winner)|wins)\b"),
    re.compile(rf"\A\W*{_ANSWER}?\W*{_NAME}\W*\Z"),  # nothing but the name
)


def read_verdict(text: str) -> Place | None:
    """Whom the text prefers, or None where it cannot be told."""
    found = list(_json_winners(text)) or _first_saying(text)
    return found[0] if found and len(set(found)) == 1 else None


def _json_winners(text: str) -> Iterator[Place]:
    """The winners that the objects in the text name; nested ones are not looked for."""
    for match in re.finditer(r"\{[^{}]*\}", text):
        try:
            record = json.loads(match[0])
        except ValueError:
            continue
        for key, value in record.items():
            place = _named(value)
            if key.strip().lower() in WINNER_KEYS and place is not None:
                yield place


def _named(value: Any) -> Place | None:
    """Whom a value of the JSON names."""
    return _NAMES.get(re.sub(rf"^{_ANSWER}\s*", "", str(value).strip()).lower())


def _first_saying(text: str) -> list[Place]:
    """What the first pattern that fits finds, all of it: two different names are no verdict."""
    for pattern in _SAYINGS:
        places = [_NAMES[name.lower()] for name in pattern.findall(text)]
        if places:
            return places
    return []
