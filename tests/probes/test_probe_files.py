"""Probes from files of their own, beside the training pairs of another data set (probes.path)."""

from __future__ import annotations

import json

import pytest

from ldyn.data.local_files import FilesConfig, load_files
from ldyn.errors import DataError
from ldyn.probes.builder import ProbesConfig, build_probes


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def pair(number):
    words = f"{number} of them are in the house"
    return {"prompt": f"Q{number}?", "chosen": f" Yes, {words}.", "rejected": f" No, {words}."}


@pytest.fixture
def data(tmp_path):
    write(tmp_path / "pairs.jsonl", [pair(number) for number in range(12)])
    return load_files(FilesConfig(str(tmp_path / "pairs.jsonl"), n_held_out=4), 0)


def probe_rows(data):
    """Three training questions in another order, and two unseen ones, with a rephrase that the data does not have."""
    trained = {one.example_id: one for one in data.probes["train"]}
    train = [trained[pair_id] for pair_id in sorted(trained, reverse=True)[:3]]
    made = [
        {"id": f"mine-{n}", "prompt": f"{one.prompt} ", "chosen_gptsemantic": f"Surely {n}.", **one.responses}
        for n, one in enumerate([*train, *data.probes["test"][:2]])
    ]
    return made[:3], made[3:]


def test_rows_belong_to_the_pairs_with_their_questions(data, tmp_path):
    train, test = probe_rows(data)
    write(tmp_path / "probe_train.jsonl", train)
    write(tmp_path / "probe_test.jsonl", test)
    probes = build_probes(data, ProbesConfig(path=tmp_path), 0)
    by_prompt = {one.prompt: one.pair_id for one in data.pairs}
    assert [one.example_id for one in probes.examples["train"]] == [by_prompt[row["prompt"].strip()] for row in train]
    assert [one.example_id for one in probes.examples["test"]] == ["mine-3", "mine-4"]
    assert [one.responses["chosen_gptsemantic"] for one in probes.examples["train"]] == [
        row["chosen_gptsemantic"] for row in train
    ]
    chosen = {one.chosen for one in data.pairs}
    assert all(one.responses["irr_train"] in chosen for one in probes.examples["train"])  # what lacks is made as ever
    assert probes.counts["train.examples"] == 3


def test_rows_that_some_examples_lack_are_treated_as_the_datas(data, tmp_path):
    train, _ = probe_rows(data)
    del train[1]["chosen_gptsemantic"]
    write(tmp_path / "probe_train.jsonl", train)
    with pytest.raises(DataError, match="missing from 1 of 3 rows of probe_train"):
        build_probes(data, ProbesConfig(path=tmp_path), 0)
    probes = build_probes(data, ProbesConfig(path=tmp_path, on_missing="drop"), 0)
    assert ["chosen_gptsemantic" in one.responses for one in probes.examples["train"]] == [True, False, True]
    assert probes.examples["test"] == ()


@pytest.mark.parametrize("change", [{"prompt": "Q99?"}, {"chosen": "Another answer."}, {"rejected": "Perhaps."}])
def test_rows_that_are_not_trained_on_are_refused(change, data, tmp_path):
    train, _ = probe_rows(data)
    write(tmp_path / "probe_train.jsonl", [*train[:2], {**train[2], **change}])
    with pytest.raises(DataError, match=r"1 of 3 train rows of .* \(mine-2\)"):
        build_probes(data, ProbesConfig(path=tmp_path), 0)


def test_an_unseen_question_must_be_unseen(data, tmp_path):
    train, test = probe_rows(data)
    write(tmp_path / "probe_train.jsonl", train[:2])
    write(tmp_path / "probe_test.jsonl", [*test, train[2]])
    with pytest.raises(DataError, match="is that of training pair"):
        build_probes(data, ProbesConfig(path=tmp_path), 0)
