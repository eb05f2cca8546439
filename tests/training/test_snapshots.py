"""A snapshot answers as the model did in the middle of its training."""

from __future__ import annotations

import pytest
import torch

from ldyn.algorithms import ALGORITHMS, algorithm_parameters
from ldyn.models.base import BaseModel
from ldyn.probes.schedule import ScheduleConfig
from ldyn.processes.signals import StopRequest
from ldyn.records import StageInfo
from ldyn.training.checkpoints import snapshot_steps, snapshot_weights
from ldyn.training.settings import LoraConfig, TrainerConfig
from ldyn.training.stage import StageObservers, StagePlan, train_stage

HALF_EPOCHS = ScheduleConfig(epochs=(0.5, 1.5, 9))
"""13 pairs in batches of 4: 4 steps an epoch, so steps 2 and 6; the stage does not come to 9 epochs."""


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4, alpha=8)], ids=["weights", "adapters"])
def test_a_snapshot_is_the_model_after_so_many_updates(lora, make_model, tokenizer, pairs, tmp_path):
    trainer = TrainerConfig(learning_rate=1e-2, max_steps=8, batch_size=4, lora=lora, snapshots=HALF_EPOCHS)
    info = StageInfo("dpo", "dpo", "pairwise", ("chosen", "rejected"), "base")
    plan = StagePlan(info, ALGORITHMS["dpo"], algorithm_parameters({"name": "dpo"}), trainer)
    base = BaseModel(make_model().eval(), tokenizer, "fingerprint", 0.0, from_cache=False)
    seen: dict[int, torch.Tensor] = {}
    ids = torch.tensor([[5, 6, 7, 8]])

    def probe(model, step):
        was_training = model.training
        seen[step] = model.eval()(ids).logits.detach().clone()
        model.train(was_training)

    train_stage(
        plan, make_model(), tokenizer, pairs, directory=tmp_path / "dpo", seed=0, probe_steps=(0, 2, 6, 8),
        observe=StageObservers(probe, lambda *_: None, lambda: None), stop=StopRequest(),
    )  # fmt: skip
    assert snapshot_steps(tmp_path / "dpo") == [2, 6, 8]
    with torch.no_grad():
        for step in (2, 6):
            kept = snapshot_weights(plan, step, base, tmp_path.joinpath).eval()(ids).logits
            torch.testing.assert_close(kept, seen[step], rtol=1e-5, atol=1e-5)
            assert not torch.allclose(kept, seen[0], atol=1e-3)
    assert not torch.allclose(seen[2], seen[6], atol=1e-3)
