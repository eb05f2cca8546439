"""`ldyn score` from the command line, on models and files small enough for a test, and offline."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPTNeoXForCausalLM, PreTrainedTokenizerFast

from ldyn.cli.main import main
from ldyn.models.settings import TinyConfig
from ldyn.models.tiny import build_tiny_model
from ldyn.models.tokenizers import build_tokenizer
from ldyn.records import TRAJECTORY_COLUMNS
from ldyn.report.score_page import FATES, changes_between, summary
from ldyn.store.schema import read_trajectory_file

ROWS = [
    {"prompt": f"Human: What does Ada {verb}?\n\nAssistant:", "chosen": f" Ada does {verb} tea.", "rejected": "Who?"}
    for verb in ("like", "drink", "sell")
]


@pytest.fixture
def probes(tmp_path: Path) -> Path:
    path = tmp_path / "probe_mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer("word", [f"{row['prompt']} {row['chosen']} {row['rejected']}" for row in ROWS], 200)


@pytest.fixture
def models(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Two directories as a run's checkpoints/<stage>/final."""
    config = TinyConfig(hidden_size=16, layers=1, heads=2, max_positions=48, sequence_length=16)
    for number in (0, 1):
        build_tiny_model(config, tokenizer, number).save_pretrained(tmp_path / f"model{number}")
        tokenizer.save_pretrained(tmp_path / f"model{number}")
    return [str(tmp_path / "model0"), str(tmp_path / "model1")]


def plain_logp(directory: str, tokenizer: PreTrainedTokenizerFast, row: dict[str, str], side: str) -> float:
    """In float64, by one forward pass over prompt and response."""
    prompt = tokenizer(row["prompt"])["input_ids"]
    response = [*tokenizer(" " + row[side].strip())["input_ids"], tokenizer.eos_token_id]
    model = GPTNeoXForCausalLM.from_pretrained(directory).double()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
    return sum(float(one[token]) for one, token in zip(logits.log_softmax(-1), response, strict=True))


def test_one_model_gives_the_trajectory_table_and_the_margins(
    models: list[str], probes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tokenizer
) -> None:
    out = tmp_path / "out"
    assert main(["score", models[0], str(probes), f"out={out}", "device=cpu", "max_prompt_tokens=30"]) == 0
    rows = read_trajectory_file(out / "scores.parquet").to_pandas()
    assert tuple(rows.columns) == TRAJECTORY_COLUMNS
    assert (set(rows["stage"]), set(rows["step"]), set(rows["split"])) == ({models[0]}, {0}, {"mine"})
    assert list(rows["probe"]) == ["chosen", "rejected"] * 3
    expected = [plain_logp(models[0], tokenizer, row, side) for row in ROWS for side in ("chosen", "rejected")]
    assert list(rows["logp"]) == pytest.approx(expected, abs=1e-4)
    examples = pd.read_csv(out / "examples.csv")
    assert list(examples["margin"]) == pytest.approx(
        [chosen - rejected for chosen, rejected in zip(expected[::2], expected[1::2], strict=True)], abs=1e-4
    )
    assert f"{rows[rows['probe'] == 'chosen']['logp'].mean():.3f}" in capsys.readouterr().out
    [origin] = json.loads((out / "settings.json").read_text())["scored"]
    assert (origin["model"], origin["encoding"]["max_prompt_tokens"]) == (models[0], 30)
    assert origin["encoding"]["max_tokens"] == 48  # the model's context
    assert not (out / "score.html").exists()
    assert main(["score", models[0], str(probes), f"out={out}"]) == 1
    assert "exists already" in capsys.readouterr().err


def test_two_models_show_what_happened_to_every_example(
    models: list[str], probes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["score", *models, str(probes), f"out={out}"]) == 0
    printed = capsys.readouterr().out
    changes = pd.read_csv(out / "changes.csv")
    rows = read_trajectory_file(out / "scores.parquet").to_pandas().set_index(["stage", "example_id", "probe"])["logp"]
    for one in changes.to_dict("records"):
        chosen, rejected = (
            rows[models[1], one["example_id"], side] - rows[models[0], one["example_id"], side]
            for side in ("chosen", "rejected")
        )
        assert one["chosen_change"] == pytest.approx(chosen)
        assert one["margin_change"] == pytest.approx(chosen - rejected)
        fate = f"chosen {'fell' if chosen < 0 else 'rose'}, rejected {'fell' if rejected < 0 else 'rose'}"
        assert one["fate"] == {"chosen fell, rejected fell": FATES[1], "chosen rose, rejected rose": FATES[2]}.get(
            fate, fate
        )
    assert len(changes) == 3
    page = (out / "score.html").read_text()
    assert all(row["chosen"].strip() in page for row in ROWS)
    assert changes["fate"][0] in page
    assert changes["fate"][0] in printed


