"""Rows of samples.jsonl: what a model answers to prompts, how repetitive, how borrowed, and whether it is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.answers.answers import BATCH_SIZE, Answer, Sampling, answer_prompts
from ldyn.answers.overlap import TrainingAnswers
from ldyn.answers.text_metrics import distinct_ngrams, longest_loop, repeated_ngrams
from ldyn.records import AnswerChecker


@dataclass(frozen=True, slots=True)
class SamplePrompt:
    """A prompt to answer, as text (for readers) and as token ids (for the model).

    own_answers: the answers that the data has for it, chosen first, to be compared with.
    """

    split: str
    example_id: str
    prompt: str
    prompt_ids: tuple[int, ...]
    own_answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are made: greedily, or drawn by ``sampling``; see ``answer_prompts``."""

    max_new_tokens: int
    sampling: Sampling | None = None
    stop: tuple[str, ...] = ()
    batch_size: int = BATCH_SIZE

    @property
    def mode(self) -> str:
        """As it is called in samples.jsonl."""
        return "greedy" if self.sampling is None else "sampled"


def sample_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[SamplePrompt],
    decoding: Decoding,
    *,
    stage: str,
    checker: AnswerChecker | None = None,
    training: TrainingAnswers | None = None,
) -> list[dict[str, Any]]:
    """One row of samples.jsonl for each prompt, in order.

    ``stage`` is the name of the stage that the model has just finished, "base" before the first. What cannot be known
    is None: without a ``checker`` the facts (states_a_fact, is_right, borrowed_from), without ``training`` the overlap
    with other questions' training answers (likeness_own, likeness_other, likest_other, foreign_4grams).
    """
    ids = [prompt.prompt_ids for prompt in prompts]
    answers = answer_prompts(
        model,
        tokenizer,
        ids,
        max_new_tokens=decoding.max_new_tokens,
        sampling=decoding.sampling,
        stop=decoding.stop,
        batch_size=decoding.batch_size,
    )
    return [
        {
            "stage": stage,
            "example_id": prompt.example_id,
            "split": prompt.split,
            "prompt": prompt.prompt,
            "mode": decoding.mode,
            **_answer_columns(answer),
            **_fact_columns(prompt.example_id, answer, checker),
            **_overlap_columns(prompt, answer, training),
        }
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def _answer_columns(answer: Answer) -> dict[str, Any]:
    """The answer and its repetition, by words, so that models with different tokenizers compare."""
    words = answer.text.split()
    return {
        "text": answer.text,
        "n_tokens": answer.n_tokens,
        "stopped": answer.stopped,
        "repeated_4grams": repeated_ngrams(words, 4),
        **{f"distinct_{n}": distinct_ngrams(words, n) for n in (1, 2, 3)},
        "longest_loop": longest_loop(words),
    }


def _fact_columns(example_id: str, answer: Answer, checker: AnswerChecker | None) -> dict[str, Any]:
    if checker is None:
        return {"states_a_fact": None, "is_right": None, "borrowed_from": None}
    check = checker(example_id, answer.text)
    return {
        "states_a_fact": check.states_a_fact,
        "is_right": check.is_right,
        "borrowed_from": check.borrowed_from,
    }


def _overlap_columns(prompt: SamplePrompt, answer: Answer, training: TrainingAnswers | None) -> dict[str, Any]:
    if training is None:
        return {"likeness_own": None, "likeness_other": None, "likest_other": None, "foreign_4grams": None}
    overlap = training.overlap(prompt.prompt, answer.text, prompt.own_answers)
    return {
        "likeness_own": overlap.likeness_own,
        "likeness_other": overlap.likeness_other,
        "likest_other": overlap.other,
        "foreign_4grams": overlap.foreign_4grams,
    }
