"""Texts and chats as token ids, in which what people wrote never becomes a control token.

A chat template is filled with marks in place of the texts. What stands between the marks is the template's own and may
hold control tokens; the texts are tokenised as plain text. So no token spans the border of the two.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Literal

from ldyn.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = tuple[str, str]
"""(role, content); roles are "system", "user" and "assistant"."""


_LINE_BREAK = "\n"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # what a character without a token falls back to; some mark these as special


class PlainText:
    """Tokenises text with one tokenizer. ``unknown_id``: of an unknown word, -1 if there is none."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self._tokenizer = tokenizer
        self._control_ids, self.unknown_id = _control_and_unknown_ids(tokenizer)
        markers = template_markers(tokenizer)
        self.marker_ids = self._control_ids | set(markers.values())
        self._marker = re.compile("|".join(map(re.escape, markers))) if markers else None
        self._puts_space = bool(markers) and self.is_doubled_alone("")

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of the text alone, without BOS and EOS."""
        return self.continued(text, puts_space=False)

    def continued(self, text: str, puts_space: bool) -> tuple[int, ...]:
        """Token ids of text that stands behind other text, by a tokenizer that ``puts_space`` before text alone."""
        cuts = [match.start() + 1 for match in self._marker.finditer(text)] if self._marker else []
        first, *others = (text[start:end] for start, end in pairwise([0, *cuts, len(text)]))  # no marker is whole
        return tuple(chain(self._behind(first, puts_space), *(self._behind(o, self._puts_space) for o in others)))

    def _behind(self, text: str, puts_space: bool) -> tuple[int, ...]:
        if not puts_space:
            return self._ids(text)
        head, ids = self._ids(_LINE_BREAK), self._ids(_LINE_BREAK + text)
        return ids[len(head) :] if ids[: len(head)] == head else self._ids(text)

    def is_doubled_alone(self, separator: str) -> bool:
        """Whether tokenising separator + text alone puts a space too many, and doing it behind a line break none."""
        sample = f"{separator}a"
        before = self._ids("a")

        def fits(ids: tuple[int, ...]) -> bool:
            return self._decoded(before + ids) == self._decoded(before) + sample

        return not fits(self._ids(sample)) and fits(self._behind(sample, puts_space=True))

    def _decoded(self, ids: tuple[int, ...]) -> str:
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _ids(self, text: str) -> tuple[int, ...]:
        ids: Sequence[int] = self._tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False
        )["input_ids"]
        # Word-level and unigram tokenizers find "</s>" in their vocabulary even when special tokens are not parsed.
        if self._control_ids.isdisjoint(ids):
            return tuple(ids)
        plain = (self.unknown_id if token in self._control_ids else token for token in ids)
        return tuple(token for token in plain if token >= 0)


def template_markers(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Added tokens that are not special, but that the chat template writes: they mark turns all the same."""
    template = str(tokenizer.chat_template or "")
    added = ((token.content, number) for number, token in tokenizer.added_tokens_decoder.items() if not token.special)
    return {content: number for content, number in added if len(content.strip()) > 1 and content in template}


def _control_and_unknown_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[frozenset[int], int]:
    """Ids that user text may not yield, and the id of an unknown word (-1 if the tokenizer has none of its own)."""
    named = {int(token) for token in tokenizer.all_special_ids}
    added = tokenizer.added_tokens_decoder.items()
    marked = {number for number, token in added if token.special and not _BYTE.fullmatch(token.content)}
    special = frozenset(named | marked)
    markers = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    unknown = tokenizer.unk_token_id
    if not isinstance(unknown, int) or unknown in markers:
        return special, -1
    return special - {unknown}, unknown


@dataclass(frozen=True, slots=True)
class ChatPart:
    """A piece of a conversation in tokens: what someone wrote, or the template's own between two such texts."""

    ids: tuple[int, ...]
    is_text: bool


@dataclass(frozen=True, slots=True)
class AnswerFrame:
    """What a template puts around an answer: ``before_ids`` and a ``gap`` of whitespace behind the cue, then an end.

    end_ids: up to the template's first end-of-text token; where it has none, EOS follows what it puts there.
    puts_space: whether the tokenizer, given gap and answer alone, puts a space too many before them.
    """

    before_ids: tuple[int, ...]
    gap: str
    end_ids: tuple[int, ...]
    puts_space: bool


def chat_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, add_generation_prompt: bool
) -> tuple[int, ...]:
    """Token ids of a conversation; with the cue for the model's turn at its end if ``add_generation_prompt``.

    Raises ModelError where there is no template, or none that takes these messages.
    """
    parts = chat_parts(tokenizer, messages, add_generation_prompt=add_generation_prompt)
    return tuple(token for part in parts for token in part.ids)


def chat_parts(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, add_generation_prompt: bool
) -> list[ChatPart]:
    """The same in pieces, which a text that is too long is cut by."""
    marks = _marks(messages)
    filled = _filled(tokenizer, messages, marks, add_generation_prompt)
    texts, plain = dict(zip(marks, (content for _, content in messages), strict=True)), PlainText(tokenizer)
    parts = re.split(f"({'|'.join(marks)})", filled)
    lost = set(marks).difference(parts)
    if lost:
        raise ModelError(f"The chat template of {tokenizer.name_or_path} drops {len(lost)} of the messages.")
    contents = [texts.get(part, part) for part in parts]
    is_text = [part in texts for part in parts]
    return _tokenised_whole(tokenizer, contents, is_text, plain) or [
        ChatPart(plain.ids(content) if of_text else _own_ids(tokenizer, content), of_text)
        for content, of_text in zip(contents, is_text, strict=True)
    ]


