"""Models from GGUF: a tiny Llama written here, and SmolLM2 where `make smollm2` has fetched it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import smollm2
import torch
from transformers import AutoModelForCausalLM

from ldyn.errors import ModelError
from ldyn.models.gguf import model_file_hash
from ldyn.models.pretrained import load_pretrained
from ldyn.models.settings import PretrainedConfig

gguf = pytest.importorskip("gguf", reason="reading GGUF needs the package gguf: pip install 'ldyn[gguf]'")

HIDDEN, WIDTH, HEADS, LAYERS, FILE = 32, 64, 2, 2, "tiny.gguf"
WORDS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "Ġ",
    *(chr(byte) for byte in range(33, 127)),
    *(f"Ġ{letter}" for letter in "abcdefgh"),
]


def write_gguf(path: Path, *, kind: str = "llama", embedded: int = len(WORDS)) -> dict[str, np.ndarray]:
    """A GGUF file of a tiny model with float32 tensors; returns them by llama.cpp's names."""
    shapes = {
        "token_embd.weight": (embedded, HIDDEN),
        "output_norm.weight": (HIDDEN,),
        "output.weight": (embedded, HIDDEN),
    }
    for layer in range(LAYERS):
        square = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (HIDDEN, HIDDEN))
        mlp = {"ffn_gate": (WIDTH, HIDDEN), "ffn_up": (WIDTH, HIDDEN), "ffn_down": (HIDDEN, WIDTH)}
        norms = {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,)}
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in {**square, **mlp, **norms}.items()}
    random = np.random.default_rng(0)
    tensors = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    writer = gguf.GGUFWriter(path, kind)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_merges(["Ġ a"])
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(WORDS) - 3))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


@pytest.fixture
def config(tmp_path) -> PretrainedConfig:
    write_gguf(tmp_path / FILE)
    return PretrainedConfig(str(tmp_path), gguf_file=FILE)


def test_what_make_smollm2_converts_is_a_plain_model_with_its_tokenizer(config, tmp_path):
    smollm2.convert(tmp_path / FILE, tmp_path / "plain")
    plain, direct = (
        load_pretrained(PretrainedConfig(str(tmp_path / "plain")), corpus=[], seed=0),
        load_pretrained(config, corpus=[], seed=0),
    )
    assert plain.tokenizer.get_vocab() == direct.tokenizer.get_vocab()
    found, expected = plain.model.state_dict(), direct.model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_weights_are_those_of_the_file_and_survive_saving(config, tmp_path):
    tensors = write_gguf(tmp_path / FILE)
    base = load_pretrained(config, corpus=(), seed=0)
    torch.testing.assert_close(base.model.lm_head.weight.detach(), torch.tensor(tensors["output.weight"]))
    up = base.model.model.layers[1].mlp.up_proj.weight.detach()
    torch.testing.assert_close(up, torch.tensor(tensors["blk.1.ffn_up.weight"]))
    base.model.save_pretrained(tmp_path / "saved")
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    ids = torch.arange(10)[None]
    torch.testing.assert_close(saved(ids).logits, base.model(ids).logits)
    assert base.tokenizer.eos_token == "<|im_end|>"
    assert len(model_file_hash(config)["gguf_file"]) == 64


def test_a_truncated_file_is_reported(config, tmp_path):
    content = (tmp_path / FILE).read_bytes()
    for length in (8, 200, len(content) // 2, len(content) - 100):
        (tmp_path / FILE).write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"tiny.gguf of .* cannot be read .*truncated"):
            load_pretrained(config, corpus=(), seed=0)


def test_an_unknown_architecture_lists_the_known_ones(tmp_path):
    write_gguf(tmp_path / FILE, kind="mamba9")
    with pytest.raises(ModelError, match=r"mamba9.*reads these architectures.*llama.*qwen2"):
        load_pretrained(PretrainedConfig(str(tmp_path), gguf_file=FILE), corpus=(), seed=0)


def test_a_vocabulary_larger_than_the_embeddings_is_refused(tmp_path):
    write_gguf(tmp_path / FILE, embedded=len(WORDS) - 3)
    with pytest.raises(ModelError, match=r"token ids up to|cannot be read"):
        load_pretrained(PretrainedConfig(str(tmp_path), gguf_file=FILE), corpus=(), seed=0)


def test_a_missing_file_or_setting_is_named(config, tmp_path):
    with pytest.raises(ModelError, match=r"has tiny.gguf; expected other.gguf"):
        load_pretrained(PretrainedConfig(str(tmp_path), gguf_file="other.gguf"), corpus=(), seed=0)
    with pytest.raises(ModelError, match=r"set model.gguf_file"):
        load_pretrained(PretrainedConfig(str(tmp_path)), corpus=(), seed=0)


def test_smollm2_answers(monkeypatch):
    directory = Path(__file__).parents[2] / "outputs" / "models" / "smollm2_135m_instruct"
    if not (directory / "model.safetensors").is_file():
        pytest.skip("SmolLM2 is not here; `make smollm2` fetches it")
    base = load_pretrained(PretrainedConfig(str(directory)), corpus=(), seed=0)
    assert sum(parameter.numel() for parameter in base.model.parameters()) == 134_515_008
    ids = base.tokenizer("The capital of France is", return_tensors="pt").input_ids
    answer = base.model.generate(ids, max_new_tokens=2, do_sample=False)[0, ids.shape[1] :]
    assert "Paris" in base.tokenizer.decode(answer)
