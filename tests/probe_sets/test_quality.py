"""Quality checks of probe sets: each fault put into a clean set and found; the faults of the paper's own files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldyn.cli.main import main
from ldyn.errors import DataError
from ldyn.models.tokenizers import build_tokenizer
from ldyn.probe_sets.markup import leftover_markup
from ldyn.probe_sets.quality import QualityReport, check_probe_set, findings_tables
from ldyn.report.probe_quality import write_quality_report

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


def found(report: QualityReport) -> set[tuple[str, str, str, str, int]]:
    return {(one.check, one.split, one.probe, one.what, one.count) for one in report.findings}


def changed(row: int, **texts: str) -> Callable[[Rows], None]:
    return lambda rows: rows[row].update(texts)


CHOSEN_0 = clean_rows("mine")[0]["chosen"]
FAULTS: list[tuple[Callable[[Rows], None], set[tuple[str, str, str, int]]]] = [
    (
        changed(1, chosen_gptsemantic="Seven herons, all green, stand in still water, says mine one, truly."),
        {("leading space", "chosen_gptsemantic", "no leading space, which chosen has", 1)},
    ),
    (changed(2, chosen_gptsemantic=" \n"), {("missing response", "chosen_gptsemantic", "blank", 1)}),
    (lambda rows: rows[3].pop("irr_test"), {("missing response", "irr_test", "missing", 1)}),
    (
        changed(0, chosen_gptsemantic=" Rephrased: seven herons, all green, stand in still water here."),
        {
            ("leftover markup", "chosen_gptsemantic", "any markup", 1),
            ("leftover markup", "chosen_gptsemantic", "a label (“Rephrased:”)", 1),
        },
    ),
    (  # 14 words in chosen: 6 and 29 lie outside 0.5 to 2 times that, 7 does not
        lambda rows: [rows[n].update(chosen_gptsemantic=" word" * words + ".") for n, words in enumerate((6, 29, 7))],
        {
            ("length ratio", "chosen_gptsemantic", "fewer than 0.5 words a word of chosen", 1),
            ("length ratio", "chosen_gptsemantic", "more than 2 words a word of chosen", 1),
        },
    ),
    (
        changed(1, chosen_gptsemantic=" Seven herons, all green, stand in still water, says mine one, tru"),
        {("unfinished", "chosen_gptsemantic", "ends within a sentence", 1)},
    ),
    (
        changed(0, chosen_gptsemantic=CHOSEN_0),
        {("identical responses", "chosen_gptsemantic", "the same text as chosen", 1)},
    ),
    (
        changed(0, irr_test=clean_rows("mine")[2]["chosen"]),
        {("unseen text is trained on", "irr_test", "a training answer", 1)},
    ),
    (
        changed(0, irr_test=clean_rows("mine")[2]["chosen"] + " So much for herons."),
        {("unseen answer overlaps", "irr_test", "13 words in a row of the training text", 1)},
    ),
    (
        changed(0, irr_train=" This is the answer to no question at all."),
        {("irr_train is no training answer", "irr_train", "not a chosen answer of the training rows", 1)},
    ),
    (
        changed(0, irr_train=CHOSEN_0),
        {
            ("irr_train is no training answer", "irr_train", "the chosen answer to its own question", 1),
            ("identical responses", "irr_train", "the same text as chosen", 1),
            ("repeated response", "irr_train", "as in an earlier row", 1),  # row 3 has it too
        },
    ),
]


def test_a_clean_set_passes(tmp_path: Path) -> None:
    report = check_probe_set(write(tmp_path / "mine.jsonl", clean_rows("mine")))
    assert found(report) == set()
    assert report.summary.startswith("passed")


@pytest.mark.parametrize(("spoil", "expected"), FAULTS, ids=[min(e)[0] for _, e in FAULTS])
def test_each_fault_is_found_and_nothing_else(
    spoil: Callable[[Rows], Any], expected: set[tuple[str, str, str, int]], tmp_path: Path
) -> None:
    rows = clean_rows("mine")
    spoil(rows)
    report = check_probe_set(write(tmp_path / "mine.jsonl", rows))
    assert found(report) == {(name, "mine", *rest) for name, *rest in expected}


def test_test_rows_are_held_against_the_training_rows(tmp_path: Path) -> None:
    train, test = clean_rows("train"), clean_rows("test")
    test[0]["prompt"] = train[1]["prompt"]
    test[1]["rejected"] = train[1]["rejected"].strip()
    for row in test:
        row["irr_train"] = train[0]["chosen"]
    write(tmp_path / "probe_train.jsonl", train)
    write(tmp_path / "probe_test.jsonl", test)
    faults = {one for one in found(check_probe_set(tmp_path)) if "trained on" in one[0]}
    assert faults == {
        ("unseen text is trained on", "test", "prompt", "a training question", 1),
        ("unseen text is trained on", "test", "rejected", "a training answer", 1),
    }


def test_further_training_rows_count(tmp_path: Path) -> None:
    alone = write(tmp_path / "probe_test.jsonl", clean_rows("test"))
    assert check_probe_set(alone).training_rows == 0
    trained = write(tmp_path / "pairs.jsonl", [{"prompt": "?", "chosen": clean_rows("test")[2]["irr_test"]}])
    report = check_probe_set(alone, training=trained)
    assert report.training_rows == 1
    assert ("unseen text is trained on", "test", "irr_test", "a training answer", 1) in found(report)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("A plain sentence, with (some) “quotes” - and a dash -- or two...", set()),
        ("@@@@ Original: x\n@@@ Rephrase: y", {"the marker @@@", "a label (“Rephrased:”)"}),
        ("Yes.\n\nHuman: and then?", {"another turn (“Human:”, “A:”)"}),
        ("Certainly! Here is a random sentence with 61 words: x", {"an announcement (“Here is …”)"}),
        ("First:\n- one\n2) two", {"a list"}),
        ("<b>x</b>", {"an HTML tag"}),
        ("1 < 2 and 3 > 2", set()),
        ("Bye</s>", {"a control token as text"}),
        ("It **must** be", {"Markdown"}),
        ("Dear [your name],", {"a slot to fill in (“[name]”)"}),
        ("“All of it.”", {"quotes or brackets around all of it"}),
    ],
)
def test_kinds_of_markup(text: str, kinds: set[str]) -> None:
    assert {kind for kind, _ in leftover_markup(text, "A plain source.")} == kinds
    assert list(leftover_markup(text, text)) == []  # what the source has is not left over


def test_a_tokenizer_counts_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = clean_rows("mine")
    build_tokenizer("word", [text for row in rows for text in row.values()], 500).save_pretrained(tmp_path / "words")
    (tmp_path / "words" / "config.json").write_text('{"model_type": "gpt_neox"}')
    (tmp_path / "words" / "model.safetensors").write_bytes(b"")
    file = write(tmp_path / "mine.jsonl", rows)
    words = [f"check={file}", f"tokenizer={tmp_path / 'words'}", "max_response_tokens=10"]
    assert main(["probes", *words, "--json", f"out={tmp_path / 'out'}"]) == 0
    found = json.loads(capsys.readouterr().out)
    cut = {one["probe"]: one["count"] for one in found["findings"] if one["check"] == "truncation"}
    assert cut == {"chosen": 4, "chosen_gptsemantic": 4, "rejected": 4, "irr_train": 4, "random_permute": 4}


def test_the_papers_own_files(shared_directory: Path) -> None:
    """PAPER's list of mistakes: 376 of 500 self-rephrases with markup, GPT rephrases without the leading space."""
    report = check_probe_set(shared_directory / "data" / "hh_helpful")
    counts = {(one.split, one.check, one.probe, one.what): one.count for one in report.findings}
    assert report.rows == {"train": 500, "test": 500}
    assert counts["train", "leftover markup", "chosen_selfr", "the marker @@@"] == 376
    for split in ("train", "test"):
        for side in ("chosen", "reject"):
            source = "chosen" if side == "chosen" else "rejected"
            for kind in ("semantic", "format"):
                what = f"no leading space, which {source} has"
                assert counts[split, "leading space", f"{side}_gpt{kind}", what] == 500
    # By every kind of markup together it is more; and the "human sentences" often announce themselves.
    assert counts["train", "leftover markup", "chosen_selfr", "any markup"] == 452
    assert counts["train", "leftover markup", "irr_hum", "an announcement (“Here is …”)"] == 180
    assert (
        counts["test", "irr_train is no training answer", "irr_train", "not a chosen answer of the training rows"]
        == 492
    )
    assert "not passed" in report.summary


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    rows = [{**row, "chosen_gptsemantic": HOSTILE, "id": f"{HOSTILE}{n}"} for n, row in enumerate(clean_rows("mine"))]
    report = check_probe_set(write(tmp_path / "mine.jsonl", rows))
    page = write_quality_report(report.as_object(), tmp_path / "out").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page

    from rich.console import Console

    console = Console(width=200, force_terminal=True, color_system=None)
    with console.capture() as capture:
        for part in findings_tables(report):
            console.print(part)
    assert "\x1b[31m" not in capture.get()
    assert "\u202e" not in capture.get()
    assert "[bold]" in capture.get()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = clean_rows("mine")
    for row in rows:
        row["chosen_gptsemantic"] = row["chosen"]
    file = write(tmp_path / "mine.jsonl", rows)
    out = tmp_path / "out"
    assert main(["probes", f"check={file}", f"out={out}"]) == 0
    captured = capsys.readouterr()
    assert "identical responses" in captured.out
    assert "not passed" in captured.err
    assert {path.name for path in out.iterdir()} == {"report.html", "quality.json"}
    assert main(["probes", f"check={file}", f"out={out}", "strict=true", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == json.loads((out / "quality.json").read_text())
    assert main(["probes", f"check={tmp_path / 'nothing.jsonl'}"]) == 1
    assert "no such file or directory" in capsys.readouterr().err


def test_rows_without_a_response_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no response"):
        check_probe_set(write(tmp_path / "mine.jsonl", [{"prompt": "?"}]))


def test_it_needs_no_torch(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.jsonl", clean_rows("mine"))
    code = (
        "import sys; from ldyn.cli.main import main; "
        f"code = main(['probes', 'check={file}', 'out={tmp_path / 'out'}']); "
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules); sys.exit(code)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
