"""Many requests to one endpoint: from the cache where they are known, else by a few workers, patiently."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ldyn.answers.answer_cache import AnswerCache
from ldyn.answers.api.budget import Ledger, Spent, estimate_all, spent_on
from ldyn.answers.api.pacing import Pace, Stopped
from ldyn.answers.api.responses import Temporary
from ldyn.answers.api.settings import ApiConfig
from ldyn.answers.api.transport import Transport, request_body
from ldyn.answers.chats import REFUSED, ChatAnswer, ChatRequest, Progress
from ldyn.errors import ApiError, BudgetReached, Interrupted

TRIES_WITHOUT_CONTACT = 3
"""So often is an endpoint asked that has never answered, before it counts as down."""

REFUSALS_AT_ONCE = 5
"""So many refusals before any answer mean that it is not about single requests."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job would ask: requests that are in the cache already, and those that are not, at their highest price."""

    cached: int
    most: Spent


def plan_requests(config: ApiConfig, cache: AnswerCache, requests: Sequence[ChatRequest]) -> Plan:
    """What asking ``requests`` would cost; it takes no key."""
    new = [request for request in dict.fromkeys(requests) if cache.get(_question(config, request)) is None]
    return Plan(len(set(requests)) - len(new), estimate_all(new))


def _question(config: ApiConfig, request: ChatRequest) -> Mapping[str, Any]:
    """All that decides an answer; a model's name means something at its endpoint only."""
    return {"endpoint": config.base_url, "sample": request.sample, "body": request_body(config, request)}


class ApiModel:
    """A ``ChatModel`` behind an endpoint. Every answer is in the cache as soon as it is there.

    ``spent`` counts what this object has really asked for, cached answers not included.
    """

    def __init__(self, config: ApiConfig, cache: AnswerCache, progress: Progress | None = None):
        self.config = config
        self._cache, self._progress = cache, progress
        self._transport = Transport(config)
        self._ledger = Ledger(config)

    @property
    def name(self) -> str:
        """Model and endpoint."""
        return f"{self.config.model} at {self.config.base_url}"

    @property
    def spent(self) -> Spent:
        """Requests and tokens so far."""
        return self._ledger.spent

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def plan(self, requests: Sequence[ChatRequest]) -> Plan:
        """What ``answer`` would do, without asking anything."""
        return plan_requests(self.config, self._cache, requests)

    def answer(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer]:
        """See ``ChatModel``. Raises ApiError (BudgetReached among them) or Interrupted, with what was answered kept."""
        known = {request: self._cache.get(self._question(request)) for request in dict.fromkeys(requests)}
        job = _Job(Pace(self.config), {one: answer for one, answer in known.items() if answer is not None}, len(known))
        for request, answer in known.items():
            if answer is None:
                job.waiting.put(request)
        self._work(job)
        if job.error is not None:
            raise self._with_state(job.error, job)
        return [job.answers[request] for request in requests]

    def _work(self, job: _Job) -> None:
        count = min(self.config.concurrency, job.waiting.qsize())
        workers = [threading.Thread(target=self._worker, args=(job,), daemon=True) for _ in range(count)]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                worker.join()
        except KeyboardInterrupt:
            job.end(Interrupted(signal.SIGINT, "Stopped."))

    def _worker(self, job: _Job) -> None:
        try:
            while True:
                request = job.waiting.get_nowait()
                job.add(request, self._ask(request, job))
                if self._progress is not None:
                    self._progress(len(job.answers), job.total)
        except (queue.Empty, Stopped):
            return
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits for this one
            job.end(error)

    def _ask(self, request: ChatRequest, job: _Job) -> ChatAnswer:
        for attempt in range(self.config.retries + 1):
            job.pace.wait_for_turn()
            try:
                return self._ask_once(request, job)
            except Temporary as failure:
                job.contact = job.contact or failure.contact
                self._give_up_if_hopeless(failure, attempt, job)
                job.pace.back_off(attempt, failure.wait)
        raise AssertionError("the last attempt returns or raises")

    def _ask_once(self, request: ChatRequest, job: _Job) -> ChatAnswer:
        reserved, spent = self._ledger.reserve(request), Spent()
        try:
            answer = self._transport.ask(request)
            job.contact = True
            if answer.finish != REFUSED:  # a refusal costs nothing, and may end with a change at the endpoint
                spent = spent_on(request, answer)
                self._cache.put(self._question(request), answer)
        finally:
            self._ledger.book(reserved, spent)
        return answer

    def _give_up_if_hopeless(self, failure: Temporary, attempt: int, job: _Job) -> None:
        where = f"The endpoint {self.config.base_url}"
        if not job.contact and attempt + 1 >= min(TRIES_WITHOUT_CONTACT, self.config.retries + 1):
            raise ApiError(f"{where} cannot be reached: {failure.reason}. Start it, or correct the base URL.")
        if failure.wait is not None and failure.wait > self.config.longest_wait_seconds:
            longest = f"the longest wait allowed is {self.config.longest_wait_seconds:g}"
            raise ApiError(f"{where} asks to wait {failure.wait:.0f} seconds ({failure.reason}); {longest}.")
        if attempt == self.config.retries:
            raise ApiError(f"{where} gave no answer in {attempt + 1} tries; the last time: {failure.reason}.")

    def _question(self, request: ChatRequest) -> Mapping[str, Any]:
        return _question(self.config, request)

    def _with_state(self, error: BaseException, job: _Job) -> BaseException:
        """Say what is safe and how to go on."""
        done = f"{len(job.answers):,} of {job.total:,} requests are answered and kept in {self._cache.directory}"
        more = "raise the limit and " if isinstance(error, BudgetReached) else ""
        error.add_note(f"{done}; {more}run the same command again to go on. Spent: {self.spent.words(self.config)}.")
        return error


@dataclass
class _Job:
    """What the workers of one call share."""

    pace: Pace
    answers: dict[ChatRequest, ChatAnswer]
    total: int
    waiting: queue.SimpleQueue[ChatRequest] = field(default_factory=queue.SimpleQueue)
    error: BaseException | None = None
    contact: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self, error: BaseException) -> None:
        """The first error counts; whoever waits stops."""
        with self._lock:
            self.error = self.error or error
        self.pace.stop.set()

    def add(self, request: ChatRequest, answer: ChatAnswer) -> None:
        """Raises ApiError where the endpoint refuses whatever is asked."""
        with self._lock:
            self.answers[request] = answer
            refused = sum(one.finish == REFUSED for one in self.answers.values())
            hopeless = refused == len(self.answers) >= min(REFUSALS_AT_ONCE, self.total)
        if hopeless and self.total > 1:
            raise ApiError(f"The endpoint refuses every request; the last time: {answer.reason}.")
