"""Answers of a model on this machine to prompts of token ids, kept one by one: an interrupted job goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.answers.answer_cache import AnswerCache
from ldyn.answers.answers import Answer, Sampling, answer_prompts, context_size
from ldyn.answers.chats import REFUSED, ChatAnswer, Progress
from ldyn.errors import DataError

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
    def rule(self) -> tuple[object, ...]:
        """Requests of one rule may be answered together."""
        return self.max_new_tokens, self.temperature, self.top_p, self.stop


class CachedAnswers:
    """A model with its cache. ``fingerprint`` names the weights.

    Which requests are answered together depends on the list that is asked, not on what the cache holds, and a draw is
    seeded by its batch: a job that was interrupted ends with the answers of one that was not.
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

    def answer(self, requests: Sequence[PromptRequest]) -> list[ChatAnswer]:
        """One answer for each request, in order. A prompt that leaves no room for an answer is refused.

        Raises DataError where no prompt leaves any.
        """
        refusals = {one: refusal for one in dict.fromkeys(requests) if (refusal := self._refusal(one)) is not None}
        wanted = [request for request in dict.fromkeys(requests) if request not in refusals]
        if requests and not wanted:
            raise DataError(f"No prompt can be answered; the first: {next(iter(refusals.values())).reason}.")
        answers = {one: answer for one in wanted if (answer := self._cache.get(self._question(one))) is not None}
        for batch in self._batches(wanted):
            if all(request in answers for request in batch):
                continue
            for request, answer in zip(batch, self._generated(batch), strict=True):
                if request not in answers:
                    answers[request] = answer
                    self._cache.put(self._question(request), answer)
            if self._progress is not None:
                self._progress(len(answers), len(wanted))
        return [{**refusals, **answers}[request] for request in requests]

    def _refusal(self, request: PromptRequest) -> ChatAnswer | None:
        found, room = len(request.prompt_ids), context_size(self._model)
        if 0 < found < room:
            return None
        return ChatAnswer("", REFUSED, found, reason=f"the prompt has {found} tokens, the model takes 1 to {room - 1}")

    def _batches(self, requests: Sequence[PromptRequest]) -> Iterator[list[PromptRequest]]:
        """Requests that are answered by the same rules, a few at a time."""
        by_rule: dict[tuple[object, ...], list[PromptRequest]] = {}
        for request in requests:
            by_rule.setdefault(request.rule, []).append(request)
        size = self._batch_size
        for alike in by_rule.values():
            yield from (alike[start : start + size] for start in range(0, len(alike), size))

    def _generated(self, batch: Sequence[PromptRequest]) -> Iterator[ChatAnswer]:
        answers: list[Answer] = answer_prompts(
            self._model,
            self._tokenizer,
            [request.prompt_ids for request in batch],
            max_new_tokens=batch[0].max_new_tokens,
            sampling=self._sampling(batch),
            stop=batch[0].stop,
            batch_size=self._batch_size,
        )
        for request, answer in zip(batch, answers, strict=True):
            finish = "stop" if answer.stopped else "length"
            yield ChatAnswer(answer.text, finish, len(request.prompt_ids), answer.n_tokens)

    def _sampling(self, batch: Sequence[PromptRequest]) -> Sampling | None:
        if batch[0].temperature == 0:
            return None
        content = json.dumps([self._question(request) for request in batch], sort_keys=True)
        seed = int(hashlib.sha256(content.encode()).hexdigest()[:7], 16)
        return Sampling(batch[0].temperature, batch[0].top_p, seed)

    def _question(self, request: PromptRequest) -> Mapping[str, Any]:
        """All that decides an answer."""
        return {"weights": self._fingerprint, **asdict(request)}
