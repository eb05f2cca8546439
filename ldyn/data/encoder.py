"""The one encoder: text to token ids, by one rule for training pairs and probes alike.

1. Prompt: trailing whitespace is removed. Response: whitespace is removed at both ends and one ``separator`` is put in
   front. So " Yes." and "Yes." are one response, whoever wrote it (the published rephrases lack the leading space that
   ``chosen`` has, which costs them a first-token penalty on exactly the curves that are compared).
2. Prompt and response are tokenised separately and joined as ids, so a response's tokens never depend on its prompt.
   A tokenizer that puts a space of its own in front of every text (sentencepiece) is asked for the text behind a line
   break, and the line break's tokens are taken off; else the separator would be doubled.
3. User text never yields control tokens: "</s>" typed by a person is text. Added are only EOS behind a response, and
   BOS before a prompt if the tokenizer adds it by default (it counts as one of the prompt's tokens).
4. A prompt is cut to ``max_prompt_tokens``, keeping its end or its start. A response with its EOS is cut to its first
   ``max_tokens - max_prompt_tokens`` tokens, however short the prompt. So a response's tokens depend on nothing but
   that response, and EOS is lost only by cutting.
5. A prompt that is a conversation (``turns``) is written by the tokenizer's chat template where it has one (``chat``),
   and its responses are then framed as the template frames an answer: no separator, the template's end of a turn, EOS.
   A tokenizer without template, as of most base models, reads the same conversation as plain text. Of a prompt that is
   too long the texts are cut, not the template's own tokens.
6. A response that is empty, or that has no tokens, is dropped; so is a prompt without tokens (its first response token
   would have nothing to be predicted from). Everything cut or dropped is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt

from ldyn.data.chat_tokens import ChatPart, PlainText, answer_frame, chat_parts, cut_parts
from ldyn.data.text import normal_prompt, normal_response
from ldyn.errors import ModelError
from ldyn.records import EncodedPair, EncodedProbeExample, PreferencePair, ProbeExample, Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class EncodingConfig:
    """Limits in tokens, and how prompt and response are joined.

    max_prompt_tokens: a longer prompt is cut. max_tokens: the room of prompt and response together; a response may have
    max_tokens - max_prompt_tokens tokens, EOS included.
    keep_prompt: which side of a long prompt survives ("end" for dialogues, whose last turn is the question).
    separator: what stands between prompt and response as plain text.
    chat: which prompts are written by the tokenizer's chat template: those that are conversations, if it has one
    ("auto"); all of them, a plain text as one message of the user ("always"); none ("never").
    """

    max_prompt_tokens: Annotated[int, Gt(0)] = 256
    max_tokens: Annotated[int, Ge(2)] = 512
    keep_prompt: Literal["start", "end"] = "end"
    separator: str = " "
    chat: Literal["auto", "always", "never"] = "auto"

    def __post_init__(self) -> None:
        if self.max_tokens <= self.max_prompt_tokens:
            raise ValueError(
                f"max_tokens is {self.max_tokens} and max_prompt_tokens {self.max_prompt_tokens}, which leaves no room "
                "for a response; make max_tokens larger than max_prompt_tokens"
            )

    @property
    def max_response_tokens(self) -> int:
        """Room of a response, EOS included."""
        return self.max_tokens - self.max_prompt_tokens


class Encoder:
    """Encodes prompts and responses for one tokenizer by the rule above.

    ``counts`` holds, for each part encoded so far ("pairs", "probes.train", "probes.test"), how many prompts and
    responses were encoded, truncated and dropped, by reason and probe. Encoding a part again replaces its counts.

    Raises ModelError if the tokenizer has no EOS token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: EncodingConfig):
        if not isinstance(tokenizer.eos_token_id, int):
            raise ModelError(
                f"The tokenizer has no end-of-sequence token (found {tokenizer.eos_token!r}), so a response could not "
                "be ended; expected a tokenizer with eos_token set; set it in the tokenizer's files"
            )
        self._tokenizer = tokenizer
        self._config = config
        self._counts: dict[str, Counter[str]] = {}
        self._end = (int(tokenizer.eos_token_id),)
        self._plain = PlainText(tokenizer)
        self._begin = self._default_begin()
        uses_template = config.chat == "always" or (config.chat == "auto" and bool(tokenizer.chat_template))
        self._frame = answer_frame(tokenizer) if uses_template else None
        self._puts_space = self._plain.is_doubled_alone(config.separator)

    def prompt(self, text: str, turns: Sequence[Turn] = ()) -> tuple[int, ...]:
        """Token ids of a prompt, BOS included where the tokenizer adds it, cut to the limit.

        turns: the prompt as a conversation, where it is one.
        """
        config = self._config
        return cut_parts(self._prompt_parts(text, turns), config.max_prompt_tokens, config.keep_prompt)

    def response(self, text: str, turns: Sequence[Turn] = ()) -> tuple[int, ...]:
        """Token ids of a response with separator and EOS, cut to the limit; empty if the text has no tokens.

        turns: those of its prompt; what they say does not matter, only whether there are some.
        """
        return self._response_ids(text, turns)[: self._config.max_response_tokens]

    def pairs(self, pairs: Iterable[PreferencePair]) -> list[EncodedPair]:
        """Encodes training pairs; a pair with an empty side or prompt is dropped and counted."""
        counts = self._counts["pairs"] = Counter()
        encoded: list[EncodedPair] = []
        for pair in pairs:
            prompt_ids = self._counted_prompt(pair, counts)
            chosen_ids = self._counted_response("chosen", pair.chosen, pair, counts)
            rejected_ids = self._counted_response("rejected", pair.rejected, pair, counts)
            if prompt_ids and chosen_ids and rejected_ids:
                encoded.append(EncodedPair(pair.pair_id, prompt_ids, chosen_ids, rejected_ids))
            else:
                counts["dropped"] += 1
        return encoded

    def probes(self, split: str, examples: Iterable[ProbeExample]) -> list[EncodedProbeExample]:
        """Encodes probe examples; an empty response is dropped, an example without any is dropped; both counted."""
        counts = self._counts[f"probes.{split}"] = Counter()
        encoded: list[EncodedProbeExample] = []
        for example in examples:
            prompt_ids = self._counted_prompt(example, counts)
            ids = {
                probe: self._counted_response(probe, text, example, counts) for probe, text in example.responses.items()
            }
            responses = {probe: response_ids for probe, response_ids in ids.items() if response_ids}
            if prompt_ids and responses:
                encoded.append(EncodedProbeExample(split, example.example_id, prompt_ids, responses))
            else:
                counts["dropped"] += 1
        return encoded

    @property
    def counts(self) -> dict[str, int]:
        """Flat counts, for instance "pairs.truncated_prompt" or "probes.train.truncated_response.chosen"."""
        return {
            f"{part}.{reason}": number
            for part, counts in self._counts.items()
            for reason, number in sorted(counts.items())
            if number
        }

    def _chat_turns(self, text: str, turns: Sequence[Turn]) -> Sequence[Turn]:
        """What the template is filled with; empty where the prompt is written as plain text."""
        if self._frame is None or (not turns and self._config.chat != "always"):
            return ()
        return turns or (Turn("user", normal_prompt(text)),)

    def _prompt_parts(self, text: str, turns: Sequence[Turn]) -> list[ChatPart]:
        chat = self._chat_turns(text, turns)
        if chat:
            parts = chat_parts(self._tokenizer, chat, add_generation_prompt=True)
        else:
            parts = [ChatPart(self._begin, False), ChatPart(self._plain.ids(normal_prompt(text)), True)]
        return parts if any(part.is_text and part.ids for part in parts) else []

    def _response_ids(self, text: str, turns: Sequence[Turn]) -> tuple[int, ...]:
        """All tokens of a response, its end included; empty if the text has none."""
        text = normal_response(text)
        if not text:
            return ()
        if self._chat_turns("", turns) and self._frame is not None:
            ids = self._plain.continued(self._frame.gap + text, self._frame.puts_space)
            return self._frame.before_ids + ids + self._frame.end_ids if ids else ()
        ids = self._plain.continued(self._config.separator + text, self._puts_space)
        return ids + self._end if ids else ()

    def _counted_prompt(self, asked: PreferencePair | ProbeExample, counts: Counter[str]) -> tuple[int, ...]:
        parts = self._prompt_parts(asked.prompt, asked.turns)
        counts["prompts"] += 1
        counts["truncated_prompt"] += sum(len(part.ids) for part in parts) > self._config.max_prompt_tokens
        counts["empty_prompt"] += not parts
        counts["unknown_tokens"] += sum(part.ids.count(self._plain.unknown_id) for part in parts)
        return cut_parts(parts, self._config.max_prompt_tokens, self._config.keep_prompt)

    def _counted_response(
        self, probe: str, text: str, asked: PreferencePair | ProbeExample, counts: Counter[str]
    ) -> tuple[int, ...]:
        """The sampled tokens where the response is a model's answer: encoded again, text may get other tokens."""
        ids = tuple(asked.sampled.get(probe, ())) or self._response_ids(text, asked.turns)
        counts["responses"] += 1
        counts[f"truncated_response.{probe}"] += len(ids) > self._config.max_response_tokens
        counts[f"empty_response.{probe}"] += not ids
        counts["unknown_tokens"] += ids.count(self._plain.unknown_id)
        return ids[: self._config.max_response_tokens]

    def _default_begin(self) -> tuple[int, ...]:
        bos = self._tokenizer.bos_token_id
        first = list(self._tokenizer("a")["input_ids"])[:1]
        plain = self._plain.ids("a")[:1]
        return (bos,) if isinstance(bos, int) and first == [bos] and plain != (bos,) else ()
