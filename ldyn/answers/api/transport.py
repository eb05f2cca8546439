"""One request to the endpoint. The key lives here only, and is struck out of every text that leaves."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import httpx

from ldyn.answers.api.responses import Reader, Temporary
from ldyn.answers.api.settings import ApiConfig
from ldyn.answers.chats import ChatAnswer, ChatRequest
from ldyn.errors import ApiError

LARGEST_RESPONSE = 32 * 2**20  # bytes


class Transport:
    """Sends the requests of one configuration. Raises ApiError if there is no key where one is needed."""

    def __init__(self, config: ApiConfig):
        self._config = config
        key = _key(config)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        limits = httpx.Limits(max_connections=config.concurrency)
        self._client = httpx.Client(headers=headers, timeout=config.timeout_seconds, limits=limits)
        self._reader = Reader(config, key)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, request: ChatRequest) -> ChatAnswer:
        """Send a request and read its answer. Raises Temporary, or ApiError where no other request would do better."""
        seconds, clean = self._config.timeout_seconds, self._reader.clean
        try:
            response, content = self._post(json.dumps(request_body(self._config, request)).encode())
        except httpx.TimeoutException as error:
            contact = not isinstance(error, httpx.ConnectTimeout)
            raise Temporary(f"no answer within {seconds:g} seconds", contact=contact) from error
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise Temporary(f"no connection ({clean(error)})", contact=False) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.DecodingError) as error:
            raise Temporary(f"the connection was cut ({clean(error)})") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ApiError(f"{self._config.base_url} cannot be asked: {clean(error)}.") from error
        return self._reader.read(response.status_code, response.headers, content)

    def _post(self, body: bytes) -> tuple[httpx.Response, bytes]:
        deadline = time.monotonic() + self._config.timeout_seconds
        content = bytearray()
        with self._client.stream("POST", self._config.url, content=body) as response:
            for part in response.iter_bytes():
                content += part
                if time.monotonic() > deadline:  # a trickle would never meet the timeout of a single read
                    raise httpx.ReadTimeout("the answer trickles")
                if len(content) > LARGEST_RESPONSE:
                    most = LARGEST_RESPONSE >> 20
                    raise ApiError(f"The endpoint {self._config.base_url} sends over {most} MiB, which is no answer.")
        return response, bytes(content)


def request_body(config: ApiConfig, request: ChatRequest) -> dict[str, Any]:
    """What is sent."""
    return {
        **config.extra,
        "model": config.model,
        "messages": [{"role": role, "content": content} for role, content in request.messages],
        "temperature": request.temperature,
        config.length_field: request.max_tokens,
    }


def _key(config: ApiConfig) -> str:
    """The key, "" where none is needed. Raises ApiError where it is missing, without showing what was found."""
    if not config.key_variable:
        return ""
    key = os.environ.get(config.key_variable, "").strip()
    if not key and not config.is_local:
        raise ApiError(
            f"There is no key: the environment variable {config.key_variable} is not set. Set it (export "
            f"{config.key_variable}=…), or name another variable; an endpoint on this machine needs none."
        )
    if not key.isascii() or not key.isprintable():
        raise ApiError(f"The key in {config.key_variable} has characters that no key has; copy it again.")
    if key and key in json.dumps([config.base_url, config.model, dict(config.extra)]):
        raise ApiError(f"The key in {config.key_variable} stands among the settings as well, which are kept in files.")
    return key
