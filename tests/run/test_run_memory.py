"""A run asks whether its training fits before it loads anything."""

from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig

from ldyn.errors import ModelError
from ldyn.run.run import run
from ldyn.training import memory


@pytest.mark.skipif(torch.cuda.is_available(), reason="the room is the GPU's there")
def test_a_run_that_does_not_fit_is_refused_before_weights_are_looked_for(smoke, tmp_path, monkeypatch):
    LlamaConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=400).save_pretrained(tmp_path)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(total=100_000))
    with pytest.raises(ModelError, match="needs about"):
        run(smoke("too_large", "model=pretrained", f"model.name_or_path={tmp_path}"))
