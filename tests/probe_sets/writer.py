"""Preference pairs for the tests, and an endpoint that writes what the prompts of a probe set ask for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from stand_in import Reply, said

NOUNS = ["heron", "violin", "ferry", "baker", "lantern", "cellar", "orchard", "tailor", "harbour", "pumpkin"]


def pair(number: int) -> dict[str, str]:
    noun, other = NOUNS[number % 10], NOUNS[number // 10 % 10]
    return {
        "prompt": f"\n\nHuman: What should I know about the {noun} and the {other}, question {number}?\n\nAssistant:",
        "chosen": f" The {noun} number {number} is seldom without its {other}, and rarely late.",
        "rejected": f"I would not ask about any {noun} of kind {number} before {other} noon.",
    }


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def source_in(message: str) -> str:
    """The reply or text that a prompt shows, "" for a sentence."""
    found = re.search(r"<(?:reply|text) (\w+)>\n(.*)\n</(?:reply|text) \1>", message, re.DOTALL)
    return found[2] if found else ""


def written(message: str) -> str:
    """A text that can be used: the source's words backwards or sorted; words about the topics, as many as asked for."""
    source = source_in(message)
    if not source:
        number, topic = int(re.findall(r"about (\d+) words", message)[0]), message.partition("to do with ")[2][:40]
        words = [*re.findall(r"[a-z]+", topic), *(f"thing{index}" for index in range(number))][:number]
    else:
        words = re.findall(r"\w+", source)
        words = words[::-1] if message.startswith("Below are") else sorted(words)
        words = [*words, "again"] if len(words) < 3 else words
    return " ".join(words).capitalize() + "."


def writes_well(body: dict[str, Any]) -> Reply:
    return said(f"<new>{written(body['messages'][0]['content'])}</new>")
