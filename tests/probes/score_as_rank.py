"""One process of several that score together: run by test_scorer_processes.py, once for each rank.

    python score_as_rank.py RANK DIR

Reads DIR/task.pt (a model for each number of processes, and examples), meets the others by files in DIR, writes
DIR/RANK.pt: number of processes -> task -> what the scorer returned, or the text of the error that it raised.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from ldyn.errors import LdynError
from ldyn.probes import engine
from ldyn.probes.scorer import score_probes


def run_tasks(model, examples):
    """Every way of scoring together, one after the other."""
    results = {
        "all": attempt(lambda: score_probes(model, examples, token_budget=120, pad_id=0)),
        "fewer than processes": attempt(lambda: score_probes(model, examples[:1], token_budget=120, pad_id=0)),
        "ddp": attempt(lambda: score_probes(DistributedDataParallel(model), examples, token_budget=120, pad_id=0)),
        "one runs out of memory": attempt(lambda: score_with_little_memory(model, examples)),
    }
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    for layer in model.gpt_neox.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for name, budget in (("fsdp", 120), ("fsdp, another budget", 60)):
        results[name] = attempt(lambda budget=budget: score_probes(model, examples, token_budget=budget, pad_id=0))
    results["fsdp, one example"] = attempt(lambda: score_probes(model, examples[:1], token_budget=40, pad_id=0))
    return results


def attempt(score):
    try:
        return score()
    except LdynError as error:
        return f"{type(error).__name__}: {error}"


def score_with_little_memory(model, examples):
    """Rank 1 has no room for anything; the others have."""
    original = engine.batch_stats

    def no_room(*args, **options):
        if distributed.get_rank() == 1:
            raise MemoryError("nothing left")
        return original(*args, **options)

    engine.batch_stats = no_room
    try:
        return score_probes(model, examples, token_budget=120, pad_id=0)
    finally:
        engine.batch_stats = original


def main(rank, directory):
    torch.set_num_threads(1)
    task = torch.load(directory / "task.pt", weights_only=False)
    results = {}
    for world_size in (2, 3):
        if rank < world_size:
            store = f"file://{directory}/meeting{world_size}"
            distributed.init_process_group(
                "gloo", init_method=store, rank=rank, world_size=world_size, timeout=timedelta(seconds=60)
            )
            results[world_size] = run_tasks(task["model"][world_size], task["examples"])
            distributed.destroy_process_group()
    torch.save(results, directory / f"{rank}.pt")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
