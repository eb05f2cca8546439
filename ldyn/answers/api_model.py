"""A model behind an endpoint that speaks OpenAI's chat completions. Retries and timeouts are the openai client's.

Ours are the limits of cost, the cache of answers, and that the key leaves this module in no text.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

import httpx2
import openai

from ldyn.answers.answer_cache import AnswerCache
from ldyn.answers.api_costs import Ledger, Plan, Spent, estimate_all, spent_on
from ldyn.answers.chats import REFUSED, ChatAnswer, ChatRequest, Progress
from ldyn.answers.settings import OPENAI, ApiConfig
from ldyn.data.text import one_line
from ldyn.errors import ApiError, BudgetReached, Interrupted

REFUSALS_AT_ONCE = 5
"""So many refusals before any answer mean that the fault is not in single requests."""

LARGEST_RESPONSE = 4 * 2**20
"""Bytes; far more than any answer of the few hundred tokens that are asked for."""

SHORTEST_SECRET = 8
"""A shorter key, such as EMPTY or none for an own server, is a placeholder and stays where it occurs in an answer."""

_ABOUT_THE_REQUEST = (400, 413, 422)


def plan_requests(config: ApiConfig, cache: AnswerCache, requests: Sequence[ChatRequest]) -> Plan:
    """What asking ``requests`` would cost; needs no key."""
    new = [request for request in dict.fromkeys(requests) if cache.get(_question(config, request)) is None]
    return Plan(len(set(requests)) - len(new), estimate_all(new))


def _question(config: ApiConfig, request: ChatRequest) -> Mapping[str, Any]:
    """Everything that decides an answer; a model's name means something at its endpoint only."""
    return {"endpoint": config.base_url, "sample": request.sample, "body": _body(config, request)}


def _body(config: ApiConfig, request: ChatRequest) -> dict[str, Any]:
    messages = request.messages
    return {
        **config.extra,
        "model": config.model,
        # Half a surrogate pair has no UTF-8; it is sent as "?".
        "messages": [{"role": role, "content": text.encode("utf-8", "replace").decode()} for role, text in messages],
        "temperature": request.temperature,
        config.length_field: request.max_tokens,
    }


