"""A run on a user's CSV: what it says of its data, and that it is not resumed with other data."""

import csv
import json
from dataclasses import replace

import pytest

from ldyn.errors import RunDirectoryError
from ldyn.run.run import run

HOSTILE = "<script>alert(1)</script> \x1b[31mred</s>"


@pytest.fixture
def write(tmp_path):
    """Writes rows as a spreadsheet would, the first with text that should do nothing but be seen."""

    def rows(first: str):
        path = tmp_path / "mine.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerow(["question", "good", "bad"])
            texts = ((f"What, or\nwho, is {number}?", f"It is {number}.", f"No {number * 7}") for number in range(40))
            writer.writerows([(f"{first} {HOSTILE}", f"Yes; {HOSTILE}", f'"No" {HOSTILE}'), *texts])
        return path

    return rows


def test_a_run_of_a_csv_and_its_resumption(write, smoke, monkeypatch):
    path = write("Why?")
    of_files = [
        "dataset=files",
        f"dataset.path={path}",
        "dataset.columns={prompt: question, chosen: good, rejected: bad}",
    ]
    model = ["model=tiny_smoke", "model.tokenizer=bpe", "model.vocab_size=400", "model.max_positions=512"]
    config = smoke("csv", *of_files, *model, "probes.families=[chosen, rejected]", "report=true")
    with monkeypatch.context() as stopping:
        stopping.setattr("ldyn.run.run.run_stage", _stop)
        with pytest.raises(KeyboardInterrupt):
            run(config)

    write("Why not?")
    resumed = replace(config, resume=config.paths.run.with_name("csv.partial"))
    with pytest.raises(RunDirectoryError, match="are not those that this run began with"):
        run(resumed)

    write("Why?")
    directory = run(resumed)
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["hashes"]["data_version"].startswith("mine.csv sha256:")
    assert (manifest["counts"]["train.rows_read"], manifest["counts"]["test.held_out"]) == (41, 4)
    page = (directory / "report.html").read_text()
    assert "<script>alert(1)" not in page
    assert "\x1b" not in page


def _stop(*_):
    raise KeyboardInterrupt
