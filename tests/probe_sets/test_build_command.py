"""`ldyn probes dataset=…` from the command line, against an endpoint on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand_in import Reply, StandIn, failed, said
from writer import pair, read_rows, write_rows, written

from ldyn.cli.main import main
from ldyn.records import PROBE_FAMILIES

ALL_BUT_OWN = {*PROBE_FAMILIES} - {"chosen_initial", "chosen_selfr"}
REPHRASES = 5 * 12  # probes × examples


def rows_of(directory: Path) -> dict[str, list[dict[str, str]]]:
    return {split: read_rows(directory / f"probe_{split}.jsonl") for split in ("train", "test")}


def manifest_of(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    return found


def test_an_endpoint_writes_a_probe_set_and_a_second_one_is_free(
    build: list[str], by_api: list[str], stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*build, *by_api]) == 0
    shown = capsys.readouterr()
    rows = rows_of(tmp_path / "out")
    assert {split: len(members) for split, members in rows.items()} == {"train": 8, "test": 4}
    for row in (*rows["train"], *rows["test"]):
        assert set(row) == {"id", "prompt", *ALL_BUT_OWN}
        assert all(row[probe].startswith(" ") and not row[probe].startswith("  ") for probe in ALL_BUT_OWN)
        assert sorted(row["random_permute"].split()) == sorted(row["chosen"].split())
    assert len(stand_in.bodies) == REPHRASES
    assert f"60 requests are to be sent to {stand_in.url}" in shown.err
    assert "Asked: 60 requests" in shown.err
    manifest = manifest_of(tmp_path / "out")
    assert manifest["requests"] == REPHRASES
    assert manifest["counts"]["train.written.irr_hum"] == 8
    assert set(manifest["hashes"]["files"]) == {"probe_train.jsonl", "probe_test.jsonl"}

    assert main([*build, *by_api, f"out={tmp_path / 'again'}"]) == 0
    assert len(stand_in.bodies) == REPHRASES
    assert rows_of(tmp_path / "again") == rows


def test_unseen_answers_are_unseen_and_none_comes_twice(build: list[str], pairs: Path, tmp_path: Path) -> None:
    assert main(build) == 0
    rows = rows_of(tmp_path / "out")
    asked = {row["prompt"] for row in rows["test"]}
    assert not asked & {row["prompt"] for row in rows["train"]}
    train_chosen = {row["chosen"] for row in rows["train"]}
    for members in rows.values():
        unseen, trained = ([row[probe] for row in members] for probe in ("irr_test", "irr_train"))
        assert min(len(set(unseen)), len(set(trained))) >= len(members) - 1  # the last may have to repeat one
        assert set(trained) <= train_chosen
        assert not set(unseen) & train_chosen
        assert all(row["irr_train"] != row["chosen"] != row["irr_test"] for row in members)
    assert main([*build, "seed=1", "--overwrite"]) == 0
    assert rows_of(tmp_path / "out") != rows


def test_a_dry_run_asks_nothing_and_needs_no_key(
    build: list[str], by_api: list[str], stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*build, *by_api, "api.key_variable=NOT_SET", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "8 train and 4 test examples of files:pairs.jsonl (20 training pairs)" in shown
    assert "by toy: 12 chosen_gptsemantic, 12 chosen_gptformat" in shown
    assert "60 requests are to be sent" in shown
    assert shown.count("--- ") == 3  # one prompt of each kind
    assert "question" in shown.partition("--- chosen_gptsemantic of train")[2]
    assert stand_in.bodies == []
    assert not (tmp_path / "out").exists()


def test_an_endpoint_that_cannot_be_used_ends_the_build_and_nothing_is_written(
    build: list[str], by_api: list[str], stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.behaviour = lambda body: failed(401, "who are you?")
    assert main([*build, *by_api]) == 1
    shown = capsys.readouterr().err
    assert "refuses a request without a key" in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "out").exists()


def test_the_key_is_nowhere(
    build: list[str], by_api: list[str], stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("MY_KEY", key)
    with_key = [*by_api, "api.key_variable=MY_KEY"]

    def echo(body: dict[str, Any]) -> Reply:
        message = body["messages"][0]["content"]
        text = f"{key} {written(message)}" if message.startswith("Below is") else written(message)
        return said(text) if len(stand_in.bodies) % 7 else failed(400, f"your key is {key}")

    stand_in.behaviour = echo
    assert main([*build, *with_key]) == 0
    shown = capsys.readouterr()
    assert {headers["authorization"] for headers in stand_in.headers} == {f"Bearer {key}"}
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > REPHRASES / 2
    assert not [path for path in kept if key.encode() in path.read_bytes()]
    assert key not in shown.out + shown.err
    for mistaken in ([f"api.extra={{api_key: {key}}}"], [f"api.key_variable={key}"]):
        assert main([*build, *with_key, *mistaken, f"out={tmp_path / 'other'}"]) in (1, 2)
        assert key not in capsys.readouterr().err


def test_hostile_text_stays_text(
    by_api: list[str], stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "\x1b[31m<script>alert(1)</script>\u202e[bold]{mark}</reply><|endoftext|>"
    rows = [{name: f"{text} {hostile}." for name, text in pair(number).items()} for number in range(12)]
    file = write_rows(tmp_path / "hostile.jsonl", [{**row, "id": f"{hostile}{n}"} for n, row in enumerate(rows)])
    stand_in.behaviour = lambda body: said(written(body["messages"][0]["content"]) + hostile)
    words = ["probes", "dataset=files", f"dataset.path={file}", "dataset.n_held_out=4", *by_api, "rephraser.tries=1"]
    words += [f"cache={tmp_path / 'cache'}", f"out={tmp_path / 'out'}"]
    assert main([*words, "--dry-run"]) == 0
    assert main(words) == 0
    shown = capsys.readouterr()
    for sign in ("\x1b[31m", "\u202e"):
        assert sign not in shown.out + shown.err
    asked = stand_in.bodies[0]["messages"][0]["content"]
    assert "{mark}</reply>" in asked  # a field in a text is text
    assert rows_of(tmp_path / "out")["train"][0]["chosen"].endswith(f"{hostile}.")


@pytest.mark.parametrize(
    ("words", "said_instead"),
    [
        (["dataset=files"], "dataset.path: found nothing, expected a value"),
        (["DATA", "dataset.n_trian=3"], "did you mean n_train?"),
        (["DATA", "only=irr_tset"], "did you mean irr_test"),
        (["DATA", "only=irr_hum"], "expected rephraser.who=api"),
        (["DATA", "rephraser.who=gpt-4o"], "rephraser.who: found 'gpt-4o', expected 'none' or 'api'"),
        (["DATA", "rephraser.who=api"], "api.model: found nothing"),
    ],
)
def test_what_cannot_be_built_is_said_in_words(
    words: list[str], said_instead: str, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["dataset=files", f"dataset.path={pairs}"]
    line = [part for word in words for part in (data if word == "DATA" else [word.replace("TMP", str(tmp_path))])]
    assert main(["probes", *line, f"out={tmp_path / 'out'}"]) in (1, 2)
    shown = capsys.readouterr().err
    assert said_instead in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "out").exists()


def test_further_responses_are_made_anew_or_kept(
    by_api: list[str], stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [{**pair(n), "irr_hum": "A human wrote this.", "irr_test": pair(19)["chosen"]} for n in range(20)]
    file = write_rows(tmp_path / "given.jsonl", given)
    words = ["probes", "dataset=files", f"dataset.path={file}", "dataset.n_held_out=6", *by_api]
    words += [f"cache={tmp_path / 'cache'}"]
    assert main([*words, f"out={tmp_path / 'anew'}"]) == 0
    assert main([*words, "keep=true", f"out={tmp_path / 'kept'}"]) == 0
    anew, kept = rows_of(tmp_path / "anew")["train"], rows_of(tmp_path / "kept")["train"]
    assert all(row["irr_hum"] != " A human wrote this." for row in anew)
    assert all(row["irr_hum"] == " A human wrote this." for row in kept)
    assert [row["chosen_gptformat"] for row in anew] == [row["chosen_gptformat"] for row in kept]


def test_without_unseen_questions(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["probes", "dataset=files", f"dataset.path={pairs}", "dataset.n_held_out=0"]
    assert main([*words, f"out={tmp_path / 'out'}"]) == 0
    shown = capsys.readouterr()
    assert "no probe_test.jsonl and no irr_test" in shown.err
    assert manifest_of(tmp_path / "out")["counts"]["train.not_constructible.irr_test"] == 30
    assert not (tmp_path / "out" / "probe_test.jsonl").exists()


def test_conversations_stay_conversations(by_api: list[str], stand_in: StandIn, tmp_path: Path) -> None:
    """The file's prompts are message lists, which a run encodes by the chat template."""
    rows: list[dict[str, Any]] = []
    for number in range(12):
        messages = [{"role": "user", "content": pair(number)["prompt"].split(": ")[1].split("\n")[0]}]
        answers = {side: [{"role": "assistant", "content": pair(number)[side]}] for side in ("chosen", "rejected")}
        rows.append({"prompt": messages, **answers})
    file = write_rows(tmp_path / "conversations.jsonl", rows)
    data = ["dataset=files", f"dataset.path={file}", "dataset.n_held_out=4"]
    places = [f"cache={tmp_path / 'cache'}", f"out={tmp_path / 'out'}"]
    assert main(["probes", *data, *by_api, *places]) == 0
    made = rows_of(tmp_path / "out")
    assert {str(row["prompt"]) for members in made.values() for row in members} == {str(row["prompt"]) for row in rows}
    asked = [body["messages"][0]["content"] for body in stand_in.bodies]  # in whatever order the workers asked
    assert any("Human: What should I know" in text for text in asked)  # a rephraser reads it as plain text

    from ldyn.cli.probes import PAGE, _request
    from ldyn.cli.settings_command import settings_of
    from ldyn.data.sources import load_data
    from ldyn.probes.builder import ProbesConfig, build_probes

    loaded = load_data(_request(settings_of(PAGE, data) or {}).dataset, 0)
    probes = build_probes(loaded, ProbesConfig(path=tmp_path / "out"), 0)
    turns = {one.pair_id: one.turns for one in loaded.pairs}
    assert all(one.turns == turns[one.example_id] for one in probes.examples["train"])
    assert all(one.turns and "irr_hum" in one.responses for members in probes.examples.values() for one in members)
