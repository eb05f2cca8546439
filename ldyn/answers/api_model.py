"""A model behind an endpoint that speaks OpenAI's chat completions. Retries and timeouts are the openai client's.

Ours are the cache of answers, and that the key leaves this module in no text.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

import httpx2
import openai
from pydantic import SecretStr

from ldyn.answers.chats import REFUSED, AnswerCache, ChatAnswer, ChatRequest, Progress
from ldyn.answers.settings import OPENAI, ApiConfig
from ldyn.data.text import one_line
from ldyn.errors import ApiError, Interrupted

REFUSALS_AT_ONCE = 5
"""So many refusals before any answer mean that the fault is not in single requests."""

SHORTEST_SECRET = 8
"""A shorter key, such as EMPTY or none for an own server, is a placeholder and stays where it occurs in an answer."""

_ABOUT_THE_REQUEST = (400, 413, 422)
LONGEST_ANSWER = 2_000_000  # bytes; no chat completion is longer
_NO_ANSWER, _WEB_PAGE = 502, 406  # in place of a success that is no answer; the client retries the first


def requests_left(config: ApiConfig, cache: AnswerCache, requests: Sequence[ChatRequest]) -> int:
    """How many of ``requests`` are not answered in the cache; needs no key."""
    return sum(cache.get(_question(config, request)) is None for request in dict.fromkeys(requests))


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
        self.config, self.name = config, f"{config.model} at {config.base_url}"
        self._cache, self._progress = cache, progress
        self._key = _find_key(config)
        self._client = openai.OpenAI(
            api_key=self._key.get_secret_value() or "none",
            base_url=config.base_url,
            timeout=config.timeout_seconds,
            max_retries=config.retries,
            http_client=_Connection(self._key, config.timeout_seconds),
        )
        self._failed = False
        self.n_sent = 0
        """Requests answered by the endpoint so far, cached answers not included."""

    def answer(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer]:
        """See ``ChatModel``. Raises ApiError or Interrupted; what was answered until then is cached."""
        known = {request: self._cache.get(_question(self.config, request)) for request in dict.fromkeys(requests)}
        self._failed = False
        answers = {request: answer for request, answer in known.items() if answer is not None}
        try:
            for request, answer in self._answers([request for request in known if request not in answers]):
                answers[request] = answer
                self.n_sent += 1
                self._check_refusals(answers, len(known))
                if self._progress is not None:
                    self._progress(len(answers), len(known))
        except (ApiError, KeyboardInterrupt) as caught:
            error = Interrupted(signal.SIGINT, "Stopped.") if isinstance(caught, KeyboardInterrupt) else caught
            done = f"{len(answers):,} of {len(known):,} requests are answered and kept in {self._cache.directory}"
            error.add_note(f"{done}; run the same command again to continue.")
            raise error from None
        return [answers[request] for request in requests]

    def _answers(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[ChatRequest, ChatAnswer]]:
        """As they come. After an error the requests in flight are awaited; after an interrupt they are abandoned."""
        if self.config.concurrency == 1:
            yield from map(self._ask, requests)
            return
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
        try:
            answer = self._answer(request)
        except ApiError:
            self._failed = True
            raise
        if answer.finish != REFUSED:  # a refusal may end with a change at the endpoint
            self._cache.put(_question(self.config, request), answer)
        return request, answer

    def _answer(self, request: ChatRequest) -> ChatAnswer:
        endpoint = f"The endpoint {self.config.base_url}"
        try:
            found = self._client.chat.completions.create(**_body(self.config, request))
        except openai.APIStatusError as error:
            said = self._clean(_message(error))
            if error.status_code in _ABOUT_THE_REQUEST:
                return ChatAnswer("", REFUSED, reason=f"{error.status_code}: {said}")
            raise ApiError(f"{endpoint} {self._fault(error.status_code, said)}") from None
        except openai.APIConnectionError as error:
            tries, cause = self.config.retries + 1, self._clean(error.__cause__ or error)
            raise ApiError(
                f"{endpoint} gave no answer in {tries} tries ({cause}). Start it, or correct base_url."
            ) from None
        message, finish = found.choices[0].message, self._clean(found.choices[0].finish_reason or "stop")
        if not isinstance(message.content, str):
            return ChatAnswer("", REFUSED, self._clean(message.refusal or "no text"))
        return ChatAnswer(_without(self._key, message.content), finish)

    def _fault(self, status: int, said: str) -> str:
        if status in (401, 403):
            has_key = bool(self._key.get_secret_value())
            key = f"the key in {self.config.key_variable}" if has_key else "a request without a key"
            return f"refuses {key} ({status}: {said}). Correct it and start again."
        if status in (404, _WEB_PAGE):
            expected = f"expected a base URL such as {OPENAI}, and a model that is served there"
            answer = "a web page" if status == _WEB_PAGE else status
            return f"knows no such address or model ({answer}: {said}); {expected}; found {self.config.model!r}."
        if 300 <= status < 400:
            return f"redirects to another address ({status}: {said}); give the final address as base URL."
        return f"gave no answer in up to {self.config.retries + 1} tries; the last one: {status}: {said}."

    def _clean(self, text: object) -> str:
        """Text of the endpoint on one line, without the key and without what could steer a terminal."""
        return one_line(" ".join(_without(self._key, str(text)).split()), 240) or "nothing more"

    def _check_refusals(self, answers: Mapping[ChatRequest, ChatAnswer], total: int) -> None:
        reasons = [answer.reason for answer in answers.values() if answer.finish == REFUSED]
        if total > 1 and len(reasons) == len(answers) >= min(REFUSALS_AT_ONCE, total):
            raise ApiError(f"The endpoint {self.config.base_url} refuses every request: {reasons[-1]}.")


# --------------------------------------------------------------------------------------------------------------
# The key, the connection, and what comes back


def _find_key(config: ApiConfig) -> SecretStr:
    """The key, "" where none is needed. Raises ApiError where it is missing, without showing what was found."""
    key = os.environ.get(config.key_variable, "").strip() if config.key_variable else ""
    if config.key_variable and not key and not config.is_local:
        raise ApiError(
            f"There is no key: the environment variable {config.key_variable} is not set. Set it (export "
            f"{config.key_variable}=…), or name another variable; an endpoint on this machine needs none."
        )
    if not key.isascii() or not key.isprintable():
        raise ApiError(f"The key in {config.key_variable} has characters that no key has; copy it again.")
    if key and key in json.dumps([config.base_url, config.model, dict(config.extra)]):
        raise ApiError(f"The key in {config.key_variable} is also in the settings, which are written to files.")
    return SecretStr(key)


def _without(key: SecretStr, text: str) -> str:
    secret = key.get_secret_value()
    return text.replace(secret, "[key]") if len(secret) >= SHORTEST_SECRET else text


class _Connection(httpx2.Client):
    """Removes the key from every response before anyone reads it."""

    def __init__(self, key: SecretStr, seconds: float):
        try:
            super().__init__(timeout=seconds)
        except (ValueError, ImportError, httpx2.InvalidURL) as error:  # a proxy may be given with a password
            named = ", ".join(sorted(name for name in os.environ if name.lower().endswith("_proxy")))
            fault = re.sub(r"//[^/@\s]*@", "//", str(error).partition("\n")[0])
            raise ApiError(f"The proxy cannot be used ({fault}). Correct or unset {named}.") from None
        self._key = key

    def send(self, request: httpx2.Request, **settings: Any) -> httpx2.Response:
        """A success that is no chat completion becomes an error."""
        if not self._key.get_secret_value():
            request.headers.pop("Authorization", None)  # the client insists on one
        response = super().send(request, **{**settings, "stream": False})
        length = ("content-encoding", "content-length", "transfer-encoding")  # of what was sent, not of what is left
        headers = {name: _without(self._key, value) for name, value in response.headers.items() if name not in length}
        # latin-1 maps every byte to one character: the key is ASCII and is found whatever the text is encoded in.
        content = _without(self._key, response.content.decode("latin-1")).encode("latin-1")
        status = response.status_code
        if response.is_success and len(content) > LONGEST_ANSWER:
            status, content = _NO_ANSWER, f"an answer of {len(content):,} bytes".encode()
        elif response.is_success and not _is_completion(content):
            status = _WEB_PAGE if content.lstrip().startswith(b"<") else _NO_ANSWER
        return httpx2.Response(status, headers=headers, content=content, request=response.request)


def _message(error: openai.APIStatusError) -> str:
    if error.response.is_redirect:
        return error.response.headers.get("location", "")
    if isinstance(error.body, dict):
        return str(error.body.get("message", error.body.get("detail", error.body)))
    title = re.search(r"<title>(.*?)</title>", error.response.text)
    return title[1] if title else error.response.text


def _is_completion(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content)["choices"][0]["message"], dict)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return False
