"""`ldyn generate`: who answers, what is asked, and what is written down."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldyn.cli.main import main
from ldyn.config.loading import load_config
from ldyn.data.sources import load_data
from ldyn.errors import LdynError
from ldyn.run.generate import Request, generate
from ldyn.run.stored_models import find_models


def rows_of(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def quiet(line: str) -> None:
    """No progress lines."""


def test_a_run_answers_its_own_probes(stored_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", str(stored_run), "--out", str(tmp_path), "--json"]) == 0
    rows = rows_of(tmp_path)
    config = load_config(yaml.safe_load((stored_run / "config.yaml").read_text()))
    data = load_data(config.dataset, config.seed)
    asked = [(split, one.example_id, one.prompt) for split in ("train", "test") for one in data.probes[split]]
    for stage in ("base", "sft"):  # dpo is not finished
        for mode in ("greedy", "sampled"):
            own = [row for row in rows if (row["stage"], row["mode"]) == (stage, mode)]
            assert [(row["split"], row["example_id"], row["prompt"]) for row in own] == asked
    assert len(rows) == 4 * len(asked)
    assert all(row["n_tokens"] <= 6 for row in rows)
    assert all(row["is_right"] in (True, False) and row["likeness_other"] is not None for row in rows)
    means = json.loads(capsys.readouterr().out)
    assert [(one["stage"], one["split"], one["mode"], one["n"]) for one in means][:2] == [
        ("base", "train", "greedy", 4), ("base", "test", "greedy", 3),
    ]  # fmt: skip
    assert json.loads((tmp_path / "settings.json").read_text())["who"] == [str(stored_run)]


def test_the_same_seed_gives_the_same_answers(stored_run: Path, tmp_path: Path) -> None:
    who = (f"{stored_run}:sft",)
    first, again, other = (
        generate(Request(who, tmp_path / str(n), modes=("sampled",), seed=seed), quiet)
        for n, seed in enumerate((1, 1, 2))
    )
    assert first == again != other
    alone = generate(Request(who, tmp_path / "g", modes=("greedy",), batch_size=1), quiet)
    assert alone == generate(Request(who, tmp_path / "h", modes=("greedy",), batch_size=5), quiet)


def test_a_model_directory_answers_a_file(stored_run: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "mine.jsonl"
    lines = [{"id": "q1", "prompt": "Human: Where does Ada Stone live?\n\nAssistant:"}, {"id": "q2", "prompt": "  "}]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    directory = str(stored_run / "checkpoints" / "sft" / "final")
    rows = generate(Request((directory,), tmp_path, prompts=prompts, modes=("greedy",), max_new_tokens=3), quiet)
    assert [(row["stage"], row["split"], row["example_id"], row["n_tokens"]) for row in rows] == [
        (directory, "mine", "q1", 3)
    ]
    assert (rows[0]["is_right"], rows[0]["likeness_other"]) == (None, None)
    trained = tmp_path / "pairs.jsonl"
    trained.write_text(json.dumps({"prompt": "?", "chosen": rows[0]["text"]}) + "\n")
    rows = generate(
        Request((directory,), tmp_path, prompts=prompts, training=trained, modes=("greedy",), max_new_tokens=3), quiet
    )
    assert rows[0]["likeness_other"] == 1


def test_a_stop_text_ends_answers(stored_run: Path, tmp_path: Path) -> None:
    request = Request((f"{stored_run}:sft",), tmp_path, modes=("greedy",), splits=("test",), examples=2)
    whole = generate(request, quiet)
    stop = whole[0]["text"].split()[1]
    cut = generate(Request(**{**vars(request), "stop": (stop,)}), quiet)
    assert len(whole) == len(cut) == 2
    assert not any(stop in row["text"] for row in cut)
    assert cut[0]["stopped"]


def test_stages_of_two_runs_are_told_apart(stored_run: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(stored_run, twin)
    found = find_models([f"{stored_run}:sft", f"{twin}:sft"])
    assert [one.stage for one in found] == [f"{stored_run}:sft", f"{twin}:sft"]
    config = (twin / "config.yaml").read_text()
    (twin / "config.yaml").write_text(config.replace("seed: 0", "seed: 1", 1))
    with pytest.raises(LdynError, match="other questions"):
        generate(Request((f"{stored_run}:sft", f"{twin}:sft"), tmp_path / "out"), quiet)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["RUN:dpo"], "no finished stage 'dpo'; expected one of base, sft"),
        (["RUN:stf"], "did you mean sft?"),
        (["./no_such_directory", "--prompts", "PROMPTS"], "There is no directory no_such_directory"),
        (["./no_such_directory"], "expected --prompts FILE"),
        (["RUN", "--split", "valid"], "There is no split 'valid'; the prompts have train, test"),
        (["RUN", "--prompts", "BLANK"], "There is no prompt to answer"),
        (["RUN", "--prompts", "nowhere.jsonl"], "no such file or directory: nowhere.jsonl"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(
    words: list[str], said: str, stored_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, prompt in (("PROMPTS", "Who?"), ("BLANK", " ")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"prompt": prompt}) + "\n")
    files = {name: str(tmp_path / f"{name}.jsonl") for name in ("PROMPTS", "BLANK")}
    places = {"RUN": str(stored_run), **files}
    line = [places.get(word, word.replace("RUN", str(stored_run))) for word in words]
    assert main(["generate", *line, "--out", str(tmp_path / "out")]) in (1, 2)
    said_instead = capsys.readouterr().err
    assert said in said_instead
    assert "Traceback" not in said_instead


def test_samples_are_not_overwritten(stored_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "samples.jsonl").write_text("mine")
    assert main(["generate", str(stored_run), "--out", str(tmp_path)]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "samples.jsonl").read_text() == "mine"
