"""Two processes against one: the same scores in each, none lost, none doubled, also where one has nothing to score."""

from pathlib import Path

import pytest
import torch

from ldyn.probes.scorer import score_probes

SCRIPT = Path(__file__).with_name("score_as_rank.py")


@pytest.mark.slow
def test_each_of_two_processes_gets_what_one_alone_gets(tiny_model, examples, assert_close, tmp_path, ranks):
    model = tiny_model("gpt_neox")
    torch.save({"model": model, "examples": examples}, tmp_path / "task.pt")
    ranks(SCRIPT, 2, tmp_path)
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    assert len(examples) % 2  # shares are of different sizes
    for task, members in (("all", examples), ("one example", examples[:1])):
        alone = score_probes(model, members, token_budget=120, pad_id=0)
        for name in (task, f"{task}, fsdp"):
            assert_close(one[name], alone, 1e-5)
            assert other[name] == one[name]  # bit by bit
    for results in (one, other):
        assert results["one runs out of memory"].startswith("ModelError: Memory does not suffice to score")
