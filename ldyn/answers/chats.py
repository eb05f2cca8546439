"""Asking a language model in messages, whoever runs it: an endpoint (``api``) or this machine (``local_chat``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ldyn.data.chat_tokens import Message

Progress = Callable[[int, int], None]
"""Called with (answered, all) while answers come in."""


REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked. sample: 0, 1, … for several answers to the same messages at a temperature above 0."""

    messages: tuple[Message, ...]
    temperature: float = 0.0
    max_tokens: int = 256
    sample: int = 0


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What came back. ``text`` is empty where the model, or its endpoint, refused; ``reason`` then says why.

    finish: "stop" (the model ended it), "length" (cut at max_tokens), REFUSED, or what the endpoint says.
    prompt_tokens, answer_tokens: as counted by whoever answered; None where it did not say.
    """

    text: str
    finish: str = "stop"
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    reason: str = ""


class ChatModel(Protocol):
    """Answers chats."""

    @property
    def name(self) -> str:
        """What is written into results: which model gave these answers."""

    def answer(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer]:
        """One answer for each request, in order; those that are in the cache are not asked again.

        Raises an LdynError where no further answer can be had; what was answered until then is in the cache.
        """
