"""What a response means: an answer, a refusal of this one request, a failure that may pass, or the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from ldyn.answers.api.settings import OPENAI, ApiConfig
from ldyn.answers.chats import REFUSED, ChatAnswer
from ldyn.data.text import one_line
from ldyn.errors import ApiError

_SHOWN = 240
_OUT_OF_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
_ABOUT_THE_KEY = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_ABOUT_THE_REQUEST = (400, 413, 422)
_MAY_PASS = (408, 409, 425, 429)


class Temporary(Exception):
    """A failure that may pass. wait: seconds that the endpoint asked for. contact: whether anything answered at all."""

    def __init__(self, reason: str, wait: float | None = None, *, contact: bool = True):
        super().__init__(reason)
        self.reason, self.wait, self.contact = reason, wait, contact


class Reader:
    """Reads the responses of one endpoint. ``key`` is what no text may show."""

    def __init__(self, config: ApiConfig, key: str):
        self._config, self._key = config, key
        self._where = f"The endpoint {config.base_url}"

    def clean(self, text: object) -> str:
        """Text of the endpoint on one line, without the key and without what could steer a terminal."""
        said = str(text).replace(self._key, "[key]") if self._key else str(text)
        return one_line(" ".join(said.split()), _SHOWN) or "nothing more"

    def read(self, status: int, headers: Mapping[str, str], content: bytes) -> ChatAnswer:
        """The answer, or a refusal. Raises Temporary, or ApiError where no other request would do better."""
        if status == HTTPStatus.OK:
            return self._answer(headers, content)
        error = _error(content)
        said = self.clean(_message(error) or _page_title(content))
        if status in _ABOUT_THE_REQUEST:
            return ChatAnswer("", REFUSED, reason=f"{status}: {said}")
        if status == HTTPStatus.TOO_MANY_REQUESTS and _code(error) in _OUT_OF_CREDIT:
            raise ApiError(f"{self._where}: the account has no credit left ({said}).")
        if status in _MAY_PASS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Temporary(f"{status}: {said}", asked_wait(headers))
        raise ApiError(f"{self._where} {self._end(status, headers, said)}")

    def _end(self, status: int, headers: Mapping[str, str], said: str) -> str:
        """What is wrong, and what to do about it."""
        if status in _ABOUT_THE_KEY:
            key = f"the key in {self._config.key_variable}" if self._key else "a request without a key"
            return f"refuses {key} ({status}: {said}). Correct it and start again."
        if status == HTTPStatus.NOT_FOUND:
            expected = f"expected a base URL such as {OPENAI}, and a model that is served there"
            return f"knows no such address or model ({status}: {said}); {expected}; found {self._config.model!r}."
        if 300 <= status < 400:
            to = self.clean(headers.get("location", "another address"))
            return f"sends elsewhere, to {to}; give the final address as base URL."
        return f"answers {status}: {said}."

    def _answer(self, headers: Mapping[str, str], content: bytes) -> ChatAnswer:
        if "html" in headers.get("content-type", "") or content.lstrip()[:1] == b"<":
            raise ApiError(
                f"{self._where} answers with a web page, not with JSON ({self.clean(_page_title(content))}). Expected "
                f"the address of an API such as {OPENAI}, without /chat/completions; correct the base URL."
            )
        try:
            found = json.loads(content)
            choice = found["choices"][0]
            text, refusal = choice["message"].get("content"), choice["message"].get("refusal")
            usage = found.get("usage") or {}
            counts = (_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            start = self.clean(content[:_SHOWN].decode("utf-8", "replace"))
            raise Temporary(f"it does not answer as chat completions do, but: {start}") from error
        if not isinstance(text, str):
            return ChatAnswer("", REFUSED, *counts, reason=self.clean(refusal or "no text"))
        text = text.replace(self._key, "[key]") if self._key else text  # an endpoint may echo what it was sent
        return ChatAnswer(text, str(choice.get("finish_reason") or "stop"), *counts)


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds from the headers retry-after-ms or Retry-After (a number or a date); None without either."""
    milliseconds, after = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    for text, unit in ((milliseconds, 1000), (after, 1)):
        try:
            return max(0.0, float(text) / unit)
        except ValueError:
            continue
    try:
        return max(0.0, (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _error(content: bytes) -> Any:
    """What the response says of the error: OpenAI's ``error``, FastAPI's ``detail``; None for anything else."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found.get("error", found.get("detail")) if isinstance(found, Mapping) else None


def _message(error: Any) -> str:
    message = error.get("message") if isinstance(error, Mapping) else error
    return str(message or "")


def _code(error: Any) -> str:
    return str(error.get("code") or error.get("type")) if isinstance(error, Mapping) else ""


def _page_title(content: bytes) -> str:
    text = content[:20_000].decode("utf-8", "replace")
    return text.partition("<title>")[2].partition("</title>")[0] or text[:_SHOWN]


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
