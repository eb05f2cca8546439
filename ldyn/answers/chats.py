"""Asking a language model in messages, wherever it runs; answers kept on disk; prompt templates with {fields}."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from ldyn.data.chat_tokens import Message
from ldyn.errors import DataError
from ldyn.store.files import write_atomically

Progress = Callable[[int, int], None]
"""Called with (answered, all) while answers come in."""

REFUSED = "refused"
VERSION = 1
"""Of the files of `AnswerCache`."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked. sample: 0, 1, … for several answers to the same messages at a temperature above 0."""

    messages: tuple[Message, ...]
    temperature: float = 0.0
    max_tokens: int = 256
    sample: int = 0


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """The answer. ``text`` is empty where the model or its endpoint refused; ``reason`` then says why.

    finish: "stop" (the model ended it), "length" (cut at max_tokens), REFUSED, or what the endpoint says.
    """

    text: str
    finish: str = "stop"
    reason: str = ""


class ChatModel(Protocol):
    """A model that answers chats."""

    name: str

    def answer(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer]:
        """One answer for each request, in order; cached ones are not asked again.

        Raises an LdynError where no further answer can be had; all answers until then are in the cache.
        """


class AnswerCache:
    """Answers found by their question: an interrupted job continues, a repeated one asks nothing.

    One file per answer, ``<directory>/<2 digits>/<sha256>.json``, written atomically, with its question inside. A
    question is everything that decides the answer: the model, where it runs, messages, parameters, but no API key.
    Several threads and processes may use the directory at a time.
    """

    def __init__(self, directory: Path):
        self.directory = directory

    def get(self, question: Mapping[str, Any]) -> ChatAnswer | None:
        """The answer to exactly this question; None where there is none or its file is damaged."""
        try:
            stored = json.loads(self._path(question).read_text(encoding="utf-8"))
            same = stored["question"] == json.loads(json.dumps(question))  # as JSON: tuples are lists
            return ChatAnswer(**{name: stored["answer"][name] for name in ChatAnswer.__slots__}) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, question: Mapping[str, Any], answer: ChatAnswer) -> None:
        """Keep the answer. Raises RunDirectoryError where it cannot be written."""
        content = json.dumps({"question": question, "answer": asdict(answer)}, indent=1) + "\n"
        write_atomically(self._path(question), content.encode())

    def _path(self, question: Mapping[str, Any]) -> Path:
        digest = hashlib.sha256(json.dumps([VERSION, question], sort_keys=True).encode()).hexdigest()
        return self.directory / digest[:2] / f"{digest}.json"


def read_template(path: Path | None, own: str, fields: Collection[str]) -> str:
    """The template in a file, or our own: ``own`` is its path inside ``ldyn``.

    Raises DataError where the file cannot be read or lacks one of ``fields``.
    """
    try:
        text = files("ldyn").joinpath(own).read_text("utf-8") if path is None else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The template {path} cannot be read ({error}); expected a text file in UTF-8.") from error
    missing = [field for field in fields if f"{{{field}}}" not in text]
    if missing:
        needed = ", ".join(f"{{{field}}}" for field in fields)
        raise DataError(f"The template {path or own} lacks {{{missing[0]}}}; it needs {needed}.")
    return text


def filled(template: str, texts: Mapping[str, str]) -> str:
    """Replace each {name} by its text, all at once: a text that holds "{field}" stays as it is.

    {mark} becomes a hash of the texts shown: it fences texts in, and no text can contain it.
    """
    shown = (text for name, text in texts.items() if f"{{{name}}}" in template)
    content = "\0".join(shown).encode("utf-8", "surrogatepass")
    values = {**texts, "mark": hashlib.sha256(content).hexdigest()[:12]}
    names = "|".join(map(re.escape, values))
    return re.sub(rf"\{{({names})\}}", lambda match: values[match[1]], template)
