"""Markup that a language model leaves around a text: labels, markers, lists, tags, and an end within a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LABELS = r"(?:original|rephras|paraphras|reword|rewrit|revis|input|output|answer|response|version|sentence)"
_END_OF_SENTENCE = re.compile(r"[.?!:…)\]}\"”’'*]\s*\Z")
_MARKER = re.compile(r"([@#=*~_|<>^%+-])\1{2,}")

KINDS: dict[str, re.Pattern[str]] = {
    "a label (“Rephrased:”)": re.compile(rf"(?im)^\W*(?:(?:the|my|your|a|first|second)\s+)?{_LABELS}[\w ]{{0,20}}:"),
    "another turn (“Human:”, “A:”)": re.compile(r"(?m)^\s*(?:Human|Assistant|User|System|Question|Q|A):"),
    "an announcement (“Here is …”)": re.compile(
        r"(?i)\A\W*(?:(?:sure|certainly|of course)\W+)?here(?:'s|’s| is| are)\b[^.\n]{0,60}"
        r"(?:rephras|paraphras|reword|rewrit|version|sentence|alternative)"
    ),
    "a list": re.compile(r"(?m)^\s*(?:[*•+-]|\d{1,2}[.)])\s+\S"),
    "an HTML tag": re.compile(r"</?(?!s>)[a-zA-Z][a-zA-Z0-9-]*(?:\s[^<>]*)?/?>"),
    "a control token as text": re.compile(r"<\|[^|<>\s]+\|>|</?s>|\[/?INST\]"),
    "Markdown": re.compile(r"(?m)\*\*\S|^#{1,6}\s|`{1,3}\S|\[[^\]\n]+\]\(http"),
    "a slot to fill in (“[name]”)": re.compile(
        r"\{[^{}\n]{1,40}\}|[\[<](?:your|insert|name|sentence|topic)\b[^\]>\n]*[\]>]"
    ),
    "quotes or brackets around all of it": re.compile(
        r"\A\s*(?:\"[^\"]*\"|“[^”]*”|'[^'\n]*'|\([^()]*\)|\[[^\[\]]*\])\s*\Z"
    ),
}


def leftover_markup(text: str, source: str) -> Iterator[tuple[str, int]]:
    """(kind, position) for each kind of markup that ``text`` has and ``source`` lacks: a rephrased list is a list."""
    in_source = {kind for kind, _ in _markup(source)}
    return ((kind, position) for kind, position in _markup(text) if kind not in in_source)


def _markup(text: str) -> Iterator[tuple[str, int]]:
    """Each kind once, where it comes first."""
    markers = [(f"the marker {match[0][:3]}", match.start()) for match in _MARKER.finditer(text)]  # "@@@@" is "@@@"
    yield from dict(reversed(markers)).items()
    for kind, pattern in KINDS.items():
        found = pattern.search(text)
        if found:
            yield kind, found.start()


def is_open(text: str) -> bool:
    """Whether the text ends within a sentence."""
    return bool(text.strip()) and not _END_OF_SENTENCE.search(text)
