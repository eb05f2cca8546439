"""How texts are normalised, compared and shown."""

from __future__ import annotations

import hashlib
import unicodedata

_PICTURES = 0x2400  # U+2400 … U+2421 are pictures of the control characters U+0000 … U+0020
_DELETE = 0x7F
_JOINERS = "\u200c\u200d"  # some scripts and emoji are written with them


def normal_prompt(text: str) -> str:
    """The prompt as it is encoded: without trailing whitespace."""
    return text.rstrip()


def normal_response(text: str) -> str:
    """The response as it is encoded, without its separator: no whitespace at either end."""
    return text.strip()


def question_key(prompt: str) -> str:
    """sha256 that is equal for two questions that differ only in case, spacing and Unicode form (NFKC)."""
    text = " ".join(unicodedata.normalize("NFKC", prompt).casefold().split())
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def visible(text: object) -> str:
    """The text with each control character as its picture or code, so that it cannot steer a terminal or a page.

    Line breaks and tabs stay.
    """
    return "".join(_shown(character) for character in str(text))


def one_line(text: object, width: int) -> str:
    """The visible text on one line of at most ``width`` characters."""
    line = visible(str(text).replace("\n", "⏎").replace("\t", " "))
    return line if len(line) <= width else line[: width - 1] + "…"


def _shown(character: str) -> str:
    code = ord(character)
    if character in "\n\t" or (code >= ord(" ") and unicodedata.category(character) not in ("Cc", "Cf", "Cs")):
        return character
    if code < ord(" "):
        return chr(_PICTURES + code)
    if code == _DELETE:
        return "␡"
    return character if character in _JOINERS else f"⟨U+{code:04X}⟩"
