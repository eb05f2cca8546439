"""The texts that a language model is asked to write: the request, and the checks of its answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from ldyn.answers.chats import REFUSED, ChatAnswer, ChatRequest, filled
from ldyn.answers.measures import repeated_ngrams
from ldyn.data.seeding import seeded_random
from ldyn.data.text import normal_response
from ldyn.records import ProbeExample

SEMANTIC, FORMAT, SENTENCE = "semantic", "format", "sentence"
TEMPLATES = (SEMANTIC, FORMAT, SENTENCE)
"""Files ``<name>.txt``."""

WRITTEN: Mapping[str, tuple[str, str]] = {
    "chosen_gptsemantic": (SEMANTIC, "chosen"),
    "chosen_gptformat": (FORMAT, "chosen"),
    "reject_gptsemantic": (SEMANTIC, "rejected"),
    "reject_gptformat": (FORMAT, "rejected"),
    "irr_hum": (SENTENCE, "chosen"),
}
"""Probe -> (template, the response that it rephrases; of a human sentence, the one whose length it takes)."""

MOST_TRIES = 100
_SHORTEST_SENTENCE = 5  # words, also where chosen is "Yes."
_BYTES_PER_TOKEN = 4  # of English in UTF-8, roughly, for every tokenizer in use
_LONGEST_ANSWER = 2048  # tokens
_ROOM_FOR_TAGS = 64  # tokens of "<new>" and "</new>", and of an introduction
_STEP = 128  # lengths are rounded up to multiples of it: a local model answers requests of one length together


@dataclass(frozen=True)
class Writing:
    """One text to be written. ``source``: what is rephrased; "" for a sentence of its own. ``words``: how long."""

    split: str
    example_id: str
    probe: str
    source: str
    words: int
    request: ChatRequest


class Templates:
    """The prompts."""

    def __init__(self) -> None:
        directory = files("ldyn").joinpath("probe_sets", "templates")
        self._texts = {name: directory.joinpath(f"{name}.txt").read_text("utf-8") for name in TEMPLATES}
        self._topics = directory.joinpath("topics.txt").read_text("utf-8").split("\n")[:-1]

    @property
    def hashes(self) -> dict[str, str]:
        return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self._texts.items()}

    def writings(
        self, split: str, examples: Sequence[ProbeExample], probes: Sequence[str], temperature: float
    ) -> list[Writing]:
        """What is to be written: those of ``probes`` that an example lacks and has a source for."""
        return [
            self._writing(split, example, probe, temperature)
            for example in examples
            for probe in probes
            if probe not in example.responses and WRITTEN[probe][1] in example.responses
        ]

    def _writing(self, split: str, example: ProbeExample, probe: str, temperature: float) -> Writing:
        template, side = WRITTEN[probe]
        source = normal_response(example.responses[side])
        words = len(source.split()) if template != SENTENCE else max(_SHORTEST_SENTENCE, len(source.split()))
        random = seeded_random(0, "sentence", split, example.example_id)
        texts = {"prompt": example.prompt.strip(), "response": source, "words": str(words)}
        texts["topic"] = " and ".join(random.sample(self._topics, 2))
        message = filled(self._texts[template], texts)
        # Sentences have no source that would tell one request from another: each is a draw of its own.
        sample = random.randrange(10**6) * MOST_TRIES if template == SENTENCE else 0
        request = ChatRequest((("user", message),), temperature, _room(source), sample)
        return Writing(split, example.example_id, probe, "" if template == SENTENCE else source, words, request)


def _room(source: str) -> int:
    """Tokens for an answer twice as long as its source, the longest that is accepted."""
    tokens = 2 * len(source.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN + _ROOM_FOR_TAGS
    return min(-(-tokens // _STEP) * _STEP, _LONGEST_ANSWER)


SHORT, LONG = 0.5, 2.0
"""Fewest and most words of a rephrase for each word of its source."""
MOST_REPEATED = 0.3
"""Share of 4-grams that occurred before in the text, above which it runs in a loop and no person wrote it."""

_LABELS = r"(?:original|rephras|paraphras|reword|rewrit|revis|input|output|answer|response|version|sentence)"
_MARKUP = (
    re.compile(r"([@#=*~_|<>^%+-])\1{2,}"),
    re.compile(rf"(?im)^\W*(?:(?:the|my|your|a|first|second)\s+)?{_LABELS}[\w ]{{0,20}}:"),
    re.compile(r"(?m)^\s*(?:Human|Assistant|User|System|Question|Q|A):"),
    re.compile(
        r"(?i)\A\W*(?:(?:sure|certainly|of course)\W+)?here(?:'s|’s| is| are)\b[^.\n]{0,60}"
        r"(?:rephras|paraphras|reword|rewrit|version|sentence|alternative)"
    ),
    re.compile(r"(?m)^\s*(?:[*•+-]|\d{1,2}[.)])\s+\S"),
    re.compile(r"</?[a-zA-Z][a-zA-Z0-9-]*(?:\s[^<>]*)?/?>|<\|[^|<>\s]+\|>|\[/?INST\]"),
    re.compile(r"(?m)\*\*\S|^#{1,6}\s|`{1,3}\S|\[[^\]\n]+\]\(http"),
    re.compile(r"\{[^{}\n]{1,40}\}|[\[<](?:your|insert|name|sentence|topic)\b[^\]>\n]*[\]>]"),
    re.compile(r"\A\s*(?:\"[^\"]*\"|“[^”]*”|'[^'\n]*'|\([^()]*\)|\[[^\[\]]*\])\s*\Z"),
)
"""Markers, labels, turns, announcements, lists, tags and control tokens, Markdown, slots, quotes around all of it."""
_END_OF_SENTENCE = re.compile(r"[.?!:…)\]}\"”’'*]\s*\Z")
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
    """Why ``text``, taken from ``answer``, is unusable, or None."""
    words, source = text.split(), writing.source
    is_cut = answer.finish == "length" and not _TAGGED.search(answer.text)
    most_repeated = max(MOST_REPEATED, repeated_ngrams(source.split(), 4))
    faults = {
        "refused": answer.finish == REFUSED,
        "empty": not text,
        "cut": is_cut,
        "too_short": len(words) < SHORT * writing.words,
        "too_long": len(words) > LONG * writing.words,
        "loop": repeated_ngrams(words, 4) > most_repeated,
        "unchanged": letters_of(text) == letters_of(source),
        "markup": has_leftover_markup(text, source),
        "unfinished": is_open(text) and not is_open(source),
    }
    return next((fault for fault, is_so in faults.items() if is_so), None)


def has_leftover_markup(text: str, source: str) -> bool:
    """Whether ``text`` has markup of a kind that ``source`` lacks (a rephrased list is a list)."""
    return any(pattern.search(text) and not pattern.search(source) for pattern in _MARKUP)


def is_open(text: str) -> bool:
    return bool(text.strip()) and not _END_OF_SENTENCE.search(text)


def letters_of(text: str) -> str:
    """What is left of a text when case, spaces and punctuation do not count."""
    return "".join(re.findall(r"\w+", text.casefold()))
