"""Quality checks of probe sets: each fault put into a clean set and found; the faults of the paper's own files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ldyn.cli.main import main
from ldyn.errors import DataError
from ldyn.probe_sets.quality import QualityReport, check_probe_set, leftover_markup
from ldyn.records import ProbeExample

HOSTILE = "\x1b[31m<script>alert(1)</script>\u202e[bold]x[/bold]"
Rows = list[dict[str, str]]


def clean_rows(split: str, n: int = 4) -> Rows:
    """Rows in which nothing is wrong. irr_train is the next row's chosen answer."""

    def chosen(number: int) -> str:
        return f" The {split} answer number {number % n} is that seven green herons wade in quiet water."

    return [
        {
            "prompt": f"\n\nHuman: What about {split} {number}?\n\nAssistant:",
            "chosen": chosen(number),
            "chosen_gptsemantic": f" Seven herons, all green, stand in still water, says {split} {number}, truly.",
            "rejected": f" No idea what {split} {number} should mean to me.",
            "irr_train": chosen(number + 1),
            "irr_test": f" An unseen reply of {split} {number}.",
            "random_permute": " " + " ".join(reversed(chosen(number).split())),
        }
        for number in range(n)
    ]


def write(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def found(report: QualityReport) -> set[tuple[str, str, str, int]]:
    return {(one.check, one.split, one.probe, one.count) for one in report.findings}


CHOSEN = [row["chosen"] for row in clean_rows("mine")]
CUT = " Seven herons, all green, stand in still water, says mine one, tru"


@pytest.mark.parametrize(
    ("probe", "text", "check"),
    [
        ("chosen_gptsemantic", " Rephrased: seven herons, all green, stand in still water here.", "leftover markup"),
        ("chosen_gptsemantic", " word" * 6 + ".", "length ratio"),  # 14 words in chosen
        ("chosen_gptsemantic", " word" * 29 + ".", "length ratio"),
        ("chosen_gptsemantic", CUT, "unfinished"),
        ("chosen_gptsemantic", CHOSEN[0], "identical responses"),
        ("irr_test", CHOSEN[2], "unseen answer is trained on"),
        ("irr_test", CHOSEN[2] + " So much for herons.", "unseen answer is trained on"),
    ],
)
def test_each_fault_is_found_and_nothing_else(probe: str, text: str, check: str, tmp_path: Path) -> None:
    rows = clean_rows("mine")
    clean = check_probe_set(write(tmp_path / "clean.jsonl", rows))
    assert (found(clean), clean.summary[:6]) == (set(), "passed")
    rows[0][probe] = text
    report = check_probe_set(write(tmp_path / "mine.jsonl", rows))
    assert found(report) == {(check, "mine", probe, 1)}
    assert report.summary.startswith(f"not passed: {check}")


def test_test_rows_are_compared_with_all_that_is_trained_on(tmp_path: Path) -> None:
    train, test = clean_rows("train"), clean_rows("test")
    test[1]["rejected"] = train[1]["rejected"].strip()
    for row in test:
        row["irr_train"] = train[0]["chosen"]
    write(tmp_path / "probe_train.jsonl", train)
    alone = write(tmp_path / "probe_test.jsonl", test)
    assert found(check_probe_set(tmp_path)) == {("unseen answer is trained on", "test", "rejected", 1)}
    assert check_probe_set(alone).training_rows == 0
    report = check_probe_set(alone, [ProbeExample("p", "?", {"chosen": test[2]["irr_test"]})])
    assert (report.training_rows, found(report)) == (1, {("unseen answer is trained on", "test", "irr_test", 1)})


@pytest.mark.parametrize(
    ("text", "has_markup"),
    [
        ("A plain sentence, with (some) “quotes” - and a dash -- or two...", False),
        ("1 < 2 and 3 > 2", False),
        ("@@@@ Original: x\n@@@ Rephrase: y", True),
        ("Yes.\n\nHuman: and then?", True),
        ("Certainly! Here is a random sentence with 61 words: x", True),
        ("First:\n- one\n2) two", True),
        ("Bye</s>", True),
        ("It **must** be", True),
        ("Dear [your name],", True),
        ("“All of it.”", True),
    ],
)
def test_markup(text: str, has_markup: bool) -> None:
    assert (leftover_markup(text, "A plain source.") is not None) == has_markup
    assert leftover_markup(text, text) is None  # what the source has is not left over


def test_the_papers_own_files(shared_directory: Path) -> None:
    """PAPER's list of mistakes: self-rephrases with markup, by every kind of it 451 of 500."""
    report = check_probe_set(shared_directory / "data" / "hh_helpful")
    counts = {(one.split, one.check, one.probe): one.count for one in report.findings}
    assert report.rows == {"train": 500, "test": 500}
    assert counts["train", "leftover markup", "chosen_selfr"] == 451
    assert "not passed" in report.summary


def test_the_command_line_and_hostile_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**row, "chosen_gptsemantic": HOSTILE, "id": f"{HOSTILE}{n}"} for n, row in enumerate(clean_rows("mine"))]
    file = write(tmp_path / "mine.jsonl", rows)
    assert main(["probes", f"check={file}"]) == 1
    captured = capsys.readouterr()
    assert "leftover markup" in captured.out
    assert "not passed" in captured.err
    assert "\x1b" not in captured.out
    assert "\u202e" not in captured.out
    assert main(["probes", f"check={tmp_path / 'nothing.jsonl'}"]) == 1
    assert "no such file or directory" in capsys.readouterr().err
    with pytest.raises(DataError, match="has no response"):
        check_probe_set(write(tmp_path / "mine.jsonl", [{"prompt": "?"}]))


def test_it_needs_no_torch(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.jsonl", clean_rows("mine"))
    code = (
        f"import sys; from ldyn.cli.main import main; code = main(['probes', 'check={file}']); "
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules); sys.exit(code)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
