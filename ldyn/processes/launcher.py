"""What a launcher (torchrun, `accelerate launch`, or ldyn itself) has set in the environment of its processes.

torch is imported only to count GPUs, as this checks a configuration before anything heavy is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

MEETING = "LDYN_MEETING"
"""Set by ldyn itself: the file by which processes on one machine meet, as torch's ``init_method``."""
SET_BY_LAUNCHER = (
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT", MEETING,
)  # fmt: skip
ACCELERATE_SETS = "ACCELERATE_MIXED_PRECISION"  # in every process that `accelerate launch` starts


def launched_count() -> int | None:
    """How many processes a launcher has started, this one among them; None where there is no launcher."""
    return int(os.environ["WORLD_SIZE"]) if "RANK" in os.environ and "WORLD_SIZE" in os.environ else None


def is_launched_main() -> bool:
    """Whether this process is the main one of those that a launcher has started; true without a launcher."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def without_launcher() -> Iterator[None]:
    """In this block the variables of the launcher are not set: libraries take this process for the only one."""
    values = {name: os.environ.pop(name) for name in SET_BY_LAUNCHER if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(values)


def number_faults(configured: int | None) -> list[str]:
    """Whether a launcher has started the ``configured`` number of processes (None: any number)."""
    launched = launched_count()
    if launched is None and configured is None and ACCELERATE_SETS in os.environ:
        found = "`accelerate launch` has started a single process (on CPU it does so whatever --num_processes is)"
        expected = "expected --multi_gpu --num_processes N, or trainer.num_processes=N without a launcher"
        return [f"trainer.num_processes: {found}, {expected}; for a single process set trainer.num_processes=1"]
    if launched is not None and configured not in (None, launched):
        found = f"found {configured}, but the launcher has started {launched} process(es)"
        return [f"trainer.num_processes: {found}; expected the same number, or no launcher: ldyn starts them itself"]
    return []


def room_faults(count: int, parallel: str) -> list[str]:
    """Whether this machine has a GPU, or where there is none a core, for each of ``count`` processes.

    ``parallel``: "fsdp" needs GPUs (on CPU accelerate would quietly take "ddp"), and more than one process.
    """
    if count == 1:
        found = "trainer.parallel: found fsdp and one process"
        return [f"{found}, expected parallel=ddp, or trainer.num_processes=2 or more"] if parallel == "fsdp" else []
    import torch

    here = count
    if launched_count() is not None:  # on this machine only
        here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    gpus = torch.cuda.device_count()
    if parallel == "fsdp" and not gpus:
        return ["trainer.parallel: found fsdp, but torch sees no GPU here, expected parallel=ddp"]
    room, of_what = (gpus, "GPUs that torch sees") if gpus else (usable_cores(), "CPU cores that are usable")
    return [f"trainer.num_processes: found {here}, expected at most {room}, the {of_what} here"] if here > room else []


def usable_cores() -> int:
    """The CPU cores that this process may use; a container or a batch system may allow fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
