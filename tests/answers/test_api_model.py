"""A model behind an endpoint that is slow, fails, limits rates, echoes the key or hangs up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stand_in import Reply, StandIn, failed, said

from ldyn.answers.api_model import ApiModel
from ldyn.answers.chats import REFUSED, AnswerCache, ChatRequest
from ldyn.answers.settings import ApiConfig
from ldyn.errors import ApiError

KEY = "sk-a-very-secret-key-0123456789"


def asking(text: str, **changes: Any) -> ChatRequest:
    return ChatRequest((("user", text),), **changes)


REQUESTS = [asking(f"question {number}") for number in range(12)]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDYN_TEST_KEY", KEY)


def config_at(stand_in: StandIn, **settings: Any) -> ApiConfig:
    defaults = {"key_variable": "LDYN_TEST_KEY", "timeout_seconds": 5.0, "retries": 3}
    return ApiConfig("toy", stand_in.url, **{**defaults, **settings})


def model_at(stand_in: StandIn, directory: Path, **settings: Any) -> ApiModel:
    return ApiModel(config_at(stand_in, **settings), AnswerCache(directory))


def test_answers_come_in_order_and_a_second_job_is_free(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.behaviour = lambda body: Reply(**{**vars(said(body["messages"][0]["content"].upper())), "wait": 0.05})
    first = model_at(stand_in, tmp_path)
    answers = first.answer([*REQUESTS, REQUESTS[3]])  # a question asked twice is sent once
    assert [answer.text for answer in answers] == [f"QUESTION {n}" for n in [*range(12), 3]]
    assert len(stand_in.bodies) == 12
    assert 1 < stand_in.most_at_once <= 4
    assert first.n_sent == 12
    second = model_at(stand_in, tmp_path)
    assert second.answer(REQUESTS) == answers[:12]
    assert len(stand_in.bodies) == 12
    assert second.n_sent == 0


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"question": {}, "answer": {}}'])
def test_a_damaged_answer_is_asked_again(damage: bytes, stand_in: StandIn, tmp_path: Path) -> None:
    model = model_at(stand_in, tmp_path)
    model.answer([REQUESTS[0]])
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(damage)
    assert model.answer([REQUESTS[0]])[0].text == "QUESTION 0"
    assert len(stand_in.bodies) == 2
    assert json.loads(file.read_text())["answer"]["text"] == "QUESTION 0"


@pytest.mark.parametrize(
    "trouble",
    [
        failed(500), failed(429, "slow down"), Reply(body=b"[" * 100_000), said("x", choices=[]),
        Reply(body=said("a long answer " * 40).body, cut_after=64), Reply(502, b"<html><title>Bad gateway</title>"),
        Reply(**{**vars(said("late")), "wait": 2.0}), said("x" * 2_000_001),
    ],
    ids=["500", "429", "deep JSON", "no choice", "cut connection", "502 page", "late", "2 MB"],
)  # fmt: skip
def test_passing_faults_are_tried_again(trouble: Reply, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.replies = [trouble, trouble]
    assert model_at(stand_in, tmp_path, timeout_seconds=0.5).answer([REQUESTS[0]])[0].text == "QUESTION 0"
    assert len(stand_in.bodies) == 3


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            Reply(200, b"<!doctype html><title>Welcome</title>", {"Content-Type": "text/html"}),
            "knows no such address or model \\(a web page: Welcome\\)",
        ),
        (failed(401, f"Incorrect API key provided: {KEY}"), "refuses the key in LDYN_TEST_KEY"),
        (failed(403, "not for you"), "refuses the key in LDYN_TEST_KEY"),
        (failed(404, "The model `toy` does not exist"), "knows no such address or model"),
        (
            Reply(301, b"", {"Location": "https://elsewhere/v1"}),
            r"redirects to another address \(301: https://elsewhere/v1\)",
        ),
        (failed(418, "I am a teapot"), "418: I am a teapot"),
    ],
)
def test_faults_that_last_end_the_job_at_once(reply: Reply, words: str, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.behaviour = lambda body: reply
    with pytest.raises(ApiError, match=words) as caught:
        model_at(stand_in, tmp_path, concurrency=1).answer(REQUESTS)
    assert len(stand_in.bodies) == 1
    assert KEY not in str(caught.value)


def test_an_endpoint_that_is_down(stand_in: StandIn, tmp_path: Path) -> None:
    model = model_at(stand_in, tmp_path, retries=1)
    stand_in.close()
    with pytest.raises(ApiError, match=r"no answer in 2 tries .*Start it, or correct base_url"):
        model.answer(REQUESTS)


def test_a_refusal_of_one_request_is_an_answer_and_is_not_kept(stand_in: StandIn, tmp_path: Path) -> None:
    null = said("")
    null.body = null.body.replace(b'"content": ""', b'"content": null, "refusal": "I will not."')
    stand_in.behaviour = lambda body: {"2": failed(400, "too long"), "5": null}.get(
        body["messages"][0]["content"][-1], said("fine")
    )
    answers = model_at(stand_in, tmp_path, concurrency=1).answer(REQUESTS[:8])
    assert [(n, answer.reason) for n, answer in enumerate(answers) if answer.finish == REFUSED] == [
        (2, "400: too long"), (5, "I will not."),
    ]  # fmt: skip
    assert len(list(tmp_path.rglob("*.json"))) == 6


def test_an_endpoint_that_refuses_everything_is_not_asked_further(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.behaviour = lambda body: failed(400, "temperature is not supported")
    with pytest.raises(ApiError, match="refuses every request: 400: temperature is not supported"):
        model_at(stand_in, tmp_path, concurrency=1).answer(REQUESTS)
    assert len(stand_in.bodies) == 5


# --------------------------------------------------------------------------------------------------------------
# Keys


def test_the_key_is_nowhere_but_in_the_header(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.behaviour = lambda body: said(f"I know {body['model']}")
    model = model_at(stand_in, tmp_path)
    model.answer(REQUESTS[:2])
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert KEY.encode() not in kept
    assert KEY not in repr(model.config) + repr(vars(model)) + model.name
    stand_in.behaviour = lambda body: failed(500, f"\x1b[31mdenied for {KEY}")
    with pytest.raises(ApiError) as caught:
        model.answer([REQUESTS[5]])
    assert KEY not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "denied for [key]" in str(caught.value)


@pytest.mark.parametrize("escaped", [KEY, "".join(f"\\u{ord(letter):04x}" for letter in KEY)])
def test_an_endpoint_that_echoes_the_key(escaped: str, stand_in: StandIn, tmp_path: Path) -> None:
    echo = f'{{"choices": [{{"message": {{"content": "{escaped}"}}, "finish_reason": "{escaped}"}}]}}'
    stand_in.behaviour = lambda body: Reply(body=echo.encode())
    (answer,) = model_at(stand_in, tmp_path).answer([REQUESTS[0]])
    assert (answer.text, answer.finish) == ("[key]", "[key]")
    assert KEY.encode() not in next(tmp_path.rglob("*.json")).read_bytes()
    stand_in.behaviour = lambda body: failed(403, f"{'x' * 230} {KEY}")  # a cut at 240 characters leaves half of it
    with pytest.raises(ApiError) as caught:
        model_at(stand_in, tmp_path).answer([REQUESTS[1]])
    assert KEY[:5] not in str(caught.value)


def test_without_a_key(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LDYN_TEST_KEY")
    model_at(stand_in, tmp_path).answer([REQUESTS[0]])  # on this machine none is needed
    assert "authorization" not in stand_in.headers[0]
    with pytest.raises(ApiError, match="the environment variable LDYN_TEST_KEY is not set"):
        ApiModel(ApiConfig("toy", "https://api.example.com/v1", "LDYN_TEST_KEY"), AnswerCache(tmp_path))
    monkeypatch.setenv("LDYN_TEST_KEY", "ключ")
    with pytest.raises(ApiError, match="characters that no key has") as caught:
        model_at(stand_in, tmp_path)
    assert "ключ" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_url": "api.openai.com/v1"}, "expected an address such as"),
        ({"base_url": "https://user:secret@host/v1"}, "keys belong in the environment"),
        ({"base_url": "https://host/v1?key=secret"}, "keys belong in the environment"),
        ({"base_url": "http://host:99999/v1"}, "expected an address such as"),
        ({"base_url": f"https://{'a' * 64}.com/v1"}, "expected an address such as"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        ApiConfig("toy", **settings)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["nonsense://user:hunter2@x", "http://x:port"])
def test_a_proxy_that_cannot_be_used_is_one_error(
    proxy: str, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ApiError, match=r"The proxy cannot be used .*\. Correct or unset .*HTTPS_PROXY") as caught:
        model_at(stand_in, tmp_path)
    assert "hunter2" not in str(caught.value)


# --------------------------------------------------------------------------------------------------------------
# Being stopped

PROGRAM = """
import signal, sys
from pathlib import Path
from ldyn.answers.chats import AnswerCache
from ldyn.answers.api_model import ApiModel
from ldyn.answers.chats import ChatRequest
from ldyn.answers.settings import ApiConfig

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run where it is ignored
model = ApiModel(ApiConfig("toy", sys.argv[1], concurrency=2), AnswerCache(Path(sys.argv[2])))
model.answer([ChatRequest((("user", f"question {n}"),)) for n in range(12)])
"""


def test_a_job_that_is_stopped_continues_where_it_was(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.behaviour = lambda body: Reply(**{**vars(said("fine")), "wait": 0.05})
    line = [sys.executable, "-c", PROGRAM, stand_in.url, str(tmp_path)]
    process = subprocess.Popen(line, env=os.environ, stderr=subprocess.PIPE, text=True)
    while len(list(tmp_path.rglob("[!.]*.json"))) < 4:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0
    kept = len(list(tmp_path.rglob("[!.]*.json")))
    assert 4 <= kept < 12
    assert "requests are answered and kept" in errors
    asked = len(stand_in.bodies)
    model_at(stand_in, tmp_path, key_variable="").answer(REQUESTS)
    assert len(stand_in.bodies) - asked == 12 - kept
