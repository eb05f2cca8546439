"""`ldyn generate`: which models answer, which prompts, and what is written."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldyn.answers.settings import GenerateConfig
from ldyn.cli.hydra_jobs import composed_settings
from ldyn.config.loading import config_to_yaml, load_config
from ldyn.config.schema import RunConfig
from ldyn.data.sources import load_data
from ldyn.errors import LdynError
from ldyn.models.loading import load_base
from ldyn.models.tiny import build_tiny_model
from ldyn.run.generate import generate
from ldyn.run.stored_models import find_models
from ldyn.training.checkpoints import save_final

SMALL = [
    "+exp=smoke", "logger=none", "model.steps=2", "model.warmup_steps=1", "dataset.documents=60", "dataset.pairs=12",
    "dataset.train_probes=4", "dataset.test_probes=3", "samples.max_new_tokens=6",
]  # fmt: skip


@pytest.fixture(scope="session")
def stored_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the stages sft and dpo, of which dpo is not finished."""
    outputs = tmp_path_factory.mktemp("outputs")
    words = [*SMALL, f"paths.outputs={outputs}", f"paths.cache={outputs}/cache", "run=made"]
    config: RunConfig = load_config(composed_settings("train", words))
    return write_run(config, ["sft"])


def write_run(config: RunConfig, finished: list[str]) -> Path:
    """The directory of a run of which some stages are finished."""
    directory = config.paths.run
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(config_to_yaml(config), encoding="utf-8")
    (directory / "manifest.json").write_text(json.dumps({"schema_version": 1, "stages": []}), encoding="utf-8")
    corpus = load_data(config.dataset, config.seed).corpus
    base = load_base(config.model, corpus=corpus, seed=config.seed, cache_dir=config.paths.cache)
    for number, stage in enumerate(finished, start=1):
        model = build_tiny_model(replace(config.model), base.tokenizer, seed=number)
        save_final(model, None, base.tokenizer, directory / "checkpoints" / stage)
    return directory


def quiet(line: str) -> None:
    """No progress lines."""


def test_a_run_answers_its_own_probes(stored_run: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    rows = generate(GenerateConfig((str(stored_run),), tmp_path), lines.append)
    assert rows == [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    config = load_config(yaml.safe_load((stored_run / "config.yaml").read_text()))
    data = load_data(config.dataset, config.seed)
    asked = [(split, one.example_id, one.prompt) for split in ("train", "test") for one in data.probes[split]]
    for stage in ("base", "sft"):  # dpo is not finished
        for mode in ("greedy", "sampled"):
            own = [row for row in rows if (row["stage"], row["mode"]) == (stage, mode)]
            assert [(row["split"], row["example_id"], row["prompt"]) for row in own] == asked
    assert len(rows) == 4 * len(asked)
    assert all(row["n_tokens"] <= 6 for row in rows)
    assert all(row["is_right"] in (True, False) for row in rows)
    assert [line.rpartition(": ")[2] for line in lines] == ["14 answers"] * 2
    assert json.loads((tmp_path / "settings.json").read_text())["models"] == [str(stored_run)]
    with pytest.raises(LdynError, match="exists already; set another out, or overwrite=true"):
        generate(GenerateConfig((str(stored_run),), tmp_path), quiet)


def test_the_same_seed_gives_the_same_answers(stored_run: Path, tmp_path: Path) -> None:
    models = (f"{stored_run}:sft",)
    first, again, other = (
        generate(GenerateConfig(models, tmp_path / str(n), mode=("sampled",), seed=seed), quiet)
        for n, seed in enumerate((1, 1, 2))
    )
    assert first == again != other
    alone = generate(GenerateConfig(models, tmp_path / "g", mode=("greedy",), batch_size=1), quiet)
    assert alone == generate(GenerateConfig(models, tmp_path / "h", mode=("greedy",), batch_size=5), quiet)


def test_a_model_directory_answers_a_file(stored_run: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "mine.jsonl"
    lines = [{"id": "q1", "prompt": "Human: Where does Ada Stone live?\n\nAssistant:"}, {"id": "q2", "prompt": "  "}]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    directory = str(stored_run / "checkpoints" / "sft" / "final")
    config = GenerateConfig((directory,), tmp_path, prompts=prompts, mode=("greedy",), max_new_tokens=3)
    rows = generate(config, quiet)
    assert [(row["stage"], row["split"], row["example_id"], row["n_tokens"]) for row in rows] == [
        (directory, "mine", "q1", 3)
    ]
    assert rows[0]["is_right"] is None


def test_stages_of_two_runs_have_different_names(stored_run: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(stored_run, twin)
    found = find_models([f"{stored_run}:sft", f"{twin}:sft"])
    assert [one.stage for one in found] == [f"{stored_run}:sft", f"{twin}:sft"]
    config = (twin / "config.yaml").read_text()
    (twin / "config.yaml").write_text(config.replace("seed: 0", "seed: 1", 1))
    with pytest.raises(LdynError, match="different questions"):
        generate(GenerateConfig((f"{stored_run}:sft", f"{twin}:sft"), tmp_path / "out"), quiet)


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        ("RUN:dpo", {}, "no finished stage 'dpo'; expected one of base, sft"),
        ("./no_such_directory", {}, "is no run; set prompts=FILE"),
        ("RUN", {"split": ("valid",)}, "There is no split 'valid'; the prompts have train, test"),
        ("RUN", {"prompts": "BLANK"}, "There is no prompt to answer"),
        ("RUN", {"prompts": "nowhere"}, "no such file or directory"),
    ],
)
def test_models_and_prompts_that_are_missing(
    model: str, settings: dict[str, Any], words: str, stored_run: Path, tmp_path: Path
) -> None:
    for name, prompt in (("WHO", "Who?"), ("BLANK", " ")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"prompt": prompt}) + "\n")
    if "prompts" in settings:
        settings = {"prompts": tmp_path / f"{settings['prompts']}.jsonl"}
    with pytest.raises(LdynError, match=re.escape(words)):
        generate(GenerateConfig((model.replace("RUN", str(stored_run)),), tmp_path, **settings), quiet)
