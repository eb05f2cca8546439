r"""Preference records in any of TRL's formats, taken apart into a prompt and its responses.

A record maps our names (``prompt`` and probe keys) to values. Its form is told by its values:

- *explicit*: ``prompt``, ``chosen`` and ``rejected`` are texts;
- *implicit*: no prompt; ``chosen`` and ``rejected`` are texts that share a beginning, which is the prompt. Where that
  beginning holds "\n\nAssistant:" (HH's dialogues) the prompt ends behind the last one, else behind the last word that
  both share;
- *conversational*: message lists, {role, content} each. The messages before the answer are the prompt: those of
  ``prompt``, or those that every response begins with, or ``prompt`` as one message of the user.

A conversation's prompt is kept as turns, and as plain text in the form of the paper's UltraFeedback prompts:
"Human: …\nAssistant:".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any, Literal

from ldyn.records import Turn

Layout = Literal["auto", "dialogue", "messages"]
"""How records are read: by their values, or only as HH's dialogues or as message lists (others are then faults)."""

MAX_CHARACTERS = 1_000_000
"""A longer text is a slip, such as a quotation mark that is never closed, and would take minutes to tokenise."""

_ASSISTANT = "\n\nAssistant:"
_HUMAN = "\n\nHuman:"
_SPEAKERS = {"user": "Human", "assistant": "Assistant", "system": "System"}


@dataclass(frozen=True, slots=True)
class RecordParts:
    """A record taken apart: the prompt as text, the same as turns where it is a conversation, and the responses."""

    prompt: str
    responses: Mapping[str, str]
    turns: tuple[Turn, ...] = ()


