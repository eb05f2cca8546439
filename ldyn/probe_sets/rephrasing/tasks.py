"""What a language model is asked to write for one probe response, and the request that asks for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ldyn.answers.api.budget import BYTES_PER_TOKEN
from ldyn.answers.chats import ChatRequest
from ldyn.answers.templates import filled, read_template
from ldyn.data.seeding import seeded_random
from ldyn.data.text import normal_response
from ldyn.records import ProbeExample

SEMANTIC, FORMAT, SENTENCE = "semantic", "format", "sentence"
FIELDS = {SEMANTIC: ("response",), FORMAT: ("response",), SENTENCE: ()}
"""Template (a file ``<name>.txt``) -> the fields without which it would ask for nothing of use."""

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
_LONGEST_ANSWER = 2048  # tokens
_ROOM_FOR_TAGS = 64  # tokens of "<new>" and "</new>", and of a word in front
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
    """The prompts, of a directory of the user's or our own."""

    def __init__(self, directory: Path | None = None):
        """Raises DataError for a file that cannot be used."""
        own = "probe_sets/rephrasing/templates/{}.txt"
        self._texts = {
            name: read_template(None if directory is None else directory / f"{name}.txt", own.format(name), fields)
            for name, fields in FIELDS.items()
        }
        topics = files("ldyn").joinpath(own.format("topics")).read_text("utf-8")
        self._topics = topics.split("\n")[:-1]

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 of each prompt, by name."""
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
    """Tokens for an answer that is twice as long as its source, the most that is taken."""
    tokens = 2 * len(source.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN + _ROOM_FOR_TAGS
    return min(-(-tokens // _STEP) * _STEP, _LONGEST_ANSWER)
