"""The real loading code of ``datasets`` and the hub's client, against a stand-in of the hub on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from hub_stand_in import COMMIT, hub_stand_in

SMALL, LARGE = "owner/small-set", "owner/large-set"
LOADS = """
import json, sys
from dataclasses import asdict
from ldyn.data.hub import HubConfig, load_hub, pinned
from ldyn.errors import DataError

for settings in json.loads(sys.argv[1]):
    try:
        data = load_hub(config := pinned(HubConfig(**settings)), 0)
    except DataError as error:
        print(json.dumps({"error": str(error)}))
    else:
        pairs, test = [asdict(pair) for pair in data.pairs], len(data.probes["test"])
        print(json.dumps({"config": asdict(config), "version": data.version, "pairs": pairs, "test": test}))
"""


def load(home: Path, endpoint: str | None, *settings: dict) -> list[dict]:
    """What ``load_hub`` gives in a process of its own, since the hub's address is read when its client is imported."""
    environment = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "HF_ENDPOINT")}
    where = {"HF_HUB_OFFLINE": "1"} if endpoint is None else {"HF_ENDPOINT": endpoint}
    environment |= {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", **where}
    words = [sys.executable, "-c", LOADS, json.dumps(settings)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def conversation(number: int) -> dict:
    question = {"role": "user", "content": f"q {number}"}
    answers = {key: {"role": "assistant", "content": f"{key} {number}"} for key in ("chosen", "rejected")}
    return {"prompt_id": number, **{key: [question, answer] for key, answer in answers.items()}}


@pytest.fixture
def small_set(tmp_path) -> Path:
    """As many are: a Parquet file for each split, conversations."""
    directory = tmp_path / "small" / "data"
    directory.mkdir(parents=True)
    for split, numbers in (("train_prefs", range(40)), ("test_prefs", range(40, 46))):
        rows = datasets.Dataset.from_list([conversation(number) for number in numbers])
        rows.to_parquet(directory / f"{split}-00000-of-00001.parquet")
    return directory.parent


@pytest.fixture
def large_set(tmp_path) -> Path:
    """60 MB of JSON lines, with columns of other names."""
    directory = tmp_path / "large"
    directory.mkdir()
    rows = ({"question": f"q {number}", "good": "yes", "bad": "no", "filler": "x" * 50_000} for number in range(1200))
    with (directory / "train.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return directory


@pytest.mark.slow  # two processes that import datasets, and 60 MB
def test_sets_of_the_hub_by_their_names(small_set, large_set, tmp_path):
    columns = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    with hub_stand_in({SMALL: small_set, LARGE: large_set}) as hub:
        streamed, whole, large, unmapped, unknown = load(
            tmp_path / "home",
            hub.address,
            {"name": SMALL, "max_rows": 20, "n_train": 5, "selection": "first"},
            {"name": SMALL, "n_train": 30},
            {"name": LARGE, "max_rows": 10, "train_split": "train", "test_split": None, "columns": columns},
            {"name": SMALL, "max_rows": 20, "columns": {"chosen": "good"}},
            {"name": "owner/unknown"},
        )
    assert streamed["version"] == whole["version"] == f"{SMALL}@{COMMIT}"
    config = streamed["config"]
    assert (config["revision"], config["train_split"], config["test_split"]) == (COMMIT, "train_prefs", "test_prefs")
    assert [pair["prompt"] for pair in streamed["pairs"]] == [f"Human: q {number}\nAssistant:" for number in range(5)]
    assert streamed["pairs"][3]["turns"] == [["user", "q 3"]]
    assert (streamed["pairs"][3]["chosen"], streamed["pairs"][3]["rejected"]) == ("chosen 3", "rejected 3")
    assert (len(whole["pairs"]), whole["test"]) == (30, 6)

    assert (len(large["pairs"]), large["test"]) == (9, 1)
    assert 0 < hub.sent[LARGE] < (large_set / "train.jsonl").stat().st_size

    assert "found the columns prompt_id, chosen, rejected; expected prompt, chosen, rejected" in unmapped["error"]
    assert "owner/unknown" in unknown["error"]
    assert "gated set needs `hf auth login`" in unknown["error"]

    stored = {key: value for key, value in config.items() if key not in ("encoding", "source")}
    (offline,) = load(tmp_path / "home", None, stored)
    assert offline == streamed  # what a run keeps of its configuration is enough to go on without network