class UnusableRecord(Exception):
    """A record that cannot be taken apart: ``reason`` is a key of REASONS, ``found`` says what was found."""

    def __init__(self, reason: str, found: str):
        self.reason, self.found = reason, found
        super().__init__(f"{reason}: {found}")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why records cannot be used: what these rows have, and what can be done."""

    rows: str
    next_step: str


_MESSAGES = 'a message is {"role": …, "content": …}, both of them texts'
REASONS: Mapping[str, Reason] = {
    "not_text": Reason("with a value that is neither text nor a list of messages", "write a text"),
    "not_messages": Reason("with a list that holds something other than messages", _MESSAGES),
    "unknown_role": Reason("with a role that is not known", "the roles are system, user and assistant"),
    "roles_out_of_order": Reason(
        "with roles out of order",
        "expected a system message or none, then user and assistant in turn, and the user last before the answer",
    ),
    "no_answer": Reason(
        "with a conversation that ends without an answer", "the last message of chosen and rejected is the assistant's"
    ),
    "no_common_prompt": Reason(
        "whose chosen and rejected do not begin with the same prompt", "give the prompt in a column of its own"
    ),
    "parted_before_the_last_turn": Reason(
        "whose chosen and rejected part before their last turn", "expected two answers to one conversation"
    ),
    "enormous": Reason(
        f"with a text of more than {MAX_CHARACTERS:,} characters", "shorten it (a quotation mark that is never closed?)"
    ),
    "half_a_character": Reason("with half a surrogate pair, which is no character", "write the text again as UTF-8"),
}


def take_apart(record: Mapping[str, Any], layout: Layout = "auto") -> RecordParts:
    """Prompt and responses of a record, in which a name without value may be None or left out.

    Raises UnusableRecord. Texts may be blank here; what becomes of those is decided in ``ldyn.data.rows``.
    """
    values = {name: value for name, value in record.items() if value is not None}
    for name, value in values.items():
        if not isinstance(value, (str, list, tuple)):
            raise UnusableRecord("not_text", f"{name} is of type {type(value).__name__}")
    parts = _reader(values, layout)(values)
    for text in (parts.prompt, *parts.responses.values()):
        _check_text(text)
    return parts


def _reader(values: Mapping[str, Any], layout: Layout) -> Callable[[Mapping[str, Any]], RecordParts]:
    has_lists = any(not isinstance(value, str) for value in values.values())
    if layout == "dialogue" and has_lists:
        raise UnusableRecord("not_text", "a list")
    if layout == "messages" and not has_lists:
        raise UnusableRecord("not_messages", "texts")
    if layout == "dialogue":
        return _dialogues
    if has_lists:
        return _conversation
    return _explicit if "prompt" in values else _implicit


def _check_text(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise UnusableRecord("enormous", f"{len(text):,} characters")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnusableRecord("half_a_character", f"U+{ord(text[error.start]):04X}") from error


# --------------------------------------------------------------------------------------------------------------
# Texts


def _explicit(values: Mapping[str, str]) -> RecordParts:
    return RecordParts(values["prompt"], {name: text for name, text in values.items() if name != "prompt"})


def _implicit(values: Mapping[str, str]) -> RecordParts:
    common = _common(values)
    return _dialogues(values) if _ASSISTANT in common else _behind(_end_of_last_word(common), values)


def _dialogues(values: Mapping[str, str]) -> RecordParts:
    """Dialogues as in HH, split behind the last cue for the assistant that all of them share."""
    end = _common(values).rfind(_ASSISTANT)
    parts = _behind(end + len(_ASSISTANT) if end >= 0 else 0, values)
    if any(_HUMAN in answer for answer in parts.responses.values()):
        raise UnusableRecord("parted_before_the_last_turn", "a further turn of the human in an answer")
    return parts


def _common(values: Mapping[str, str]) -> str:
    return commonprefix([text for name, text in values.items() if name != "prompt"])  # noqa: RUF071 (text, not paths)


def _end_of_last_word(common: str) -> int:
    """Up to where words are shared as a whole: a word that goes on differently belongs to the answers."""
    spaces = list(re.finditer(r"\s+", common))
    return spaces[-1].start() if spaces else 0


def _behind(end: int, values: Mapping[str, str]) -> RecordParts:
    texts = {name: text for name, text in values.items() if name != "prompt"}
    if not end or len(texts) < 2:
        raise UnusableRecord("no_common_prompt", "no shared beginning")
    prompt = next(iter(texts.values()))[:end]
    return RecordParts(prompt, {name: text[end:] for name, text in texts.items()})


# --------------------------------------------------------------------------------------------------------------
# Conversations


def _conversation(values: Mapping[str, Any]) -> RecordParts:
    said = {name: _turns(name, value) for name, value in values.items() if not isinstance(value, str)}
    prompt = said.pop("prompt", ())
    for name, turns in said.items():
        if not turns or turns[-1].role != "assistant":
            raise UnusableRecord("no_answer", f"{name} ends with {turns[-1].role if turns else 'nothing'}")
    prompt = _one_prompt(prompt, {name: turns[:-1] for name, turns in said.items()}, values.get("prompt"))
    _check_roles(prompt)
    answers = {name: turns[-1].content for name, turns in said.items()}
    texts = {name: text for name, text in values.items() if name != "prompt" and isinstance(text, str)}
    return RecordParts(plain_conversation(prompt), {**texts, **answers}, prompt)


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
    if len({len(turns) for turns in found}) > 1:
        raise UnusableRecord("parted_before_the_last_turn", f"messages before the answer: {lengths}")
    raise UnusableRecord("no_common_prompt", f"messages before the answer: {lengths or 'none'}")


def _turns(name: str, value: Sequence[Any]) -> tuple[Turn, ...]:
    for turn in value:
        found = f"{name} holds a {type(turn).__name__}"
        if isinstance(turn, Mapping):
            found = f"{name} holds the keys {', '.join(map(str, turn))}"
            if isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str):
                continue
        raise UnusableRecord("not_messages", found)
    return tuple(Turn(turn["role"], turn["content"]) for turn in value)


def _check_roles(turns: Sequence[Turn]) -> None:
    roles = [turn.role for turn in turns]
    for role in roles:
        if role not in _SPEAKERS:
            raise UnusableRecord("unknown_role", repr(role))
    rest = roles[1:] if roles[0] == "system" else roles
    expected = ["user", "assistant"] * (len(rest) // 2) + ["user"]
    if rest != expected:
        raise UnusableRecord("roles_out_of_order", ", ".join(roles))


def plain_conversation(turns: Sequence[Turn]) -> str:
    r"""A prompt of turns as plain text: "Human: …\nAssistant:"."""
    return "\n".join([*(f"{_SPEAKERS[turn.role]}: {turn.content}" for turn in turns), "Assistant:"])