class ApiModel:
    """A ``ChatModel`` behind an endpoint. Every answer is cached as soon as it arrives."""

    def __init__(self, config: ApiConfig, cache: AnswerCache, progress: Progress | None = None):
        self.config = config
        self._cache, self._progress = cache, progress
        self._key = _find_key(config)
        self._client = _open_client(config, self._key)
        self._ledger = Ledger(config)
        self._failed = False

    @property
    def name(self) -> str:
        """Model and endpoint."""
        return f"{self.config.model} at {self.config.base_url}"

    @property
    def spent(self) -> Spent:
        """Requests and tokens so far, cached answers not included."""
        return self._ledger.spent

    def answer(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer]:
        """See ``ChatModel``. Raises ApiError, BudgetReached or Interrupted; what was answered until then is cached."""
        known = {request: self._cache.get(_question(self.config, request)) for request in dict.fromkeys(requests)}
        self._failed = False
        answers = {request: answer for request, answer in known.items() if answer is not None}
        new = [request for request in known if request not in answers]
        try:
            for request, answer in self._answers(new):
                answers[request] = answer
                self._check_refusals(answers, len(known))
                if self._progress is not None:
                    self._progress(len(answers), len(known))
        except (ApiError, KeyboardInterrupt) as caught:
            error = Interrupted(signal.SIGINT, "Stopped.") if isinstance(caught, KeyboardInterrupt) else caught
            error.add_note(self._state(error, len(answers), len(known)))
            raise error from None
        return [answers[request] for request in requests]

    def _answers(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[ChatRequest, ChatAnswer]]:
        """As they come. After an error the requests in flight are awaited; after an interrupt they are abandoned."""
        with ThreadPool(self.config.concurrency) as pool:
            try:
                yield from pool.imap_unordered(self._ask, requests)
            except ApiError:
                pool.close()
                pool.join()
                raise

    def _ask(self, request: ChatRequest) -> tuple[ChatRequest, ChatAnswer]:
        if self._failed:
            raise ApiError("Another request has failed.")
        reserved, spent = self._ledger.reserve(request), Spent()
        try:
            answer = self._answer(request)
            if answer.finish != REFUSED:  # a refusal costs nothing, and may end with a change at the endpoint
                spent = spent_on(request, answer)
                self._cache.put(_question(self.config, request), answer)
        except ApiError:
            self._failed = True
            raise
        finally:
            self._ledger.book(reserved, spent)
        return request, answer

    def _answer(self, request: ChatRequest) -> ChatAnswer:
        """Send one request; a request that the endpoint rejects is a refusal. Raises ApiError for all other faults."""
        try:
            response = self._client.chat.completions.with_raw_response.create(**_body(self.config, request))
            return self._read(response.content)
        except openai.APIStatusError as error:
            said = self._clean(_message(error))
            if error.status_code in _ABOUT_THE_REQUEST:
                return ChatAnswer("", REFUSED, reason=f"{error.status_code}: {said}")
            raise ApiError(f"The endpoint {self.config.base_url} {self._fault(error.status_code, said)}") from None
        except _TooLarge as error:
            raise ApiError(f"The endpoint {self.config.base_url} gives no usable answer: {error}.") from None
        except openai.APITimeoutError:
            raise self._gave_up(f"no answer within {self.config.timeout_seconds:g} seconds") from None
        except openai.APIConnectionError as error:
            raise self._gave_up(f"no connection ({self._clean(error.__cause__ or error)})") from None

    def _read(self, content: bytes) -> ChatAnswer:
        """The answer in a response that holds one. Raises ApiError for a web page."""
        if _is_page(content):
            raise ApiError(
                f"The endpoint {self.config.base_url} answers with a web page, not with JSON: "
                f"{self._clean(_title(content))}. Expected the address of an API such as {OPENAI}; correct base_url."
            )
        found = json.loads(content)
        choice, usage = found["choices"][0], found.get("usage")
        text, refusal = choice["message"].get("content"), choice["message"].get("refusal")
        asked, written = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
        if not isinstance(text, str):
            return ChatAnswer("", REFUSED, asked, written, self._clean(refusal or "no text"))
        finish = self._clean(choice.get("finish_reason") or "stop")
        return ChatAnswer(self._key.strike_out(text), finish, asked, written)

    def _fault(self, status: int, said: str) -> str:
        """What is wrong, and what to do about it."""
        if status in (401, 403):
            key = f"the key in {self.config.key_variable}" if self._key.value else "a request without a key"
            return f"refuses {key} ({status}: {said}). Correct it and start again."
        if status == 404:
            expected = f"expected a base URL such as {OPENAI}, and a model that is served there"
            return f"knows no such address or model ({status}: {said}); {expected}; found {self.config.model!r}."
        if 300 <= status < 400:
            return f"redirects to another address ({status}: {said}); give the final address as base URL."
        return f"gave no answer in up to {self.config.retries + 1} tries; the last one: {status}: {said}."

    def _gave_up(self, reason: str) -> ApiError:
        return ApiError(
            f"The endpoint {self.config.base_url} gave no answer in {self.config.retries + 1} tries: {reason}. "
            "Start it, or correct the base URL."
        )

    def _clean(self, text: object) -> str:
        """Text of the endpoint on one line, without the key and without what could steer a terminal."""
        return one_line(" ".join(self._key.strike_out(str(text)).split()), 240) or "nothing more"

    def _check_refusals(self, answers: Mapping[ChatRequest, ChatAnswer], total: int) -> None:
        """Raises ApiError where the endpoint has refused everything so far."""
        reasons = [answer.reason for answer in answers.values() if answer.finish == REFUSED]
        if total > 1 and len(reasons) == len(answers) >= min(REFUSALS_AT_ONCE, total):
            raise ApiError(f"The endpoint {self.config.base_url} refuses every request: {reasons[-1]}.")

    def _state(self, error: BaseException, answered: int, total: int) -> str:
        """What is kept and how to continue."""
        more = "raise the limit and " if isinstance(error, BudgetReached) else ""
        done = f"{answered:,} of {total:,} requests are answered and kept in {self._cache.directory}"
        return f"{done}; {more}run the same command again to continue. Spent: {self.spent.words(self.config)}."


# --------------------------------------------------------------------------------------------------------------
# The key, the connection, and what comes back


