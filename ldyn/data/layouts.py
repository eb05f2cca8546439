r"""Preference records in TRL's formats and ShareGPT's, split into a prompt and its responses.

A record maps our names (``prompt``, ``system`` and probe keys) to values. Its format follows from the values:

- *explicit*: ``prompt``, ``chosen`` and ``rejected`` are texts.
- *implicit*: no prompt; ``chosen`` and ``rejected`` are texts that share a beginning, which is the prompt. Where it
  holds "\n\nAssistant:" (HH's dialogues) the prompt ends behind the last one, else behind the last shared word.
- *conversational*: messages, {role, content} or ShareGPT's {from, value}; a single one may stand without its list. The
  messages before the answer are the prompt: those of ``prompt``, or those that every response begins with.

A ``system`` text becomes the first message. A conversation is kept as turns, and as plain text in the form of the
paper's UltraFeedback prompts: "Human: …\nAssistant:".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os.path import commonprefix
from typing import Any, Literal

from ldyn.data.text import normal_prompt
from ldyn.records import ProbeExample, Turn

Layout = Literal["auto", "dialogue", "messages"]
"""How records are read: by their values, or only as HH's dialogues, or only as messages (other records are faults)."""

MAX_CHARACTERS = 1_000_000
"""A longer text is a slip, such as a quotation mark that is never closed, and would take minutes to tokenise."""

PAIR = ("chosen", "rejected")
_ASSISTANT = "\n\nAssistant:"
_HUMAN = "\n\nHuman:"
_SPEAKERS = {"user": "Human", "assistant": "Assistant", "system": "System"}
_SHAREGPT_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant"}
_SHAREGPT_KEYS = {"from": "role", "value": "content"}


class UnusableRecord(Exception):
    """A record that cannot be read: ``reason`` is a key of ``row_reading.REASONS``, ``found`` what was found."""

    def __init__(self, reason: str, found: str):
        self.reason, self.found = reason, found
        super().__init__(f"{reason}: {found}")


def read_record(
    row_id: str, record: Mapping[str, Any], layout: Layout = "auto", *, with_system: bool = False
) -> ProbeExample:
    """The row of a record, in which a name without value may be None or absent. Raises UnusableRecord.

    with_system: write every prompt as a conversation, with the record's ``system`` text before it if there is one.
    Texts may be blank here; ``ldyn.data.rows`` drops those.
    """
    given = {name: value for name, value in record.items() if value is not None and name != "id"}
    values = {name: [value] if isinstance(value, Mapping) else value for name, value in given.items()}
    for name, value in values.items():
        if not isinstance(value, (str, list, tuple)):
            raise UnusableRecord("not_text", f"{name} is of type {type(value).__name__}")
    system = values.pop("system", "")
    row = replace(_row(values, layout), example_id=row_id)
    if with_system and isinstance(system, str) and "prompt" in values:
        turns = row.turns or (Turn("user", normal_prompt(row.prompt)),)
        if system.strip() and turns[0].role != "system":
            turns = (Turn("system", system), *turns)
        row = replace(row, prompt=plain_conversation(turns), turns=turns)
    for text in (row_id, row.prompt, *row.responses.values()):
        if len(text) > MAX_CHARACTERS:
            raise UnusableRecord("enormous", f"{len(text):,} characters")
        if half := re.search("[\ud800-\udfff]", text):
            raise UnusableRecord("half_a_character", f"U+{ord(half[0]):04X}")
    return row


def has_system(record: Mapping[str, Any]) -> bool:
    """Whether a record has a ``system`` text; if one of a file has, all its prompts are conversations."""
    return bool(str(record.get("system") or "").strip())


def _row(values: Mapping[str, Any], layout: Layout) -> ProbeExample:
    has_lists = any(not isinstance(value, str) for value in values.values())
    if layout == "dialogue" and has_lists:
        raise UnusableRecord("not_text", "a list")
    if layout == "messages" and not has_lists:
        raise UnusableRecord("not_messages", "texts")
    if has_lists:
        return _conversation(values)
    if layout == "auto" and "prompt" in values:
        return ProbeExample("", values["prompt"], {name: text for name, text in values.items() if name != "prompt"})
    return _without_prompt({name: text for name, text in values.items() if name != "prompt"}, layout)


