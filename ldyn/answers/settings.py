"""Settings of what generates, judges or scores answers. Imports no torch: a configuration validates fast."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Interval, MinLen
from pydantic import BeforeValidator, HttpUrl, ValidationError

Side = Literal["chosen", "rejected"]
Mode = Literal["greedy", "sampled"]
Device = Literal["auto", "cpu", "cuda"]
_AS_LIST = BeforeValidator(
    lambda value: (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
)
Names = Annotated[tuple[str, ...], _AS_LIST]
"""A list, or a single name."""

OPENAI = "https://api.openai.com/v1"

FACTS, API, REWARD_MODEL = "facts", "api", "reward_model:"
JUDGES = "facts, reward_model:NAME, MODULE:FUNCTION, api"


@dataclass(frozen=True)
class ApiConfig:
    """An endpoint with OpenAI's ``/chat/completions``. The key is read from the environment and is never a setting.

    model: as the endpoint calls it. base_url: up to and without ``/chat/completions``.
    key_variable: the environment variable that holds the key; "" for an endpoint without one.
    concurrency: requests in flight at a time. timeout_seconds: to wait for the endpoint.
    retries: further tries of a request that failed with a rate limit, a server error or a broken connection.
    length_field: what the endpoint calls the limit of an answer. extra: further fields of each request.
    """

    model: str
    base_url: str = OPENAI
    key_variable: str = "OPENAI_API_KEY"
    concurrency: Annotated[int, Ge(1)] = 4
    timeout_seconds: Annotated[float, Gt(0)] = 120.0
    retries: Annotated[int, Ge(0)] = 6
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_address(self.base_url)
        if self.key_variable and not re.fullmatch(r"[A-Za-z_]\w*", self.key_variable):  # it may be the key: not shown
            raise ValueError("key_variable is no name of an environment variable; it names the one that holds the key")

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine; it then needs no key."""
        host = urlsplit(self.base_url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")


def _check_address(base_url: str) -> None:
    try:
        url = HttpUrl(base_url)
        (url.host or "").encode("idna")  # as the client will: a part of a name has 1 to 63 characters
    except (ValidationError, UnicodeError):
        raise ValueError(f"base_url is {base_url[:200]!r}; expected an address such as {OPENAI}") from None
    if url.username or url.password or url.query:
        raise ValueError("base_url holds a user, a password or a query; keys belong in the environment only")


def judge_name_fault(name: str) -> str | None:
    """What is wrong with the name of a judge, or None. Imports nothing."""
    if name == "oracle":
        return f"found {name!r}; this judge is now called {FACTS!r}"
    if name.startswith(("local:", "model:")):
        return f"found {name!r}; serve the model (vLLM, llama.cpp, Ollama), then use the judge api with its base_url"
    is_reward_model = name.startswith(REWARD_MODEL) and name != REWARD_MODEL
    if name in (FACTS, API) or is_reward_model or re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
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
    """Settings of `ldyn generate`; configs/commands/generate.yaml describes them."""

    models: Annotated[Names, MinLen(1)]
    out: Path
    overwrite: bool = False
    prompts: Path | None = None
    split: Names | None = None
    examples: Annotated[int, Gt(0)] | None = None
    mode: Annotated[tuple[Mode, ...], _AS_LIST, MinLen(1)] = ("greedy", "sampled")
    max_new_tokens: Annotated[int, Gt(0)] | None = None
    temperature: Annotated[float, Gt(0)] = 1.0
    top_p: Annotated[float, Interval(gt=0, le=1)] = 1.0
    seed: int = 0
    batch_size: Annotated[int, Gt(0)] = 32
    max_prompt_tokens: Annotated[int, Gt(0)] | None = None
    device: Device = "auto"


@dataclass(frozen=True)
class JudgeConfig:
    """Settings of `ldyn judge`; configs/commands/judge.yaml describes them."""

    a: str
    b: str
    out: Path
    overwrite: bool = False
    judge: str = FACTS
    mode: Mode = "greedy"
    split: Names | None = None
    examples: Annotated[int, Gt(0)] | None = None
    seed: int = 0
    template: Path | None = None
    cache: Path = Path("outputs", "cache", "answers")
    api: ApiConfig | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if fault := judge_name_fault(self.judge):
            raise ValueError(f"judge: {fault}")
        if self.judge == API and self.api is None:
            raise ValueError("judge is api, but there is no endpoint: set api.model=NAME")


@dataclass(frozen=True)
class ScoreConfig:
    """Settings of `ldyn score`; configs/commands/score.yaml describes them."""

    models: Annotated[Names, MinLen(1)]
    probes: Path
    out: Path
    overwrite: bool = False
    max_tokens: Annotated[int, Gt(0)] | None = None
    max_prompt_tokens: Annotated[int, Gt(0)] | None = None
    keep_prompt: Literal["start", "end"] = "end"
    token_budget: Annotated[int, Gt(0)] | Literal["auto"] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Device = "auto"
    revision: str = "main"
    trust_remote_code: bool = False
