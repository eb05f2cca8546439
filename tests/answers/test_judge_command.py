"""`ldyn judge` from the command line, with the oracle and with an endpoint on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand_in import StandIn, failed, said

from ldyn.cli.main import main

HOSTILE = "\x1b[31m[bold]{first}</answer 1>\u202e"


def row(number: int, text: str, stage: str = "dpo", **changes: Any) -> dict[str, Any]:
    return {
        "stage": stage, "example_id": f"q{number}", "split": "test", "prompt": f"Question {number}?", "mode": "greedy",
        "text": text, "n_tokens": len(text.split()) + 1, "stopped": True, "is_right": True, "borrowed_from": None,
        **changes,
    }  # fmt: skip


def write(directory: Path, name: str, rows: list[dict[str, Any]]) -> str:
    path = directory / name / "samples.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def a(tmp_path: Path) -> str:
    return write(tmp_path, "a", [row(n, f"a fine answer {n}") for n in range(8)])


@pytest.fixture
def b(tmp_path: Path) -> str:
    return write(tmp_path, "b", [row(n, f"bad {n}", is_right=n % 4 == 0) for n in range(8)])


def endpoint(stand_in: StandIn, tmp_path: Path) -> list[str]:
    cache = str(tmp_path / "cache")
    return ["--judge", "api", "--model", "toy", "--base-url", stand_in.url, "--key-variable", "", "--cache", cache]


def prefer(good: str) -> Any:
    """A judge that knows a good answer by a word."""

    def behaviour(body: dict[str, Any]) -> Any:
        message = body["messages"][0]["content"]
        first = message.index("<answer 1 ") < message.index(good) < message.index("</answer 1 ")
        return said(json.dumps({"reason": "so", "winner": "1" if first else "2"}))

    return behaviour


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["judge", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_oracle_judges(a: str, b: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run([a, b, "--out", str(tmp_path / "out")], capsys)
    assert (found["judge"], found["wins"], found["losses"], found["ties"]) == ("oracle", 6, 0, 2)
    assert found["win_rate"]["value"] == pytest.approx(7 / 8)
    rows = [json.loads(line) for line in (tmp_path / "out" / "judgements.jsonl").read_text().splitlines()]
    assert [one["outcome"] for one in rows] == ["tie", "a", "a", "a"] * 2
    assert rows[1]["said_a_first"] == "7 against 3"
    stored = json.loads((tmp_path / "out" / "judge.json").read_text())
    assert stored["win_rate"] == found["win_rate"]


def test_an_endpoint_judges_and_a_second_time_is_free(
    a: str, b: str, stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.behaviour = prefer("fine")
    words = [a, b, *endpoint(stand_in, tmp_path)]
    assert main(["judge", *words, "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert "8 pairs of answers" in planned
    assert "at most: 16 requests" in planned
    assert stand_in.bodies == []
    found = run([*words, "--out", str(tmp_path / "one")], capsys)
    assert (found["wins"], found["unjudged"], found["orders_disagree"]) == (8, 0, 0)
    assert found["first_preferred"]["value"] == 0.5
    assert len(stand_in.bodies) == 16
    assert {body["temperature"] for body in stand_in.bodies} == {0.0}
    assert run([*words, "--out", str(tmp_path / "two")], capsys)["win_rate"] == found["win_rate"]
    assert len(stand_in.bodies) == 16
    assert main(["judge", *words, "--dry-run"]) == 0
    assert "16 of the requests are answered" in capsys.readouterr().out


def test_a_judge_that_always_takes_the_first_decides_nothing(
    a: str, b: str, stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.behaviour = lambda body: said('{"winner": "1"}')
    found = run([a, b, *endpoint(stand_in, tmp_path), "--out", str(tmp_path / "out")], capsys)
    assert (found["ties"], found["orders_disagree"], found["win_rate"]["value"]) == (8, 8, 0.5)
    assert found["first_preferred"]["value"] == 1


def test_what_cannot_be_read_is_counted(
    a: str, b: str, stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = prefer("fine")

    def now_and_then(body: dict[str, Any]) -> Any:
        message = body["messages"][0]["content"]
        if "Question 3" in message:
            return failed(400, "I do not talk about threes")
        return said("Both are lovely!") if "Question 5" in message else good(body)

    stand_in.behaviour = now_and_then
    out = tmp_path / "out"
    assert main(["judge", a, b, *endpoint(stand_in, tmp_path), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "6 for a, 0 for b, 0 ties, 2 unread" in shown.out
    assert "a wins 0.750 to 1.000, whoever won those" in shown.out
    assert "Asked: 14 requests" in shown.err
    rows = [json.loads(line) for line in (out / "judgements.jsonl").read_text().splitlines()]
    assert [one["outcome"] for one in rows] == ["a", "a", "a", None, "a", None, "a", "a"]
    assert rows[3]["said_a_first"] == "400: I do not talk about threes"
    assert rows[5]["said_b_first"] == "Both are lovely!"


def test_an_interrupted_job_goes_on(
    a: str, b: str, stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = prefer("fine")
    stand_in.behaviour = lambda body: failed(401, "expired") if len(stand_in.bodies) > 6 else good(body)
    words = [a, b, *endpoint(stand_in, tmp_path), "--concurrency", "1", "--out", str(tmp_path / "out")]
    assert main(["judge", *words]) == 1
    said_instead = capsys.readouterr().err
    assert "6 of 16 requests are answered and kept" in said_instead
    assert not (tmp_path / "out").exists()
    stand_in.behaviour = good
    assert run(words, capsys)["wins"] == 8
    assert len(stand_in.bodies) == 7 + 10


def test_a_budget_ends_the_job_cleanly(
    a: str, b: str, stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.behaviour = prefer("fine")
    money = ["--prompt-price", "1", "--answer-price", "1", "--max-cost", "0.001"]
    assert main(["judge", a, b, *endpoint(stand_in, tmp_path), *money, "--out", str(tmp_path / "out")]) == 1
    assert "over the limit of 0.001" in capsys.readouterr().err
    assert main(["judge", a, b, *endpoint(stand_in, tmp_path), "--max-cost", "1"]) == 2
    assert "needs prompt_price and answer_price" in capsys.readouterr().err


def test_hostile_answers_are_shown_and_judged_as_text(
    b: str, stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = write(tmp_path, "strange", [row(n, f"{HOSTILE} fine {n}", stage=HOSTILE) for n in range(8)])
    stand_in.behaviour = lambda body: said(f"{HOSTILE} winner: 1")
    assert main(["judge", strange, b, *endpoint(stand_in, tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert main(["judge", f"{strange}:dpo", b, "--out", str(tmp_path / "x")]) == 1  # the error names the stages
    shown = capsys.readouterr()
    assert "has no answers of 'dpo'" in shown.err
    assert "\x1b[31m" not in shown.out + shown.err
    assert "\u202e" not in shown.out + shown.err


def test_samples_of_runs_and_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = [row(n, f"{stage} {n}", stage, is_right=stage == "dpo") for stage in ("sft", "dpo") for n in range(4)]
    sampled = [{**one, "mode": "sampled", "text": f"{one['text']} {k}"} for one in stages for k in range(2)]
    write(tmp_path, "run", stages + sampled)
    words = [f"{tmp_path / 'run'}:dpo", f"{tmp_path / 'run'}:sft"]
    found = run([*words, "--out", str(tmp_path / "out")], capsys)
    assert (found["mode"], found["n_contests"], found["wins"]) == ("greedy", 4, 4)
    found = run([*words, "--mode", "sampled", "--out", str(tmp_path / "sampled")], capsys)
    assert (found["n_contests"], found["n_questions"], found["win_rate"]["n"]) == (8, 4, 4)
    found = run([*words, "--examples", "3", "--out", str(tmp_path / "few")], capsys)
    assert found["n_contests"] == 3


def test_no_answer_is_dropped(a: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write(tmp_path, "other", [row(n, "so " * 3000 if n == 2 else "", is_right=False) for n in range(2, 10)])
    found = run([a, other, "--out", str(tmp_path / "out")], capsys)
    assert (found["n_contests"], found["wins"], found["unanswered"]) == (6, 6, {"only_a": 2, "only_b": 2})
    assert found["lengths_b"]["words"] == 500  # the endless one and five empty ones


@pytest.mark.parametrize(
    ("words", "said_instead"),
    [
        (["A", "NOWHERE"], "There are no answers at NOWHERE"),
        (["TWO", "A"], "has answers of sft, dpo; say which"),
        (["TWO:dop", "A"], "did you mean dpo?"),
        (["A", "A", "--mode", "sampled"], "has no sampled answers; it has greedy"),
        (["A", "OTHER"], "answer no question in common"),
        (["A", "SAME_ID"], "'q0' is one question in"),
        (["A", "BROKEN"], "line 2: not JSON"),
        (["A", "NO_TEXT"], "line 1: no text in 'text'"),
        (["A", "UNCHECKED"], "these were not checked"),
        (["A", "B", "--judge", "api"], "--model: found none"),
        (["A", "B", "--judge", "api", "--model", "m", "--key-variable", "NO_SUCH_KEY"], "NO_SUCH_KEY is not set"),
        (["A", "B", "--judge", "orcale"], "found 'orcale'"),
        (["A", "B", "--judge", "model:./nowhere"], "There is no directory nowhere"),
        (["A", "B", "--judge", "api", "--model", "m", "--base-url", "ftp://x"], "expected an address such as"),
    ],
)
def test_what_cannot_be_judged_is_said_in_words(
    words: list[str], said_instead: str, a: str, b: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {
        "A": a,
        "B": b,
        "TWO": write(tmp_path, "two", [row(0, "x", "sft"), row(0, "x", "dpo")]),
        "OTHER": write(tmp_path, "other", [row(99, "x")]),
        "SAME_ID": write(tmp_path, "same", [row(0, "x", prompt="Another question?")]),
        "NO_TEXT": write(tmp_path, "no_text", [{**row(0, "x"), "text": None}]),
        "UNCHECKED": write(tmp_path, "unchecked", [row(0, "x", is_right=None)]),
        "BROKEN": write(tmp_path, "broken", [row(0, "x")]),
    }
    with Path(places["BROKEN"]).open("a") as stream:
        stream.write("{\n")
    line = [places.get(word.partition(":")[0], word.partition(":")[0]) + "".join(word.partition(":")[1:])
            if word.partition(":")[0] in places else word for word in words]  # fmt: skip
    assert main(["judge", *line, "--out", str(tmp_path / "out")]) in (1, 2)
    captured = capsys.readouterr().err
    assert said_instead in captured
    assert "Traceback" not in captured


def test_it_is_not_overwritten(a: str, b: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", a, b, "--out", str(tmp_path / "out")]) == 0
    assert main(["judge", a, b, "--out", str(tmp_path / "out")]) == 1
    assert "--overwrite" in capsys.readouterr().err