def test_an_adapter_is_merged_into_its_base(models: list[str], probes: Path, tmp_path: Path) -> None:
    adapted = get_peft_model(GPTNeoXForCausalLM.from_pretrained(models[0]), LoraConfig(r=2, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.1)
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    for file in Path(models[0]).glob("tok*"):
        (tmp_path / "merged" / file.name).write_bytes(file.read_bytes())
    names = [str(tmp_path / name) for name in ("adapter", "merged")]
    assert main(["score", models[0], *names, str(probes), f"out={tmp_path / 'out'}"]) == 0
    rows = read_trajectory_file(tmp_path / "out" / "scores.parquet").to_pandas().groupby("stage", observed=True)["logp"]
    base, adapter, merged = (rows.get_group(name).to_numpy() for name in (models[0], *names))
    assert adapter == pytest.approx(merged, abs=1e-5)
    assert abs(adapter - base).max() > 1e-3


def test_what_is_cut_empty_or_not_finite_is_counted(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], tokenizer: PreTrainedTokenizerFast
) -> None:
    model = GPTNeoXForCausalLM.from_pretrained(models[0])
    with torch.no_grad():
        model.gpt_neox.embed_in.weight[tokenizer.convert_tokens_to_ids(" Who")] = torch.nan
    model.save_pretrained(models[0])
    table = pd.DataFrame([*ROWS, {**ROWS[0], "prompt": "Human: Hi?\n\nAssistant:", "chosen": ""}])
    table.to_csv(tmp_path / "mine.csv", index=False)
    out = tmp_path / "out"
    assert main(["score", models[0], str(tmp_path / "mine.csv"), f"out={out}", "max_prompt_tokens=8"]) == 0
    rows = read_trajectory_file(out / "scores.parquet").to_pandas()
    assert list(rows["logp"].isna()) == list(rows["probe"] == "rejected")
    said = capsys.readouterr().err
    assert "3 prompts cut to the limit" in said
    assert "1 empty responses skipped" in said
    assert "4 responses without numbers" in said
    assert "(first: rejected of mine" in said


def test_summary_by_hand() -> None:
    logps = {"a": [(-1.0, -5.0), (-2.0, -2.0), (-3.0, -1.0)], "b": [(-2.0, -9.0), (-3.0, -1.0), (-2.0, -0.5)]}
    rows = pd.DataFrame(
        {"stage": stage, "split": "s", "example_id": f"q{n}", "probe": probe, "logp": logp}
        for stage, examples in logps.items()
        for n, pair in enumerate(examples)
        for probe, logp in zip(("chosen", "rejected"), pair, strict=True)
    )
    changes = changes_between(rows, "a", "b")
    assert list(changes["fate"]) == ["both fell", "chosen fell, rejected rose", "both rose"]
    assert list(changes["margin_change"]) == [3, -2, 0.5]
    assert [(one["fate"], one["n"], one["chosen_change"]) for one in summary(changes)] == [
        ("chosen fell, rejected rose", 1, -1), ("both fell", 1, -1), ("both rose", 1, 1),
    ]  # fmt: skip


def test_what_cannot_be_scored_is_reported(
    models: list[str], probes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"prompt": "Human: Hello?"}\n')
    for words, said in (
        ([str(tmp_path / "absent"), str(probes)], "There is no directory"),
        ([models[0], str(tmp_path / "absent.jsonl")], "no such file or directory"),
        ([models[0], str(bare)], "has no response to score; expected rows with a prompt and some of the keys chosen"),
        ([models[0], str(probes), "max_tokens=8", "max_prompt_tokens=8"], "leaves no room for a response"),
        ([models[0]], "probes: found nothing, expected a value"),
        ([models[0], str(probes), "out=x.parquet"], "expected a directory"),
        ([f"model={models[0]}", str(probes)], "model: unknown key; did you mean models?"),
    ):
        assert main(["score", f"out={tmp_path / 'out'}", *words]) in (1, 2)
        assert said in capsys.readouterr().err
