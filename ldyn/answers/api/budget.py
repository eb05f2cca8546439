"""What requests will cost at most, and what they did cost: tokens, and money where prices are known."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ldyn.answers.api.settings import ApiConfig
from ldyn.answers.chats import ChatAnswer, ChatRequest
from ldyn.errors import BudgetReached

BYTES_PER_TOKEN = 4  # of English in UTF-8, roughly, for every tokenizer in use; other scripts have fewer
TOKENS_PER_MESSAGE = 4
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests that were answered, tokens of their prompts and answers, and ``estimated``: how many gave no counts.

    Failed tries are not counted, as endpoints do not bill them as a rule.
    """

    requests: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    estimated: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.answer_tokens + other.answer_tokens,
            self.estimated + other.estimated,
        )

    def cost(self, config: ApiConfig) -> float | None:
        """In the currency of the prices; None where they are not known."""
        if config.prompt_price is None or config.answer_price is None:
            return None
        return (self.prompt_tokens * config.prompt_price + self.answer_tokens * config.answer_price) / _MILLION

    def words(self, config: ApiConfig) -> str:
        """For people."""
        cost = self.cost(config)
        money = "" if cost is None else f", cost {cost:.4g}"
        about = "about " if self.estimated else ""
        tokens = f"{about}{self.prompt_tokens:,} prompt and {self.answer_tokens:,} answer tokens"
        return f"{self.requests:,} requests, {tokens}{money}"


def estimate(request: ChatRequest) -> Spent:
    """At most (an answer of full length), with a prompt counted by its bytes."""
    size = sum(len(content.encode("utf-8", "surrogatepass")) for _, content in request.messages)
    prompt = math.ceil(size / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * len(request.messages)
    return Spent(1, prompt, request.max_tokens, 1)


def estimate_all(requests: Iterable[ChatRequest]) -> Spent:
    """The sum of the estimates."""
    return sum(map(estimate, requests), Spent())


def spent_on(request: ChatRequest, answer: ChatAnswer) -> Spent:
    """What the endpoint counted; estimated from the texts where it did not."""
    guess = estimate(replace(request, max_tokens=math.ceil(len(answer.text.encode("utf-8", "replace")) / 4)))
    if answer.prompt_tokens is None or answer.answer_tokens is None:
        return guess
    return Spent(1, answer.prompt_tokens, answer.answer_tokens, 0)


class Ledger:
    """Keeps within the budget: a request is reserved at its highest price before it is sent, and booked afterwards."""

    def __init__(self, config: ApiConfig):
        self._config = config
        self._lock = threading.Lock()
        self._reserved = Spent()
        self.spent = Spent()

    def reserve(self, request: ChatRequest) -> Spent:
        """Raises BudgetReached where the request, and all that are under way, could exceed the budget."""
        most = estimate(request)
        with self._lock:
            together = self.spent + self._reserved + most
            self._check(together)
            self._reserved = self._reserved + most
        return most

    def book(self, reserved: Spent, spent: Spent) -> None:
        """Put what was really spent in the place of what was reserved."""
        with self._lock:
            self._reserved = self._reserved + _negative(reserved)
            self.spent = self.spent + spent

    def _check(self, together: Spent) -> None:
        limit, cost = self._config.max_cost, together.cost(self._config)
        if limit is not None and cost is not None and cost > limit:
            raise BudgetReached(f"The next request could bring the cost to {cost:.4g}, over the limit of {limit:.4g}.")
        tokens, most = together.prompt_tokens + together.answer_tokens, self._config.max_tokens_spent
        if most is not None and tokens > most:
            raise BudgetReached(f"The next request could bring the tokens to {tokens:,}, over the limit of {most:,}.")


def _negative(spent: Spent) -> Spent:
    return Spent(-spent.requests, -spent.prompt_tokens, -spent.answer_tokens, -spent.estimated)
