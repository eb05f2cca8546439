"""Rows of samples.jsonl: a model's answers to prompts, how repetitive and how right they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.answers.generation import Decoding, answer_prompts
from ldyn.answers.measures import longest_loop, repeated_ngrams
from ldyn.data.encoder import Encoder
from ldyn.records import AnswerChecker, ProbeExample


@dataclass(frozen=True, slots=True)
class SamplePrompt:
    """A prompt to answer, as text (for readers) and as token ids (for the model)."""

    split: str
    example_id: str
    prompt: str
    prompt_ids: tuple[int, ...]


def sample_prompts(split: str, examples: Sequence[ProbeExample], encoder: Encoder) -> list[SamplePrompt]:
    return [SamplePrompt(split, one.example_id, one.prompt, encoder.prompt(one.prompt, one.turns)) for one in examples]


def sample_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[SamplePrompt],
    decoding: Decoding,
    *,
    stage: str,
    checker: AnswerChecker | None = None,
) -> list[dict[str, Any]]:
    """One row of samples.jsonl for each prompt, in order.

    ``stage``: the last stage that the model was trained in, "base" before the first. Without a ``checker`` the facts
    are None (states_a_fact, is_right, borrowed_from).
    """
    answers = answer_prompts(model, tokenizer, [prompt.prompt_ids for prompt in prompts], decoding)
    rows = []
    for prompt, answer in zip(prompts, answers, strict=True):
        words = answer.text.split()  # not tokens, so that models with different tokenizers compare
        check = None if checker is None else checker(prompt.example_id, answer.text)
        rows.append(
            {
                "stage": stage,
                "example_id": prompt.example_id,
                "split": prompt.split,
                "prompt": prompt.prompt,
                "mode": decoding.mode,
                "text": answer.text,
                "n_tokens": answer.n_tokens,
                "stopped": answer.stopped,
                "repeated_4grams": repeated_ngrams(words, 4),
                **{f"distinct_{n}": 1 - repeated_ngrams(words, n) for n in (1, 2, 3)},
                "longest_loop": longest_loop(words),
                **{name: getattr(check, name, None) for name in ("states_a_fact", "is_right", "borrowed_from")},
            }
        )
    return rows
