"""One process of two that score together: run by test_scorer_processes.py, once for each rank.

    python score_as_rank.py RANK DIR

Reads DIR/task.pt (a model and examples), meets the other by a file in DIR, writes DIR/RANK.pt: task -> what the scorer
returned, or the error that it raised, in words.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from ldyn.errors import LdynError
from ldyn.probes import engine
from ldyn.probes.scorer import score_probes


def score_with_little_memory(model, examples):
    """Rank 1 has no room for anything; the other has."""
    original = engine.batch_stats

    def no_room(*args, **options):
        if distributed.get_rank() == 1:
            raise MemoryError("nothing left")
        return original(*args, **options)

    engine.batch_stats = no_room
    try:
        return score_probes(model, examples, token_budget=120, pad_id=0)
    except LdynError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        engine.batch_stats = original


def main(rank, directory):
    torch.set_num_threads(1)
    task = torch.load(directory / "task.pt", weights_only=False)
    model, examples = task["model"], task["examples"]
    distributed.init_process_group(
        "gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    results = {
        "all": score_probes(model, examples, token_budget=120, pad_id=0),
        "one example": score_probes(model, examples[:1], token_budget=120, pad_id=0),
        "one runs out of memory": score_with_little_memory(model, examples),
    }
    mesh = init_device_mesh("cpu", (2,))
    for layer in (*model.gpt_neox.layers, model):
        fully_shard(layer, mesh=mesh)
    results["all, fsdp"] = score_probes(model, examples, token_budget=60, pad_id=0)
    results["one example, fsdp"] = score_probes(model, examples[:1], token_budget=40, pad_id=0)
    distributed.destroy_process_group()
    torch.save(results, directory / f"{rank}.pt")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
