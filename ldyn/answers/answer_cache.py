"""Answers on disk, found by their question: an interrupted job continues, a repeated one asks nothing.

One file per answer, ``<directory>/<2 digits>/<sha256>.json``, written atomically, with its question inside. A question
is everything that decides the answer: the model, where it runs, messages, parameters. API keys are not part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ldyn.answers.chats import ChatAnswer
from ldyn.store.files import write_atomically

VERSION = 1


class AnswerCache:
    """A directory of answers, usable by several threads and processes at a time."""

    def __init__(self, directory: Path):
        self.directory = directory

    def get(self, question: Mapping[str, Any]) -> ChatAnswer | None:
        """The answer to exactly this question; None where there is none or its file is damaged."""
        try:
            stored = json.loads(self._path(question).read_text(encoding="utf-8"))
            same = stored["question"] == json.loads(json.dumps(question))  # as JSON: tuples are lists
            ids = tuple(stored["answer"].get("token_ids", ()))
            return ChatAnswer(**{**stored["answer"], "token_ids": ids}) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, question: Mapping[str, Any], answer: ChatAnswer) -> None:
        """Keep the answer. Raises RunDirectoryError where it cannot be written."""
        content = json.dumps({"question": question, "answer": asdict(answer)}, indent=1) + "\n"
        write_atomically(self._path(question), content.encode())

    def _path(self, question: Mapping[str, Any]) -> Path:
        digest = hashlib.sha256(json.dumps([VERSION, question], sort_keys=True).encode()).hexdigest()
        return self.directory / digest[:2] / f"{digest}.json"
