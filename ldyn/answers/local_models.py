"""Models on this machine: answers with a cache, chats with an instruction model, scores of a reward model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ldyn.answers.chats import REFUSED, AnswerCache, ChatAnswer, ChatRequest, Progress
from ldyn.answers.generation import Decoding, Sampling, answer_prompts, context_size, end_ids
from ldyn.answers.settings import Device
from ldyn.data.chat_tokens import chat_ids
from ldyn.errors import DataError, ModelError
from ldyn.models.base import fingerprint
from ldyn.models.pretrained import Loaded

BATCH_SIZE = 16


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """What is asked. temperature: 0 for the greedy answer. sample: 0, 1, … for several draws from one prompt."""

    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    sample: int = 0

    @property
    def decoding(self) -> tuple[object, ...]:
        """Requests of equal decoding may be answered in one batch."""
        return self.max_new_tokens, self.temperature, self.top_p, self.stop


class CachedAnswers:
    """A model with its cache. ``fingerprint`` identifies the weights.

    A batch depends on the list that is asked, not on what the cache holds, and its draws are seeded by its content: an
    interrupted job ends with the same answers as an uninterrupted one.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        fingerprint: str,
        cache: AnswerCache,
        progress: Progress | None = None,
        batch_size: int = BATCH_SIZE,
    ):
        self._model, self._tokenizer, self._fingerprint = model, tokenizer, fingerprint
        self._cache, self._progress, self._batch_size = cache, progress, batch_size
        self._ends = end_ids(model, tokenizer)

    def answer(self, requests: Sequence[PromptRequest]) -> list[ChatAnswer]:
        """One answer for each request, in order. A prompt that leaves no room for an answer is refused.

        Raises DataError where no prompt leaves any.
        """
        refusals = {one: refusal for one in dict.fromkeys(requests) if (refusal := self._refusal(one)) is not None}
        asked = [request for request in dict.fromkeys(requests) if request not in refusals]
        if requests and not asked:
            raise DataError(f"No prompt can be answered; the first: {next(iter(refusals.values())).reason}.")
        answers = {one: answer for one in asked if (answer := self._cache.get(self._question(one))) is not None}
        for batch in self._batches(asked):
            if all(request in answers for request in batch):
                continue
            for request, answer in zip(batch, self._generated(batch), strict=True):
                if request not in answers:
                    answers[request] = answer
                    self._cache.put(self._question(request), answer)
            if self._progress is not None:
                self._progress(len(answers), len(asked))
        return [{**refusals, **answers}[request] for request in requests]

    def _refusal(self, request: PromptRequest) -> ChatAnswer | None:
        found, room = len(request.prompt_ids), context_size(self._model)
        if 0 < found < room:
            return None
        return ChatAnswer("", REFUSED, found, reason=f"the prompt has {found} tokens, the model takes 1 to {room - 1}")

    def _batches(self, requests: Sequence[PromptRequest]) -> Iterator[list[PromptRequest]]:
        by_decoding: dict[tuple[object, ...], list[PromptRequest]] = {}
        for request in requests:
            by_decoding.setdefault(request.decoding, []).append(request)
        size = self._batch_size
        for alike in by_decoding.values():
            yield from (alike[start : start + size] for start in range(0, len(alike), size))

    def _generated(self, batch: Sequence[PromptRequest]) -> Iterator[ChatAnswer]:
        one = batch[0]
        decoding = Decoding(one.max_new_tokens, self._sampling(batch), one.stop, self._batch_size)
        prompts = [request.prompt_ids for request in batch]
        answers = answer_prompts(self._model, self._tokenizer, prompts, decoding)
        for request, answer in zip(batch, answers, strict=True):
            finish = "stop" if answer.stopped else "length"
            n_prompt, ids = len(request.prompt_ids), answer.token_ids
            yield ChatAnswer(answer.text, finish, n_prompt, answer.n_tokens, token_ids=ids)

    def _sampling(self, batch: Sequence[PromptRequest]) -> Sampling | None:
        if batch[0].temperature == 0:
            return None
        content = json.dumps([self._question(request) for request in batch], sort_keys=True)
        seed = int(hashlib.sha256(content.encode()).hexdigest()[:7], 16)
        return Sampling(batch[0].temperature, batch[0].top_p, seed)

    def _question(self, request: PromptRequest) -> Mapping[str, Any]:
        """Everything that decides an answer."""
        return {"weights": self._fingerprint, "ends": self._ends, **asdict(request)}


class LocalChatModel:
    """A ``ChatModel``: a causal language model with a chat template. At temperature 0 it answers greedily."""

    def __init__(
        self, name: str, loaded: Loaded, cache: AnswerCache, device: Device = "auto", progress: Progress | None = None
    ):
        model, self._tokenizer = loaded
        nn.Module.to(model, find_device(device))
        self._answers = CachedAnswers(model, self._tokenizer, fingerprint(*loaded), cache, progress)
        self.name = name

    def answer(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer]:
        """See ``ChatModel``; answers are cached batch by batch. Raises ModelError where there is no chat template."""
        return self._answers.answer([self._prompt(request) for request in requests])

    def _prompt(self, request: ChatRequest) -> PromptRequest:
        ids = chat_ids(self._tokenizer, request.messages, add_generation_prompt=True)
        return PromptRequest(ids, request.max_tokens, request.temperature, sample=request.sample)


def reward_model(name_or_path: str) -> Callable[[str, str], float]:
    """(prompt, answer) -> the one output of a sequence classifier, the higher the better.

    Prompt and answer are put into the chat template or, without one, given as a pair of texts; what is too long is cut
    at the model's limit. Raises ModelError where the model cannot be loaded or has more than one output.
    """
    model, tokenizer = _classifier(name_or_path)

    @torch.no_grad()
    def score(prompt: str, answer: str) -> float:
        if tokenizer.chat_template:
            ids = chat_ids(tokenizer, [("user", prompt), ("assistant", answer)], add_generation_prompt=False)
        else:
            ids = tuple(tokenizer(prompt, answer, split_special_tokens=True)["input_ids"])
        limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or len(ids)
        return float(model(input_ids=torch.tensor([ids[:limit]], device=model.device)).logits[0, 0])

    return score


def _classifier(name_or_path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        model = AutoModelForSequenceClassification.from_pretrained(name_or_path, use_safetensors=True)
    except (OSError, ValueError, ImportError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"The reward model {name_or_path} cannot be loaded: {said} Expected a sequence classifier of the hub or a "
            "directory of one, with safetensors."
        ) from error
    if model.config.num_labels != 1:
        raise ModelError(f"{name_or_path} has {model.config.num_labels} outputs; a reward model has one.")
    nn.Module.to(model, find_device())
    return model.eval(), tokenizer


def find_device(device: Device = "auto") -> torch.device:
    """Where to compute: "auto" takes a GPU where there is one. Raises ModelError if there is none and it is needed."""
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise ModelError("device is cuda, but torch sees no GPU here; use device=auto or device=cpu.")
    return torch.device("cuda" if has_gpu and device != "cpu" else "cpu")
