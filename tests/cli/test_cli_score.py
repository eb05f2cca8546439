"""`ldyn score` from the command line, on models and files small enough for a test, and offline."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from transformers import GPTNeoXForCausalLM, PreTrainedTokenizerFast

from ldyn.cli.main import main
from ldyn.models.settings import TinyConfig
from ldyn.models.tiny import build_tiny_model
from ldyn.models.tokenizers import build_tokenizer
from ldyn.records import TRAJECTORY_COLUMNS
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
def checkpoint(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """A directory as a run's checkpoints/<stage>/final."""
    config = TinyConfig(hidden_size=16, layers=1, heads=2, max_positions=48, sequence_length=16)
    build_tiny_model(config, tokenizer, 0).save_pretrained(tmp_path / "final")
    tokenizer.save_pretrained(tmp_path / "final")
    return tmp_path / "final"


class TestScore:
    def test_a_checkpoint_gives_the_trajectory_table(
        self, checkpoint: Path, probes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "scores" / "mine.parquet"
        assert main(["score", str(checkpoint), str(probes), f"out={out}", "device=cpu"]) == 0
        rows = read_trajectory_file(out).to_pandas()
        assert tuple(rows.columns) == TRAJECTORY_COLUMNS
        assert set(rows["stage"]) == {"score"}
        assert set(rows["step"]) == {0}
        assert set(rows["split"]) == {"mine"}
        assert list(rows["probe"]) == ["chosen", "rejected"] * 3
        captured = capsys.readouterr()
        mean = rows[rows["probe"] == "chosen"]["logp"].mean()
        line = next(line for line in captured.out.splitlines() if "chosen" in line)
        assert f"{mean:.3f}" in line.split()
        assert str(out) in captured.err

    def test_the_numbers_are_those_of_a_plain_forward_pass(
        self, checkpoint: Path, probes: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        out = tmp_path / "mine.parquet"
        main(["score", str(checkpoint), str(probes), f"out={out}", "device=cpu"])
        first = read_trajectory_file(out).to_pandas().iloc[0]
        prompt = tokenizer(ROWS[0]["prompt"])["input_ids"]
        response = [*tokenizer(ROWS[0]["chosen"])["input_ids"], tokenizer.eos_token_id]
        model = GPTNeoXForCausalLM.from_pretrained(checkpoint).double()
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        expected = sum(float(row[token]) for row, token in zip(logits.log_softmax(-1), response, strict=True))
        assert first["logp"] == pytest.approx(expected, abs=1e-4)
        assert first["n_tokens"] == len(response)

    def test_where_the_numbers_come_from_is_in_the_file(self, checkpoint: Path, probes: Path, tmp_path: Path) -> None:
        out = tmp_path / "mine.parquet"
        main(["score", str(checkpoint), str(probes), f"out={out}", "max_prompt_tokens=10"])
        origin = json.loads(pq.read_schema(out).metadata[b"ldyn.score"])
        assert origin["model"] == str(checkpoint)
        assert origin["encoding"]["max_prompt_tokens"] == 10
        assert origin["encoding"]["max_tokens"] == 48  # the model's context
        assert len(origin["fingerprint"]) == 64

    def test_a_directory_of_probe_files_and_a_default_place(
        self,
        checkpoint: Path,
        probes: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for split in ("train", "test"):
            (tmp_path / f"probe_{split}.jsonl").write_bytes(probes.read_bytes())
        monkeypatch.chdir(tmp_path)
        assert main(["score", str(checkpoint), str(tmp_path)]) == 0
        [written] = (tmp_path / "outputs" / "score").iterdir()
        assert set(read_trajectory_file(written).to_pandas()["split"]) == {"train", "test"}
        shown = capsys.readouterr().out
        assert " train " in shown
        assert " test " in shown

    def test_a_response_without_finite_logits_is_named_and_has_no_numbers(
        self, checkpoint: Path, probes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tokenizer
    ) -> None:
        model = GPTNeoXForCausalLM.from_pretrained(checkpoint)
        with torch.no_grad():
            model.gpt_neox.embed_in.weight[tokenizer.convert_tokens_to_ids(" Who")] = torch.nan
        model.save_pretrained(checkpoint)
        out = tmp_path / "mine.parquet"
        assert main(["score", str(checkpoint), str(probes), f"out={out}"]) == 0
        rows = read_trajectory_file(out).to_pandas()
        assert list(rows["logp"].isna()) == list(rows["probe"] == "rejected") == [False, True] * 3
        said = capsys.readouterr().err
        assert "3 responses without numbers, as a logit is not finite (first: rejected of mine row-0001" in said

    def test_a_file_that_is_there_is_kept(
        self, checkpoint: Path, probes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "mine.parquet"
        out.write_text("precious")
        assert main(["score", str(checkpoint), str(probes), f"out={out}"]) == 1
        assert "exists already" in capsys.readouterr().err
        assert out.read_text() == "precious"
        assert main(["score", str(checkpoint), str(probes), f"out={out}", "overwrite=true"]) == 0
        assert len(read_trajectory_file(out)) == 6

    def test_what_cannot_be_scored_is_said_in_words(
        self, checkpoint: Path, probes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bare = tmp_path / "bare.jsonl"
        bare.write_text('{"prompt": "Human: Hello?"}\n')
        for model, file, said in (
            (tmp_path / "absent", probes, "There is no directory"),
            (checkpoint, tmp_path / "absent.jsonl", "no such file or directory"),
            (checkpoint, bare, "has no response to score; expected rows with a prompt and some of the keys chosen"),
        ):
            assert main(["score", str(model), str(file), f"out={tmp_path / 'x.parquet'}"]) == 1
            assert said in capsys.readouterr().err
        limits = ["max_tokens=8", "max_prompt_tokens=8"]
        assert main(["score", str(checkpoint), str(probes), *limits, f"out={tmp_path / 'x.parquet'}"]) == 1
        assert "leaves no room for a response" in capsys.readouterr().err
