"""How an endpoint is used. The key is read from the environment when it is needed and is never a setting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from annotated_types import Ge, Gt

OPENAI = "https://api.openai.com/v1"


@dataclass(frozen=True)
class ApiConfig:
    """An endpoint with OpenAI's ``/chat/completions``.

    model: as the endpoint calls it. base_url: up to and without ``/chat/completions``.
    key_variable: the environment variable that holds the key; "" for an endpoint without one.
    concurrency, requests_per_minute: requests under way at a time, and begun in a minute (None: no limit).
    timeout_seconds: for one whole answer.
    retries: further tries of a request that failed for a while; waits double from backoff_seconds, with jitter, up to
        longest_wait_seconds. An endpoint that asks for a longer wait (Retry-After) ends the job.
    prompt_price, answer_price: for a million tokens, in whatever currency the limit ``max_cost`` is in.
    max_cost, max_tokens_spent: no request is sent that could exceed them; cached answers cost nothing.
    length_field: what the endpoint calls the limit of an answer. extra: further fields of each request.
    """

    model: str
    base_url: str = OPENAI
    key_variable: str = "OPENAI_API_KEY"
    concurrency: Annotated[int, Ge(1)] = 4
    requests_per_minute: Annotated[float, Gt(0)] | None = None
    timeout_seconds: Annotated[float, Gt(0)] = 120.0
    retries: Annotated[int, Ge(0)] = 6
    backoff_seconds: Annotated[float, Ge(0)] = 1.0
    longest_wait_seconds: Annotated[float, Ge(0)] = 120.0
    prompt_price: Annotated[float, Ge(0)] | None = None
    answer_price: Annotated[float, Ge(0)] | None = None
    max_cost: Annotated[float, Gt(0)] | None = None
    max_tokens_spent: Annotated[int, Gt(0)] | None = None
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"base_url is {self.base_url!r}; expected an address such as {OPENAI}")
        if parts.username or parts.password or parts.query:
            raise ValueError("base_url holds a user, a password or a query; keys belong in the environment only")
        if self.key_variable and not re.fullmatch(r"[A-Za-z_]\w*", self.key_variable):  # it may be the key: not shown
            raise ValueError("key_variable is no name of an environment variable; it names the one that holds the key")
        if self.max_cost is not None and (self.prompt_price is None or self.answer_price is None):
            raise ValueError("max_cost needs prompt_price and answer_price, for a million tokens each")

    @property
    def url(self) -> str:
        """Where requests go."""
        return self.base_url.rstrip("/") + "/chat/completions"

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine; such ones need no key."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"