class _Key:
    """The key, "" where none is needed; it never shows in a traceback or a ``repr``."""

    def __init__(self, value: str):
        self.value = value

    def __repr__(self) -> str:
        return "[key]"

    def strike_out(self, text: str) -> str:
        """The text without the key."""
        return text.replace(self.value, "[key]") if len(self.value) >= SHORTEST_SECRET else text


def _find_key(config: ApiConfig) -> _Key:
    """Raises ApiError where it is missing, without showing what was found."""
    if not config.key_variable:
        return _Key("")
    key = os.environ.get(config.key_variable, "").strip()
    if not key and not config.is_local:
        raise ApiError(
            f"There is no key: the environment variable {config.key_variable} is not set. Set it (export "
            f"{config.key_variable}=…), or name another variable; an endpoint on this machine needs none."
        )
    if not key.isascii() or not key.isprintable():
        raise ApiError(f"The key in {config.key_variable} has characters that no key has; copy it again.")
    if key and key in json.dumps([config.base_url, config.model, dict(config.extra)]):
        raise ApiError(f"The key in {config.key_variable} is also in the settings, which are written to files.")
    return _Key(key)


def _open_client(config: ApiConfig, key: _Key) -> openai.OpenAI:
    """Raises ApiError where the proxy in the environment is invalid."""
    try:
        connection = _Connection(key, config.timeout_seconds)
    except (ValueError, ImportError, httpx2.InvalidURL) as error:
        raise ApiError(
            f"The proxy in the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) cannot be used: {error}. Correct or "
            "unset it."
        ) from None
    return openai.OpenAI(
        api_key=key.value or "none",
        base_url=config.base_url,
        timeout=config.timeout_seconds,
        max_retries=config.retries,
        http_client=connection,
    )


class _Connection(httpx2.Client):
    """Reads each response within a limit of time and size, and strikes out the key before anyone sees it."""

    def __init__(self, key: _Key, seconds: float):
        super().__init__(timeout=seconds)
        self._key, self._seconds = key, seconds

    def send(self, request: httpx2.Request, **settings: Any) -> httpx2.Response:
        """Raises ReadTimeout where the response trickles, ApiError where it is too large."""
        deadline = time.monotonic() + self._seconds
        if not self._key.value:
            request.headers.pop("Authorization", None)  # the client insists on one
        response = super().send(request, **{**settings, "stream": True})
        content = bytearray()
        try:
            for part in response.iter_bytes():
                content += part
                if time.monotonic() > deadline:  # the client's timeout is for a single read
                    raise httpx2.ReadTimeout("the answer trickles", request=request)
                if len(content) > LARGEST_RESPONSE:
                    raise _TooLarge(f"it sends more than {LARGEST_RESPONSE >> 20} MiB for one answer")
        finally:
            response.close()
        return self._without_key(response, bytes(content))

    def _without_key(self, response: httpx2.Response, content: bytes) -> httpx2.Response:
        length = ("content-encoding", "content-length", "transfer-encoding")  # of what was sent, not of what is left
        headers = {name: self._key.strike_out(value) for name, value in response.headers.items() if name not in length}
        # latin-1 maps every byte to one character: the key is ASCII and is found whatever the text is encoded in.
        content = self._key.strike_out(content.decode("latin-1")).encode("latin-1")
        status = response.status_code
        if response.is_success and not _is_completion(content) and not _is_page(content):
            status = 502  # the client tries again
        return httpx2.Response(status, headers=headers, content=content, request=response.request)


class _TooLarge(openai.OpenAIError):
    """A response that no answer can be; the client does not try again."""


def _message(error: openai.APIStatusError) -> str:
    """What the endpoint says: OpenAI's ``error``, FastAPI's ``detail``, the new address, or the page's title."""
    if error.status_code < 400:
        return error.response.headers.get("location", "")
    try:
        found = json.loads(error.response.content)
        said = found.get("error", found.get("detail")) if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        said = None
    message = said.get("message") if isinstance(said, dict) else said
    return str(message or _title(error.response.content))


def _title(content: bytes) -> str:
    text = content[:20_000].decode("utf-8", "replace")
    return text.partition("<title>")[2].partition("</title>")[0] or text


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value >= 0 else None


def _is_page(content: bytes) -> bool:
    return content.lstrip()[:1] == b"<"


def _is_completion(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content)["choices"][0]["message"], dict)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return False
