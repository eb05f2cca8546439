"""Pretrained models from a directory, untrained architectures, and what is said when neither can be had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, GPTNeoXForCausalLM

from ldyn.errors import ModelError
from ldyn.models.loading import load_base
from ldyn.models.pretrained import ensure_padding, pinned_model
from ldyn.models.settings import PretrainedConfig, TinyConfig
from ldyn.models.tiny import build_tiny_model
from ldyn.models.tokenizers import build_tokenizer

TINY_NEOX = {
    "model_type": "gpt_neox",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 600,
}
YAML_DIR = Path(__file__).resolve().parents[2] / "configs" / "model"


def load(config: PretrainedConfig, corpus=(), seed=0):
    return load_base(config, corpus=corpus, seed=seed, cache_dir=Path("unused"))


@pytest.fixture
def saved(tmp_path, corpus) -> Path:
    tokenizer = build_tokenizer("word", corpus, 2000)
    model = build_tiny_model(TinyConfig(hidden_size=16, layers=1, heads=2), tokenizer, 0)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_saved_directory_is_loaded_as_it_was(saved):
    base = load(PretrainedConfig(str(saved)))
    expected = GPTNeoXForCausalLM.from_pretrained(saved)
    assert torch.equal(base.model.lm_head.weight, expected.lm_head.weight)
    assert (base.model.dtype, base.model.training, base.from_cache) == (torch.float32, False, False)
    assert len(base.fingerprint) == 64
    assert load(PretrainedConfig(str(saved), dtype="bfloat16")).model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("missing", r"lack .*input_layernorm.bias.*would be random"),
        ("other shape", "do not fit its config.json"),
        ("cut short", "are damaged"),
    ],
)
def test_weights_that_are_damaged_or_incomplete_are_refused(harm, words, saved):
    file = saved / "model.safetensors"
    weights = load_file(file)
    if harm == "missing":
        del weights["gpt_neox.layers.0.input_layernorm.bias"]
    elif harm == "other shape":
        weights["gpt_neox.layers.0.input_layernorm.bias"] = torch.zeros(3)
    save_file(weights, file, metadata={"format": "pt"})
    if harm == "cut short":
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=words):
        load(PretrainedConfig(str(saved)))


def test_no_such_directory(tmp_path):
    with pytest.raises(ModelError, match="There is no directory"):
        load(PretrainedConfig(str(tmp_path / "absent")))


def test_a_directory_with_pickled_weights_only(saved):
    (saved / "model.safetensors").unlink()
    torch.save({}, saved / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pickled weights \(pytorch_model.bin\)"):
        load(PretrainedConfig(str(saved)))


def test_an_unknown_name_without_network():
    with pytest.raises(ModelError, match=r"nobody/no-such-model .* cannot be loaded.*model=tiny"):
        load(PretrainedConfig("nobody/no-such-model"))


def test_tokenizer_and_model_that_do_not_belong_together(saved, corpus):
    build_tokenizer("bpe", corpus, 1000).save_pretrained(saved)
    with pytest.raises(ModelError, match="do not belong together"):
        load(PretrainedConfig(str(saved)))


def test_a_revision_of_the_hub_is_pinned_to_its_commit(saved, monkeypatch):
    commit = "c" * 40
    hub = PretrainedConfig("somebody/some-model")
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *_, **options: SimpleNamespace(_commit_hash=commit))
    assert pinned_model(hub) == replace(hub, revision=commit)
    assert pinned_model(PretrainedConfig(str(saved))).revision == "main"  # a directory has no revisions
    assert pinned_model(TinyConfig()) == TinyConfig()


class TestRandomInit:
    def config(self, **changes) -> PretrainedConfig:
        settings = {"random_init": True, "architecture": TINY_NEOX, "tokenizer": "bpe"}
        return PretrainedConfig("nobody/no-such-model", **{**settings, **changes})

    def test_needs_no_download_and_follows_the_seed_alone(self, corpus):
        torch.manual_seed(1)
        one = load(self.config(), corpus)
        torch.manual_seed(2)
        same, other = load(self.config(), corpus), load(self.config(), corpus, seed=1)
        assert one.model.config.hidden_size == 16
        assert one.fingerprint == same.fingerprint != other.fingerprint
        assert len(one.tokenizer) <= 600

    def test_architecture_without_type(self):
        with pytest.raises(ValueError, match="has no model_type"):
            self.config(architecture={"hidden_size": 16})

    def test_unknown_type(self, corpus):
        with pytest.raises(ModelError, match=r"No model can be built from model.architecture .*perceptron"):
            load(self.config(architecture={"model_type": "perceptron"}), corpus)

    def test_trained_weights_with_a_foreign_tokenizer(self):
        with pytest.raises(ValueError, match="never seen"):
            PretrainedConfig("some/model", tokenizer="bpe")


class TestPadding:
    def test_no_end_of_text(self, corpus):
        tokenizer = build_tokenizer("word", corpus, 2000)
        tokenizer.eos_token = None
        with pytest.raises(ModelError, match="no end-of-text token"):
            ensure_padding(tokenizer, "it")


# Parameters of the published checkpoints.
PUBLISHED_SIZES = {
    "pythia_70m": 70_426_624,
    "pythia_160m": 162_322_944,
    "pythia_410m": 405_334_016,
    "pythia_1b": 1_011_781_632,
    "pythia_1_4b": 1_414_647_808,
    "pythia_2_8b": 2_775_208_960,
    "qwen1_5_0_5b": 463_987_712,
    "qwen1_5_1_8b": 1_836_828_672,
    "qwen2_5_0_5b": 494_032_768,
    "qwen3_0_6b": 596_049_920,
    "smollm2_135m": 134_515_008,
    "smollm2_135m_instruct": 134_515_008,
    "smollm2_360m": 361_821_120,
}


def test_every_yaml_of_a_named_model_is_checked_below():
    settings = {file.stem: yaml.safe_load(file.read_text()) for file in YAML_DIR.glob("*.yaml")}
    pretrained = {name: one["name_or_path"] for name, one in settings.items() if one.get("kind") == "pretrained"}
    assert {name for name, model in pretrained.items() if model != "???"} == set(PUBLISHED_SIZES)


@pytest.mark.parametrize("name", PUBLISHED_SIZES)
def test_configured_architectures_are_the_published_ones(name):
    """On the meta device: shapes only, no memory."""
    config = PretrainedConfig(**yaml.safe_load((YAML_DIR / f"{name}.yaml").read_text()))
    dimensions = dict(config.architecture)
    architecture = AutoConfig.for_model(dimensions.pop("model_type"), **dimensions)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(architecture)
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED_SIZES[name]
