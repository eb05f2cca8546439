"""Greedy and sampled answers to prompts of token ids, in batches.

The answers are the model's own: a checkpoint's generation settings (temperature, repetition penalty, suppressed tokens
…) are ignored, because repetition is one of the things to measure.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, cast

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor
from transformers import (
    DynamicCache,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ldyn.data.chat_tokens import turn_end
from ldyn.errors import DataError
from ldyn.models.base import max_positions
from ldyn.models.evaluation import evaluation_mode

BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn: from π^(1/temperature), renormalised, cut to the nucleus of mass ``top_p``."""

    temperature: Annotated[float, Gt(0)] = 1.0
    top_p: Annotated[float, Interval(gt=0, le=1)] = 1.0
    seed: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are made: greedily or by ``sampling``; they end at an end token or the limit."""

    max_new_tokens: int
    sampling: Sampling | None = None
    batch_size: int = BATCH_SIZE

    @property
    def mode(self) -> str:
        """As samples.jsonl calls it."""
        return "greedy" if self.sampling is None else "sampled"


@dataclass(frozen=True, slots=True)
class Answer:
    """One generated answer. ``text`` has no control tokens and no whitespace at its ends.

    token_ids: all generated tokens, end token included. stopped: whether the model ended the answer itself.
    """

    text: str
    token_ids: tuple[int, ...]
    stopped: bool

    @property
    def n_tokens(self) -> int:
        """Generated tokens; an end token counts, as EOS does in probe scores."""
        return len(self.token_ids)


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens that end an answer, the tokenizer's EOS first.

    The others: what the checkpoint's generation settings name, and the end of the model's turn in the chat template.
    Only control tokens count: without settings of its own a checkpoint has its architecture's default, any id.
    """
    named = getattr(model.generation_config, "eos_token_id", None)
    of_checkpoint = named if isinstance(named, list) else [named]
    control = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    others = [token for token in (*of_checkpoint, turn_end(tokenizer)) if token in control]
    return tuple(dict.fromkeys((int(tokenizer.eos_token_id), *others)))


def answer_prompts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]], decoding: Decoding
) -> list[Answer]:
    """One answer for each prompt (token ids), in order; a prompt that stands there n times gets n answers.

    Batches hold prompts of like length. Equal prompts are neighbours and pass the model once, for all their answers.
    The same arguments give the same answers: greedy ones depend on their own prompt only; sampled ones are drawn from
    one generator (torch's, seeded by ``decoding.sampling``), batch by batch, token by token, so they depend on the
    whole list. The global random state and the model's mode stay as they were.
    Raises DataError for a prompt that is empty or leaves no room for an answer.
    """
    context = max_positions(model)
    _check_prompts(prompts, context)
    first = {tuple(prompt): index for index, prompt in reversed(list(enumerate(prompts)))}
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), first[tuple(prompts[index])]))
    answers: dict[int, Answer] = {}
    ends = end_ids(model, tokenizer)
    with evaluation_mode(model), _plain_generation(model), _random_state_kept(model, decoding.sampling):
        for start in range(0, len(order), decoding.batch_size):
            indices = order[start : start + decoding.batch_size]
            batch = [tuple(prompts[index]) for index in indices]
            room = int(min(decoding.max_new_tokens, context - len(batch[-1])))
            answers.update(zip(indices, _answer_batch(model, tokenizer, batch, room, decoding, ends), strict=True))
    return [answers[index] for index in range(len(prompts))]


def _answer_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[tuple[int, ...]],
    max_new_tokens: int,
    decoding: Decoding,
    ends: Sequence[int],
) -> list[Answer]:
    eos_id, width = ends[0], max(map(len, prompts))
    rows = {prompt: row for row, prompt in enumerate(dict.fromkeys(prompts))}
    ids = torch.tensor([[*[eos_id] * (width - len(prompt)), *prompt] for prompt in rows]).to(model.device)
    mask = torch.tensor([[*[0] * (width - len(prompt)), *[1] * len(prompt)] for prompt in rows]).to(model.device)
    of_answer = torch.tensor([rows[prompt] for prompt in prompts], device=model.device)
    cache = _prompt_cache(model, ids, mask) if len(rows) < len(prompts) and width > 1 else None
    if cache is not None:
        cache.batch_select_indices(of_answer)
    sampling = decoding.sampling
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=list(ends),
        pad_token_id=eos_id,
        do_sample=sampling is not None,
        **({} if sampling is None else {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}),
    )
    generate = cast("Callable[..., Tensor]", model.generate)  # the library's own annotations do not bind to a model
    generated = generate(
        ids[of_answer],
        attention_mask=mask[of_answer],
        generation_config=settings,
        **({} if cache is None else {"past_key_values": cache}),
    )
    return [_answer(tokenizer, row[width:], ends) for row in generated.tolist()]


def _prompt_cache(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> DynamicCache | None:
    """Keys and values of all tokens of the prompts but the last; None for a model that keeps something else."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return None
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, :-1]
    before = model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], position_ids=positions, use_cache=True)
    cache = getattr(before, "past_key_values", None)
    return cache if isinstance(cache, DynamicCache) else None


def _answer(tokenizer: PreTrainedTokenizerBase, token_ids: list[int], ends: Sequence[int]) -> Answer:
    """The answer is what stands before an end token; what follows is padding."""
    n_text = next((place for place, token in enumerate(token_ids) if token in ends), len(token_ids))
    ended = n_text < len(token_ids)
    text = str(tokenizer.decode(token_ids[:n_text], skip_special_tokens=True))
    return Answer(text.strip(), tuple(token_ids[: n_text + ended]), ended)


def _check_prompts(prompts: Sequence[Sequence[int]], context: float) -> None:
    for index, prompt in enumerate(prompts):
        if not 0 < len(prompt) < context:
            raise DataError(
                f"Prompt {index} has {len(prompt)} tokens; a prompt needs at least one, and fewer than the model's "
                f"{context} positions, to leave room for an answer. Lower max_prompt_tokens of the encoding."
            )


@contextmanager
def _plain_generation(model: PreTrainedModel) -> Iterator[None]:
    """Hide the checkpoint's own generation settings: ``generate`` would fill in every setting that is not given."""
    kept = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = kept


@contextmanager
def _random_state_kept(model: PreTrainedModel, sampling: Sampling | None) -> Iterator[None]:
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        if sampling is not None:
            torch.manual_seed(sampling.seed)
        yield
