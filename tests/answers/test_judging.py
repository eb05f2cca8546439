"""Judging two files of answers: by the facts, by an endpoint, and what is wrong with the files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from stand_in import StandIn, failed, said

from ldyn.answers.judging import judge_answers, plan_judging
from ldyn.answers.settings import ApiConfig, JudgeConfig
from ldyn.answers.win_rates import WinRates
from ldyn.cli.judge import lines as lines_of
from ldyn.errors import LdynError


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


def asking(stand_in: StandIn, tmp_path: Path) -> dict[str, Any]:
    return {"judge": "api", "api": ApiConfig("toy", stand_in.url, key_variable=""), "cache": tmp_path / "cache"}


def prefer(good: str) -> Any:
    """A judge that knows a good answer by a word."""

    def behaviour(body: dict[str, Any]) -> Any:
        message = body["messages"][0]["content"]
        first = message.index("<answer 1 ") < message.index(good) < message.index("</answer 1 ")
        return said(json.dumps({"reason": "so", "winner": "1" if first else "2"}))

    return behaviour


def judge(a: str, b: str, out: Path, **settings: Any) -> tuple[WinRates, list[str]]:
    """The win rates, and the lines that are printed."""
    lines: list[str] = []
    return judge_answers(JudgeConfig(a, b, out, **settings), lines.append), lines


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "judgements.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_facts_judge(a: str, b: str, tmp_path: Path) -> None:
    found, _ = judge(a, b, tmp_path)
    assert (found.judge, found.wins, found.losses, found.ties) == ("facts", 6, 0, 2)
    assert found.win_rate.value == pytest.approx(7 / 8)
    rows = rows_of(tmp_path)
    assert [one["outcome"] for one in rows] == ["tie", "a", "a", "a"] * 2
    assert rows[1]["said_a_first"] == "7 against 3"
    assert json.loads((tmp_path / "judge.json").read_text())["win_rate"]["value"] == found.win_rate.value
    with pytest.raises(LdynError, match="exists already; set another out, or overwrite=true"):
        judge(a, b, tmp_path)


def test_an_endpoint_judges_and_a_second_time_is_free(a: str, b: str, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.behaviour = prefer("fine")
    api = asking(stand_in, tmp_path)
    planned = "\n".join(plan_judging(JudgeConfig(a, b, tmp_path, **api)))
    assert "8 pairs of answers" in planned
    assert "16 of 16 requests are to be sent" in planned
    assert stand_in.bodies == []
    found, _ = judge(a, b, tmp_path / "one", **api)
    assert (found.wins, found.unjudged, found.orders_disagree) == (8, 0, 0)
    assert found.first_preferred.value == 0.5
    assert {body["temperature"] for body in stand_in.bodies} == {0.0}
    assert judge(a, b, tmp_path / "two", **api)[0].win_rate == found.win_rate
    assert len(stand_in.bodies) == 16
    assert "0 of 16 requests are to be sent" in plan_judging(JudgeConfig(a, b, tmp_path, **api))[1]


def test_what_cannot_be_read_is_counted(a: str, b: str, stand_in: StandIn, tmp_path: Path) -> None:
    good = prefer("fine")

    def now_and_then(body: dict[str, Any]) -> Any:
        message = body["messages"][0]["content"]
        if "Question 3" in message:
            return failed(400, "I do not talk about threes")
        return said("Both are lovely!") if "Question 5" in message else good(body)

    stand_in.behaviour = now_and_then
    found, lines = judge(a, b, tmp_path, **asking(stand_in, tmp_path))
    shown = dict(lines_of(found))
    assert shown["verdicts"] == "6 for a, 0 for b, 0 ties, 2 unread"
    assert shown["with the unread"] == "a wins 0.750 to 1.000, whoever won those"
    assert lines[0].startswith("Asked: 16 requests")
    rows = rows_of(tmp_path)
    assert [one["outcome"] for one in rows] == ["a", "a", "a", None, "a", None, "a", "a"]
    assert rows[3]["said_a_first"] == "400: I do not talk about threes"
    assert rows[5]["said_b_first"] == "Both are lovely!"


def test_samples_of_runs_and_stages(tmp_path: Path) -> None:
    stages = [row(n, f"{stage} {n}", stage, is_right=stage == "dpo") for stage in ("sft", "dpo") for n in range(4)]
    sampled = [{**one, "mode": "sampled", "text": f"{one['text']} {k}"} for one in stages for k in range(2)]
    write(tmp_path, "run", stages + sampled)
    sides = f"{tmp_path / 'run'}:dpo", f"{tmp_path / 'run'}:sft"
    found, _ = judge(*sides, tmp_path / "greedy")
    assert (found.mode, found.n_comparisons, found.wins) == ("greedy", 4, 4)
    found, _ = judge(*sides, tmp_path / "sampled", mode="sampled")
    assert (found.n_comparisons, found.n_questions, found.win_rate.n) == (8, 4, 4)
    assert judge(*sides, tmp_path / "few", examples=3)[0].n_comparisons == 3


@pytest.mark.parametrize(
    ("name", "rows", "settings", "words"),
    [
        ("nowhere", None, {}, "There are no answers at"),
        ("two", [row(0, "x", "sft"), row(0, "x", "dpo")], {}, "has answers of sft, dpo; add one of them"),
        ("one", [row(0, "x")], {"mode": "sampled"}, "has no sampled answers; it has greedy"),
        ("other", [row(99, "x")], {}, "answer no question in common"),
        ("same_id", [row(0, "x", prompt="Another question?")], {}, "'q0' is one question in"),
        ("no_text", [{**row(0, "x"), "text": None}], {}, "row 1: no text in 'text'"),
        ("unchecked", [row(0, "x", is_right=None)], {}, "were not checked"),
        ("one", [row(0, "x")], {"split": ("valid",)}, "No question of the splits valid"),
        ("one", [row(0, "x")], {"judge": "reward_model:./nowhere"}, "The reward model ./nowhere cannot be loaded"),
    ],
)
def test_files_that_cannot_be_compared(
    name: str, rows: Any, settings: dict[str, Any], words: str, a: str, tmp_path: Path
) -> None:
    if rows is not None:
        write(tmp_path, name.partition(":")[0], rows)
    with pytest.raises(LdynError, match=re.escape(words)):
        judge(str(tmp_path / name), a, tmp_path / "out", **settings)


def test_lines_that_are_no_json(a: str, tmp_path: Path) -> None:
    broken = Path(write(tmp_path, "broken", [row(0, "x")]))
    broken.write_text(broken.read_text() + "{")
    with pytest.raises(LdynError, match=r"not valid JSON: 1 of 2 rows \(row 2"):
        judge(a, str(broken), tmp_path / "out")
