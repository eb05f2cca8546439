"""A snapshot answers as the model did in the middle of its training."""

from __future__ import annotations

import pytest
import torch

from ldyn.models.base import BaseModel
from ldyn.probes.schedule import ScheduleConfig
from ldyn.training.checkpoints import snapshot_steps, snapshot_weights
from ldyn.training.settings import LoraConfig

HALF_EPOCHS = ScheduleConfig(epochs=(0.5, 1.5, 9))
"""13 pairs in batches of 4: 4 steps an epoch, so steps 2 and 6; the stage does not come to 9 epochs."""


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4, alpha=8)], ids=["weights", "adapters"])
def test_a_snapshot_is_the_model_after_so_many_updates(lora, train, plan_for, make_model, tokenizer, tmp_path):
    plan = plan_for("dpo", learning_rate=1e-2, max_steps=8, lora=lora, snapshots=HALF_EPOCHS)
    base = BaseModel(make_model().eval(), tokenizer, "fingerprint")
    seen: dict[int, torch.Tensor] = {}
    ids = torch.tensor([[5, 6, 7, 8]])

    def probe(model, step):
        was_training = model.training
        seen[step] = model.eval()(ids).logits.detach().clone()
        model.train(was_training)

    train(plan, make_model(), tmp_path / "dpo", probe=probe)
    assert snapshot_steps(tmp_path / "dpo") == [2, 6, 8]
    with torch.no_grad():
        for step in (2, 6):
            kept = snapshot_weights(plan, step, base, tmp_path.joinpath).eval()(ids).logits
            torch.testing.assert_close(kept, seen[step], rtol=1e-5, atol=1e-5)
            assert not torch.allclose(kept, seen[0], atol=1e-3)
    assert not torch.allclose(seen[2], seen[6], atol=1e-3)
