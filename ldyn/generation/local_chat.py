"""An instruction model on this machine as a ``ChatModel``, with the same cache as an endpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ldyn.data.chat_tokens import chat_ids
from ldyn.generation.answer_cache import AnswerCache
from ldyn.generation.answers import Sampling, answer_prompts
from ldyn.generation.chats import ChatAnswer, ChatRequest, Progress
from ldyn.models.pretrained import load_pretrained
from ldyn.models.settings import PretrainedConfig

BATCH_SIZE = 16


class LocalChatModel:
    """A causal language model with a chat template. At temperature 0 it answers greedily.

    Sampled answers are seeded by the batch in which they are drawn: they are the same in the next job because they are
    in the cache, not because they could be drawn again one by one.
    """

    def __init__(
        self, config: PretrainedConfig, cache: AnswerCache, device: str = "cpu", progress: Progress | None = None
    ):
        """Loads the model; raises ModelError where it cannot be had."""
        base = load_pretrained(config, corpus=(), seed=0)
        nn.Module.to(base.model, torch.device(device))
        self._model, self._tokenizer, self._fingerprint = base.model, base.tokenizer, base.fingerprint
        self._cache, self._progress = cache, progress
        self.name = config.name_or_path

    def answer(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer]:
        """See ``ChatModel``; answers are kept batch by batch."""
        known = {request: self._cache.get(self._question(request)) for request in dict.fromkeys(requests)}
        answers = {request: answer for request, answer in known.items() if answer is not None}
        for batch in _batches([request for request, answer in known.items() if answer is None]):
            for request, answer in zip(batch, self._answer_batch(batch), strict=True):
                self._cache.put(self._question(request), answer)
                answers[request] = answer
            if self._progress is not None:
                self._progress(len(answers), len(known))
        return [answers[request] for request in requests]

    def _answer_batch(self, batch: Sequence[ChatRequest]) -> Iterator[ChatAnswer]:
        prompts = [chat_ids(self._tokenizer, one.messages, add_generation_prompt=True) for one in batch]
        answers = answer_prompts(
            self._model,
            self._tokenizer,
            prompts,
            max_new_tokens=batch[0].max_tokens,
            sampling=self._sampling(batch),
            batch_size=BATCH_SIZE,
        )
        for prompt, answer in zip(prompts, answers, strict=True):
            yield ChatAnswer(answer.text, "stop" if answer.stopped else "length", len(prompt), answer.n_tokens)

    def _sampling(self, batch: Sequence[ChatRequest]) -> Sampling | None:
        if batch[0].temperature == 0:
            return None
        content = json.dumps([self._question(request) for request in batch], sort_keys=True)
        seed = int(hashlib.sha256(content.encode()).hexdigest()[:7], 16)
        return Sampling(temperature=batch[0].temperature, seed=seed)

    def _question(self, request: ChatRequest) -> Mapping[str, Any]:
        return {
            "weights": self._fingerprint,
            "template": self._tokenizer.chat_template,
            "messages": request.messages,
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "sample": request.sample,
        }


def _batches(requests: Sequence[ChatRequest]) -> Iterator[list[ChatRequest]]:
    """Requests that are answered by the same rules, a few at a time."""
    by_rule: dict[tuple[float, int], list[ChatRequest]] = {}
    for request in requests:
        by_rule.setdefault((request.temperature, request.max_tokens), []).append(request)
    for alike in by_rule.values():
        yield from (alike[start : start + BATCH_SIZE] for start in range(0, len(alike), BATCH_SIZE))