def _tokenised_whole(
    tokenizer: PreTrainedTokenizerBase, contents: Sequence[str], is_text: Sequence[bool], plain: PlainText
) -> list[ChatPart]:
    """The parts of the conversation tokenised as a whole, as its model was tuned on it.

    Empty where that cannot be done: a text holds a marker, or the tokenizer does not tell where a token stands.
    """
    if not tokenizer.is_fast:
        return []
    encoding = tokenizer(
        "".join(contents), add_special_tokens=False, split_special_tokens=False, return_offsets_mapping=True
    )
    starts = [0, *accumulate(map(len, contents))][:-1]
    ids: list[list[int]] = [[] for _ in contents]
    for token, (start, end) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True):
        first, last = bisect_right(starts, start) - 1, bisect_right(starts, max(start, end - 1)) - 1
        if token in plain.marker_ids and any(is_text[first : last + 1]):
            return []
        ids[first].append(token)
    return [ChatPart(tuple(of_part), of_text) for of_part, of_text in zip(ids, is_text, strict=True)]


def cut_parts(parts: Sequence[ChatPart], limit: int, keep: Literal["start", "end"]) -> tuple[int, ...]:
    """At most ``limit`` tokens: texts are cut from the other end on, the template's own stays as long as it fits."""
    surplus = sum(len(part.ids) for part in parts) - limit
    kept: list[tuple[int, ...]] = []
    for part in parts if keep == "end" else reversed(parts):
        less = min(surplus, len(part.ids)) if part.is_text and surplus > 0 else 0
        kept.append(part.ids[less:] if keep == "end" else part.ids[: len(part.ids) - less])
        surplus -= less
    ids = tuple(token for some in (kept if keep == "end" else reversed(kept)) for token in some)
    return ids[max(len(ids) - limit, 0) :] if keep == "end" else ids[:limit]


def answer_frame(tokenizer: PreTrainedTokenizerBase) -> AnswerFrame:
    """How the tokenizer's template frames an answer, whatever is asked: read off a conversation of two marks."""
    messages = [("user", "question"), ("assistant", "answer")]
    marks = _marks(messages)
    cue = _filled(tokenizer, messages[:1], marks[:1], add_generation_prompt=True)
    before, _, behind = _filled(tokenizer, messages, marks, add_generation_prompt=False).partition(marks[1])
    lead = before.removeprefix(cue) if before.startswith(cue) else ""
    text, plain = lead.rstrip(), PlainText(tokenizer)
    gap = lead[len(text) :]
    parts = chat_parts(tokenizer, messages, add_generation_prompt=False)
    whole, alone = tuple(chain(*(part.ids for part in parts))), plain.ids(f"{gap}answer")
    is_right_alone = any(whole[start : start + len(alone)] == alone for start in range(len(whole)))
    puts_space = not is_right_alone and plain.is_doubled_alone(gap)
    return AnswerFrame(_own_ids(tokenizer, text), gap, _end_ids(tokenizer, behind, parts[-1]), puts_space)


def _end_ids(tokenizer: PreTrainedTokenizerBase, behind: str, last: ChatPart) -> tuple[int, ...]:
    """The tokens of what stands ``behind`` an answer, the last part of its conversation, up to an end of text."""
    end = tokenizer.eos_token_id
    if not last.is_text and end in last.ids:
        return last.ids[: last.ids.index(end) + 1]
    return _own_ids(tokenizer, behind.rstrip() + str(tokenizer.eos_token))


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token with which the template ends the model's turn; None without a template that takes a plain question."""
    try:
        ids = answer_frame(tokenizer).end_ids
    except ModelError:
        return None
    control = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return next((token for token in ids if token in control), None)


def _marks(messages: Sequence[Message]) -> list[str]:
    """A mark for each message that stands in none of them: letters and digits only, which no template changes."""
    digest = hashlib.sha256("\0".join(content for _, content in messages).encode("utf-8", "surrogatepass")).hexdigest()
    return [f"text{number}x{digest[:24]}" for number in range(len(messages))]


def _filled(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], marks: Sequence[str], add_generation_prompt: bool
) -> str:
    from jinja2.exceptions import TemplateError

    if not tokenizer.chat_template:
        raise ModelError(
            f"The tokenizer of {tokenizer.name_or_path} has no chat template; expected a model that was tuned on "
            "conversations (an instruction model); choose one."
        )
    marked = [{"role": role, "content": mark} for (role, _), mark in zip(messages, marks, strict=True)]
    try:
        return str(tokenizer.apply_chat_template(marked, tokenize=False, add_generation_prompt=add_generation_prompt))
    except TemplateError as error:
        roles = ", ".join(role for role, _ in messages)
        raise ModelError(
            f"The chat template of {tokenizer.name_or_path} does not take the roles {roles}: {error}; expected one "
            "that does; choose another model (or, for training data, dataset.encoding.chat=never)."
        ) from error


def _own_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """The template's own text, in which control tokens are meant (a tokenizer's default may be to split them)."""
    if not text:
        return ()
    return tuple(tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"])
