"""An instruction model on this machine as a ``ChatModel``, with the same cache as an endpoint."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ldyn.answers.answer_cache import AnswerCache
from ldyn.answers.cached_answers import CachedAnswers, PromptRequest
from ldyn.answers.chats import ChatAnswer, ChatRequest, Progress
from ldyn.data.chat_tokens import chat_ids
from ldyn.models.base import fingerprint
from ldyn.models.pretrained import Loaded, load_pretrained
from ldyn.models.settings import PretrainedConfig


class LocalChatModel:
    """A causal language model with a chat template. At temperature 0 it answers greedily."""

    def __init__(
        self, name: str, loaded: Loaded, cache: AnswerCache, device: str = "cpu", progress: Progress | None = None
    ):
        model, self._tokenizer = loaded
        nn.Module.to(model, torch.device(device))
        self._answers = CachedAnswers(model, self._tokenizer, fingerprint(*loaded), cache, progress)
        self.name = name

    @classmethod
    def load(
        cls, config: PretrainedConfig, cache: AnswerCache, device: str = "cpu", progress: Progress | None = None
    ) -> LocalChatModel:
        """Loads the model; raises ModelError where it cannot be had."""
        base = load_pretrained(config, corpus=(), seed=0)
        return cls(config.name_or_path, (base.model, base.tokenizer), cache, device, progress)

    def answer(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer]:
        """See ``ChatModel``; answers are kept batch by batch. Raises ModelError where there is no chat template."""
        return self._answers.answer([self._prompt(request) for request in requests])

    def _prompt(self, request: ChatRequest) -> PromptRequest:
        ids = chat_ids(self._tokenizer, request.messages, add_generation_prompt=True)
        return PromptRequest(ids, request.max_tokens, request.temperature, sample=request.sample)
