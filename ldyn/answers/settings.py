"""Settings of everything that generates or judges answers. Imports no torch, so that a configuration validates fast."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from annotated_types import Ge, Gt, Interval, Lt, MinLen

Side = Literal["chosen", "rejected"]
Mode = Literal["greedy", "sampled"]
Device = Literal["auto", "cpu", "cuda"]

OPENAI = "https://api.openai.com/v1"

FACTS, API, LOCAL, REWARD_MODEL = "facts", "api", "local:", "reward_model:"
JUDGES = "facts, reward_model:NAME, MODULE:FUNCTION, api, local:NAME"
_RENAMED = {"oracle": FACTS, "model:": LOCAL}


@dataclass(frozen=True)
class ApiConfig:
    """An endpoint with OpenAI's ``/chat/completions``. The key is read from the environment and is never a setting.

    model: as the endpoint calls it. base_url: up to and without ``/chat/completions``.
    key_variable: the environment variable that holds the key; "" for an endpoint without one.
    concurrency: requests in flight at a time. timeout_seconds: for one whole answer.
    retries: further tries of a request that failed with a rate limit, a server error or a broken connection.
    prompt_price, answer_price: for a million tokens, in the currency of ``max_cost``.
    max_cost, max_tokens_spent: no request is sent that could exceed them; cached answers cost nothing.
    length_field: what the endpoint calls the limit of an answer. extra: further fields of each request.
    """

    model: str
    base_url: str = OPENAI
    key_variable: str = "OPENAI_API_KEY"
    concurrency: Annotated[int, Ge(1)] = 4
    timeout_seconds: Annotated[float, Gt(0)] = 120.0
    retries: Annotated[int, Ge(0)] = 6
    prompt_price: Annotated[float, Ge(0)] | None = None
    answer_price: Annotated[float, Ge(0)] | None = None
    max_cost: Annotated[float, Gt(0)] | None = None
    max_tokens_spent: Annotated[int, Gt(0)] | None = None
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_address(self.base_url)
        if self.key_variable and not re.fullmatch(r"[A-Za-z_]\w*", self.key_variable):  # it may be the key: not shown
            raise ValueError("key_variable is no name of an environment variable; it names the one that holds the key")
        for name in ("prompt_price", "answer_price", "max_cost"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; expected a number, 0 or more")
        if self.max_cost is not None and (self.prompt_price is None or self.answer_price is None):
            raise ValueError("max_cost needs prompt_price and answer_price, for a million tokens each")

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine; it then needs no key."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def _check_address(base_url: str) -> None:
    """Raises ValueError for an address that cannot be requested, or that holds a secret."""
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and _is_host(parts.hostname or "")
        _ = parts.port  # raises ValueError
    except ValueError:
        parts, valid = SplitResult("", "", "", "", ""), False
    if parts.username or parts.password or parts.query:
        raise ValueError("base_url holds a user, a password or a query; keys belong in the environment only")
    if not valid:
        raise ValueError(f"base_url is {base_url[:200]!r}; expected an address such as {OPENAI}")


def _is_host(name: str) -> bool:
    """Whether DNS can look it up: labels of at most 63 characters."""
    try:
        return bool(name) and bool(name.encode("idna"))
    except UnicodeError:
        return False


def judge_name_fault(name: str) -> str | None:
    """What is wrong with the name of a judge, or None. Imports nothing."""
    for old, new in _RENAMED.items():
        if name == old or (old.endswith(":") and name.startswith(old)):
            return f"found {name!r}; this judge is now called {new + name.removeprefix(old)!r}"
    named = any(name.startswith(kind) and name != kind for kind in (LOCAL, REWARD_MODEL))
    if name in (FACTS, API) or named or re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        return None
    return f"found {name!r}, expected one of {JUDGES}"


@dataclass(frozen=True)
class ResponsesConfig:
    """Which responses a stage trains on: those of the data, or answers sampled from the weights it starts from.

    sampled: the sides that are sampled; the others are the data's. [rejected] is SPIN, [chosen, rejected] on-policy
    DPO. candidates: answers sampled for each prompt; the judge's best becomes chosen, its worst rejected.
    judge: one that scores single answers (``ldyn.answers.judges``); not needed where only rejected is sampled, once.
    max_new_tokens, temperature: how answers are sampled. cut_answers: "drop" ignores those cut at the limit.
    """

    sampled: tuple[Side, ...] = ()
    candidates: Annotated[int, Ge(1)] = 1
    judge: str | None = None
    max_new_tokens: Annotated[int, Gt(0)] = 48
    temperature: Annotated[float, Gt(0)] = 1.0
    cut_answers: Literal["keep", "drop"] = "keep"

    def __post_init__(self) -> None:
        if self.judge is None and ("chosen" in self.sampled or self.candidates > 1):
            raise ValueError("a judge is needed to choose among sampled answers; set judge (facts in the microworld)")
        if {"chosen", "rejected"} <= set(self.sampled) and self.candidates < 2:
            raise ValueError(f"candidates is {self.candidates}; to sample both sides at least 2 are needed")


@dataclass(frozen=True)
class WinsConfig:
    """Win rates in a run: every preference arm against the first one, at every evaluation step that both have.

    judges: names as in `ldyn judge`; the claim rests on the first one, the others are reported beside it.
    examples: at most so many questions of each split, drawn by the run's seed; None takes all that the data has.
    api: the endpoint of the judge "api". template: the prompt of judges that are language models (None: our own).
    """

    judges: Annotated[tuple[str, ...], MinLen(1)] = (FACTS,)
    examples: Annotated[int, Gt(0)] | None = None
    api: ApiConfig | None = None
    template: Path | None = None

    def __post_init__(self) -> None:
        if API in self.judges and self.api is None:
            raise ValueError("judges has api, but there is no endpoint: set wins.api={model: NAME}")
        if len(set(self.judges)) < len(self.judges):
            raise ValueError(f"judges={list(self.judges)} names one judge twice")


@dataclass(frozen=True)
class GenerateConfig:
    """`ldyn generate`: which models answer which prompts, and how.

    models: each is RUN (its base and all its stages), RUN:STAGE, a model directory or a hub name.
    out: directory of samples.jsonl; overwrite: replace one that is there.
    prompts: a file of rows with a prompt; None: the probes of the first run.
    training: rows whose chosen answers are trained on, for the overlap; None: the pairs of the first run.
    splits, examples: which prompts; the first ``examples`` of each split (None: all).
    max_new_tokens: None: the run's setting, or 128. max_prompt_tokens: for models that come from no run.
    """

    models: Annotated[tuple[str, ...], MinLen(1)]
    out: Path
    overwrite: bool = False
    prompts: Path | None = None
    training: Path | None = None
    splits: Annotated[tuple[str, ...], MinLen(1)] | None = None
    examples: Annotated[int, Gt(0)] | None = None
    modes: Annotated[tuple[Mode, ...], MinLen(1)] = ("greedy", "sampled")
    max_new_tokens: Annotated[int, Gt(0)] | None = None
    temperature: Annotated[float, Gt(0)] = 1.0
    top_p: Annotated[float, Interval(gt=0, le=1)] = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    batch_size: Annotated[int, Gt(0)] = 32
    max_prompt_tokens: Annotated[int, Gt(0)] | None = None
    device: Device = "auto"


@dataclass(frozen=True)
class JudgeConfig:
    """`ldyn judge`: compare the answers of ``a`` with those of ``b``, pair by pair, each pair in both orders.

    a, b: each a samples.jsonl or a directory with one, with :STAGE where it holds several stages.
    judge: see ``ldyn.answers.judges``. mode, splits: which answers. examples: at most so many pairs, drawn by ``seed``.
    difference: report how many questions a win rate of 1/2 ± difference needs.
    template: the prompt of a judge that is a language model (None: our own). api: the endpoint of the judge "api".
    dry_run: report what would be asked and its highest cost, and ask nothing.
    """

    a: str
    b: str
    out: Path
    overwrite: bool = False
    judge: str = FACTS
    mode: Mode = "greedy"
    splits: Annotated[tuple[str, ...], MinLen(1)] | None = None
    examples: Annotated[int, Gt(0)] | None = None
    seed: int = 0
    difference: Annotated[float, Gt(0), Lt(0.5)] = 0.05
    template: Path | None = None
    cache: Path = Path("outputs", "cache", "answers")
    api: ApiConfig | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if fault := judge_name_fault(self.judge):
            raise ValueError(f"judge: {fault}")
        if self.judge == API and self.api is None:
            raise ValueError("judge is api, but there is no endpoint: set api.model=NAME")
