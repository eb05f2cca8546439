"""A training that cannot fit is refused before the model is loaded, with sizes that add up."""

from types import SimpleNamespace

import pytest
import torch

from ldyn.errors import ModelError
from ldyn.models.settings import PretrainedConfig
from ldyn.training import memory
from ldyn.training.memory import check_memory, model_size, needed_bytes
from ldyn.training.settings import LoraConfig, TrainerConfig

TRAINER = TrainerConfig(max_steps=1)


def test_sizes_by_hand():
    """1,000 weights in 4 bytes: two copies, a gradient, AdamW's two moments; 10 tokens of 40 logits and gradients."""
    needed = needed_bytes(1000, 40, TRAINER, 10, copies=2)
    assert needed == {"weights": 8000, "gradients": 4000, "optimizer": 8000, "logits": 3200}
    lora = needed_bytes(1000, 40, TrainerConfig(max_steps=1, lora=LoraConfig()), 10, copies=1)
    assert lora == {"weights": 4000, "gradients": 0, "optimizer": 0, "logits": 3200}


@pytest.mark.skipif(torch.cuda.is_available(), reason="the room is the GPU's there")
def test_a_model_that_does_not_fit_is_refused_with_its_sizes(make_model, tmp_path, monkeypatch):
    model = make_model()
    model.config.save_pretrained(tmp_path)  # no weights: they are not read
    config = PretrainedConfig(str(tmp_path))
    assert model_size(config) == (model.num_parameters(), 40)
    check_memory(config, TRAINER, 2048)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(total=100_000))
    with pytest.raises(ModelError, match=r"needs about .*weights .*, logits .*, but this machine has .*rmsprop"):
        check_memory(config, TRAINER, 2048)
    check_memory(PretrainedConfig(str(tmp_path / "absent")), TRAINER, 2048)