def without_repeated_prompts(rows: Sequence[ProbeExample]) -> tuple[list[ProbeExample], bool]:
    """The rows, and whether chosen and rejected repeated the prompt in every row: it is then taken off them.

    In a single row that may be chance.
    """

    def repeats(row: ProbeExample) -> bool:
        prompt = normal_prompt(row.prompt)
        return bool(prompt.strip()) and all(row.responses.get(key, "").startswith(prompt) for key in PAIR)

    def behind(row: ProbeExample) -> ProbeExample:
        prompt = normal_prompt(row.prompt)
        return replace(row, responses={key: text.removeprefix(prompt) for key, text in row.responses.items()})

    repeated = len(rows) > 1 and all(map(repeats, rows))
    return (list(map(behind, rows)) if repeated else list(rows)), repeated


def _without_prompt(texts: Mapping[str, str], layout: Layout) -> ProbeExample:
    """Texts with a common beginning, which is the prompt.

    Dialogues as in HH are split behind the last cue for the assistant that all texts share; others behind the last
    shared word: one that continues differently belongs to the answers.
    """
    common = commonprefix(list(texts.values()))  # noqa: RUF071 (text, not paths)
    is_dialogue = layout == "dialogue" or _ASSISTANT in common
    if is_dialogue:
        end = common.rfind(_ASSISTANT) + len(_ASSISTANT) if _ASSISTANT in common else 0
    else:
        end = max((space.start() for space in re.finditer(r"\s+", common)), default=0)
    if not end or len(texts) < 2:
        raise UnusableRecord("no_common_prompt", "no shared beginning")
    answers = {name: text[end:] for name, text in texts.items()}
    if is_dialogue and any(_HUMAN in answer for answer in answers.values()):
        raise UnusableRecord("parted_before_the_last_turn", "a further turn of the human in an answer")
    return ProbeExample("", common[:end], answers)


# --------------------------------------------------------------------------------------------------------------
# Conversations


def _conversation(values: Mapping[str, Any]) -> ProbeExample:
    messages = {
        name: tuple(_turn(name, message) for message in value)
        for name, value in values.items()
        if not isinstance(value, str)
    }
    prompt = messages.pop("prompt", ())
    for name, turns in messages.items():
        if not turns or turns[-1].role != "assistant":
            raise UnusableRecord("no_answer", f"{name} ends with {turns[-1].role if turns else 'nothing'}")
    prompt = _one_prompt(prompt, {name: turns[:-1] for name, turns in messages.items()}, values.get("prompt"))
    roles = [turn.role for turn in prompt]
    if unknown := [role for role in roles if role not in _SPEAKERS]:
        raise UnusableRecord("unknown_role", repr(unknown[0]))
    rest = roles[1:] if roles[0] == "system" else roles
    if rest != ["user", "assistant"] * (len(rest) // 2) + ["user"]:
        raise UnusableRecord("roles_out_of_order", ", ".join(roles))
    answers = {name: turns[-1].content for name, turns in messages.items()}
    texts = {name: text for name, text in values.items() if name != "prompt" and isinstance(text, str)}
    return ProbeExample("", plain_conversation(prompt), {**texts, **answers}, prompt)


def _one_prompt(given: tuple[Turn, ...], before: Mapping[str, tuple[Turn, ...]], text: Any) -> tuple[Turn, ...]:
    """The messages before the answer, which must be the same wherever there are some."""
    found = {turns: name for name, turns in before.items() if turns}
    if given:
        found.setdefault(given, "prompt")
    if not found and isinstance(text, str):
        return (Turn("user", text),)
    if len(found) == 1:
        return next(iter(found))
    lengths = ", ".join(f"{len(turns)} in {name}" for turns, name in found.items())
    has_parted = len({len(turns) for turns in found}) > 1
    reason = "parted_before_the_last_turn" if has_parted else "no_common_prompt"
    raise UnusableRecord(reason, f"messages before the answer: {lengths or 'none'}")


def _turn(name: str, message: Any) -> Turn:
    if not isinstance(message, Mapping):
        raise UnusableRecord("not_messages", f"{name} holds a {type(message).__name__}")
    ours = {_SHAREGPT_KEYS.get(key, key): value for key, value in message.items() if value is not None}
    role, content = ours.get("role"), ours.get("content")
    if not isinstance(role, str) or not isinstance(content, str):
        raise UnusableRecord("not_messages", f"{name} holds the keys {', '.join(map(str, message))}")
    return Turn(_SHAREGPT_ROLES.get(role, role) if "from" in message else role, content)


def plain_conversation(turns: Sequence[Turn]) -> str:
    r"""A prompt of turns as plain text: "Human: …\nAssistant:"."""
    return "\n".join([*(f"{_SPEAKERS[turn.role]}: {turn.content}" for turn in turns), "Assistant:"])
