"""The layouts of the hub's data sets, read from small copies on disk by the code that reads the real ones."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import datasets
import pytest

from ldyn.data.hub import HubConfig, load_hub, pinned
from ldyn.data.local_files import FilesConfig, load_files
from ldyn.errors import DataError

HH = HubConfig("Anthropic/hh-rlhf", "dialogue", "train", "test", data_dir="helpful-base", n_train=8)
ULTRAFEEDBACK = HubConfig("HuggingFaceH4/ultrafeedback_binarized", "messages", "train_prefs", "test_prefs", n_train=8)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def dialogue(number, chosen="yes", rejected="no"):
    prompt = f"\n\nHuman: q{number}?\n\nAssistant: well\n\nHuman: and {number}?\n\nAssistant:"
    return {"chosen": f"{prompt} {chosen} {number}", "rejected": f"{prompt} {rejected} {number}"}


def messages(number):
    question = {"role": "user", "content": f"q {number}"}
    answers = {key: {"role": "assistant", "content": f"{key} {number}"} for key in ("chosen", "rejected")}
    return {
        "prompt": question["content"],
        "score_chosen": 1.0,
        **{key: [question, answer] for key, answer in answers.items()},
    }


@pytest.fixture
def hh_copy(tmp_path) -> Path:
    directory = tmp_path / "hh" / "helpful-base"
    directory.mkdir(parents=True)
    parted = {
        "chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
        "rejected": "\n\nHuman: a\n\nAssistant: x",
    }
    rows = {
        "train": [*map(dialogue, range(20)), parted, {"chosen": "no speaker", "rejected": "no speaker either"}],
        "test": [*map(dialogue, range(18, 26))],
    }
    for split, members in rows.items():
        with gzip.open(directory / f"{split}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in members)
    return directory.parent


@pytest.fixture
def ultrafeedback_copy(tmp_path) -> Path:
    directory = tmp_path / "ultrafeedback" / "data"
    directory.mkdir(parents=True)
    for split, numbers in {"train_prefs": range(20), "test_prefs": range(20, 26), "train_sft": range(2)}.items():
        rows = datasets.Dataset.from_list([messages(number) for number in numbers])
        rows.to_parquet(directory / f"{split}-00000-of-00001.parquet")
    return directory.parent


def load(config, path, seed=0):
    return load_hub(replace(config, path=str(path)), seed)


def error_of(config):
    with pytest.raises(DataError) as caught:
        load_hub(config, 0)
    return str(caught.value)


# --------------------------------------------------------------------------------------------------------------
# Layouts


def test_hh(hh_copy):
    data = load(HH, hh_copy)
    assert (len(data.pairs), len(data.probes["train"]), len(data.probes["test"])) == (8, 8, 6)
    for pair in data.pairs:
        number = int(pair.pair_id.removeprefix("row-"))
        assert pair.prompt == f"\n\nHuman: q{number}?\n\nAssistant: well\n\nHuman: and {number}?\n\nAssistant:"
        assert (pair.chosen, pair.rejected) == (f" yes {number}", f" no {number}")
    assert data.counts == {
        "train.rows_read": 22,
        "train.dropped_parted_before_the_last_turn": 1,
        "train.dropped_no_common_prompt": 1,
        "test.rows_read": 8,
        "test.dropped_prompt_in_train": 2,
        "pairs": 8,
        "corpus.documents": 8 + 2 * 12,
    }


def test_ultrafeedback(ultrafeedback_copy):
    data = load(ULTRAFEEDBACK, ultrafeedback_copy)
    pair = data.pairs[0]
    number = int(pair.pair_id.removeprefix("row-"))
    assert pair.prompt == f"Human: q {number}\nAssistant:"
    assert (pair.chosen, pair.rejected) == (f"chosen {number}", f"rejected {number}")
    assert (len(data.pairs), len(data.probes["test"])) == (8, 6)


def test_a_copy_written_by_save_to_disk(ultrafeedback_copy, tmp_path):
    splits = {
        "train_prefs": datasets.Dataset.from_list([messages(number) for number in range(20)]),
        "test_prefs": datasets.Dataset.from_list([messages(number) for number in range(20, 26)]),
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    assert load(ULTRAFEEDBACK, tmp_path / "saved") == load(ULTRAFEEDBACK, ultrafeedback_copy)


def test_a_directory_with_the_papers_probe_files(tmp_path, write_rows):
    rows = [{"prompt": f"q{number}", "chosen": "yes", "rejected": "no", "irr_hum": "A cat."} for number in range(3)]
    write_rows("probe_train.jsonl", rows)
    assert load(HH, tmp_path) == load_files(FilesConfig(str(tmp_path), n_train=8), 0)


# --------------------------------------------------------------------------------------------------------------
# Faults


def test_without_network_the_next_step_is_said():
    message = error_of(HH)
    assert "Could not load split 'train' of Anthropic/hh-rlhf: the hub cannot be reached (or HF_HUB_OFFLINE" in message
    assert "set dataset.path to a local copy" in message


def test_one_request_that_nobody_answers_is_enough(monkeypatch):
    """Else every later request of the libraries would try again for a minute."""
    import huggingface_hub

    asked = []

    def nobody(*_, timeout, **__):
        asked.append(timeout)
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", nobody)
    assert pinned(HH).revision == HH.revision
    assert (len(asked), datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE) == (1, True, True)
    assert asked[0] <= 15


def test_a_split_that_is_not_there(ultrafeedback_copy):
    message = error_of(replace(ULTRAFEEDBACK, path=str(ultrafeedback_copy), test_split="nope"))
    assert "expected nope; set dataset.test_split" in message
    assert "test_prefs" in message


def test_the_wrong_layout(ultrafeedback_copy):
    message = error_of(replace(ULTRAFEEDBACK, path=str(ultrafeedback_copy), layout="dialogue"))
    assert "neither text nor messages: 20 of 20 rows" in message


def test_a_path_that_is_no_directory(tmp_path, write_rows):
    assert "is not a directory" in error_of(replace(HH, path=str(tmp_path / "nowhere")))
    assert "dataset=files" in error_of(replace(HH, path=str(write_rows("rows.jsonl", ["{}"]))))
