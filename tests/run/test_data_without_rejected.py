"""Data that a run cannot use stop it before any weight is made or loaded."""

import json

import pytest

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.config.loading import load_config
from ldyn.errors import DataError
from ldyn.run.run import run


@pytest.mark.parametrize(
    ("extra", "message", "words"),
    [
        ({}, "without rejected: found the columns prompt, chosen; expected prompt, chosen, rejected", []),
        ({"rejected": " "}, r"no training pair is left .*dropped_empty_rejected: 5", []),
        ({"rejected": "No."}, "'irr_hum' is in no training row", ["probes.families=[chosen,irr_hum]"]),
    ],
)
def test_unusable_data_are_refused_before_a_base_is_made(extra, message, words, tmp_path):
    rows = [{"prompt": f"What is {n}?", "chosen": f"It is {n}.", **extra} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    places = [f"dataset.path={tmp_path}/rows.jsonl", f"paths.outputs={tmp_path}", f"paths.cache={tmp_path}/cache"]
    config = load_config(
        composed_settings("train", ["+exp=hh_tiny", "algorithm=simpo", "logger=wandb", *places, *words])
    )
    with pytest.raises(DataError, match=message) as refused:
        run(config)
    assert not getattr(refused.value, "__notes__", [])  # nothing to resume
    assert not (tmp_path / "cache").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"rows.jsonl"}  # no run directory, no record of a tracker
