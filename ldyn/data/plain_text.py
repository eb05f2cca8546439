"""Text of people and models as token ids, of which none is a control token: "</s>" typed by a person is text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # what a character without a token falls back to; some mark these as special


class PlainText:
    """Tokenises text with one tokenizer. ``unknown_id`` is the id of an unknown word, -1 where there is none."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self._tokenizer = tokenizer
        self._control_ids, self.unknown_id = _control_and_unknown_ids(tokenizer)

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of the text alone, without BOS and EOS."""
        ids: Sequence[int] = self._tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False
        )["input_ids"]
        return self._without_control_ids(ids)

    def _without_control_ids(self, ids: Sequence[int]) -> tuple[int, ...]:
        # Word-level and unigram tokenizers find "</s>" in their vocabulary even when special tokens are not parsed.
        if self._control_ids.isdisjoint(ids):
            return tuple(ids)
        plain = (self.unknown_id if token in self._control_ids else token for token in ids)
        return tuple(token for token in plain if token >= 0)


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
