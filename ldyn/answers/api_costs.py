"""What API requests cost: an upper bound before they are sent, what was spent after, and the limit of both."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from ldyn.answers.chats import ChatAnswer, ChatRequest
from ldyn.answers.settings import ApiConfig
from ldyn.errors import BudgetReached

BYTES_PER_TOKEN = 4  # of English in UTF-8, roughly, for every tokenizer in use; other scripts have fewer
TOKENS_PER_MESSAGE = 4
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests, and the tokens of their prompts and answers. Failed tries are not counted: as a rule they are free."""

    requests: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0

    def plus(self, other: Spent, sign: int = 1) -> Spent:
        """The sum, or with sign -1 the difference."""
        return Spent(*(getattr(self, name) + sign * getattr(other, name) for name in self.__slots__))

    def cost(self, config: ApiConfig) -> float | None:
        """In the currency of the prices; None where they are not known."""
        if config.prompt_price is None or config.answer_price is None:
            return None
        return (self.prompt_tokens * config.prompt_price + self.answer_tokens * config.answer_price) / _MILLION

    def words(self, config: ApiConfig) -> str:
        """One line for a terminal."""
        cost = self.cost(config)
        money = "" if cost is None else f", cost {cost:.4g}"
        tokens = f"{self.prompt_tokens:,} prompt and {self.answer_tokens:,} answer tokens"
        return f"{self.requests:,} requests, about {tokens}{money}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job would send: ``cached`` requests are answered already, the others cost at most ``most``."""

    cached: int
    most: Spent


def estimate(request: ChatRequest) -> Spent:
    """An upper bound: an answer of full length, and a prompt counted by its bytes."""
    size = sum(len(content.encode("utf-8", "surrogatepass")) for _, content in request.messages)
    prompt = math.ceil(size / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * len(request.messages)
    return Spent(1, prompt, request.max_tokens)


def estimate_all(requests: Iterable[ChatRequest]) -> Spent:
    return reduce(Spent.plus, map(estimate, requests), Spent())


def spent_on(request: ChatRequest, answer: ChatAnswer) -> Spent:
    """The endpoint's token counts; estimated from the texts where it gave none."""
    if answer.prompt_tokens is None or answer.answer_tokens is None:
        written = math.ceil(len(answer.text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)
        return Spent(1, estimate(request).prompt_tokens, written)
    return Spent(1, answer.prompt_tokens, answer.answer_tokens)


class Ledger:
    """Keeps ``max_cost``: a request is reserved at its highest price before it is sent, and booked afterwards."""

    def __init__(self, config: ApiConfig):
        self._config = config
        self._lock = threading.Lock()
        self._reserved = Spent()
        self.spent = Spent()

    def reserve(self, request: ChatRequest) -> Spent:
        """Raises BudgetReached where the request and all those in flight could exceed the limit."""
        most = estimate(request)
        with self._lock:
            cost = self.spent.plus(self._reserved).plus(most).cost(self._config)
            limit = self._config.max_cost
            if limit is not None and cost is not None and cost > limit:
                raise BudgetReached(f"The next request could bring the cost to {cost:.4g}, over max_cost={limit:.4g}.")
            self._reserved = self._reserved.plus(most)
        return most

    def book(self, reserved: Spent, spent: Spent) -> None:
        with self._lock:
            self._reserved = self._reserved.plus(reserved, -1)
            self.spent = self.spent.plus(spent)
