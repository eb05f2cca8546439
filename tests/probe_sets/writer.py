"""An endpoint's behaviour: it writes what the prompts of a probe set ask for, well or badly."""

from __future__ import annotations

import re
from typing import Any

from stand_in import Reply, said


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
