"""Several processes as one run: each takes its share of the work, and all get the results.

Without ``torch.distributed`` (or with one process) the one share is everything. Results are gathered by key, so an
uneven division loses and doubles nothing. Under DDP, processes score independently. Under FSDP each forward pass
gathers weights from all processes, so they run *in lockstep*: as long as one of them has a batch left, the others run
one more and drop its result.

The process of rank 0 is the *main* one: it alone writes the run directory and prints.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from ldyn.errors import Interrupted, LdynError, LostProcess
from ldyn.processes.launcher import MEETING, launched_count, without_launcher

Key = TypeVar("Key")
Result = TypeVar("Result")

PATIENCE = timedelta(hours=3)
"""How long a process waits for another that hangs, as the main one may pretrain a base model alone meanwhile."""


def join_processes() -> None:
    """Join the process group of the launcher; a no-op without a launcher, or when already joined."""
    if launched_count() is None or process_count() > 1:
        return
    from accelerate import PartialState  # takes a second

    meeting: dict[str, Any] = {}
    if MEETING in os.environ:
        meeting = {"init_method": os.environ[MEETING], "rank": int(os.environ["RANK"]), "world_size": launched_count()}
    PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE, **meeting)


@contextmanager
def main_alone() -> Iterator[bool]:
    """Leave the process group; in this block each process works alone. Yields whether this one is the main one."""
    if process_count() == 1:
        yield True
        return
    from accelerate.state import AcceleratorState

    is_main = process_rank() == 0
    wait_for_all()
    distributed.destroy_process_group()
    AcceleratorState._reset_state(reset_partial_state=True)
    with without_launcher():
        yield is_main


def process_count() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def process_rank() -> int:
    """Which of them this one is; 0 is the main process, which writes and prints."""
    return distributed.get_rank() if process_count() > 1 else 0


def own_share(count: int) -> range:
    """Which of ``count`` examples this process scores: every n-th, as neighbours tend to be of one length."""
    return range(process_rank(), count, process_count())


def any_process(own: bool, device: torch.device) -> bool:
    """Whether ``own`` is true in any process."""
    return bool(highest_of_all(int(own), device))


def highest_of_all(own: int, device: torch.device) -> int:
    """The largest of the processes' numbers."""
    if process_count() == 1:
        return own
    number = torch.tensor(own, device=device)
    distributed.all_reduce(number, op=distributed.ReduceOp.MAX)
    return int(number.item())


def sum_over_processes(own: Sequence[float], device: torch.device) -> list[float]:
    """Each of the numbers, summed over all processes (in float64)."""
    if process_count() == 1:
        return list(own)
    total = torch.tensor(own, device=device, dtype=torch.float64)
    distributed.all_reduce(total)
    return [float(number) for number in total.tolist()]


def rows_of_all(own: torch.Tensor, *, at_most: int) -> torch.Tensor:
    """The rows [n, columns] of every process below each other; n may differ, up to ``at_most``, and may be 0."""
    if process_count() == 1:
        return own
    padded = own.new_zeros(at_most, own.shape[1] + 1)  # the last column marks the rows that are there
    padded[: len(own)] = torch.cat([own, own.new_ones(len(own), 1)], dim=1)
    of_all = [torch.empty_like(padded) for _ in range(process_count())]
    distributed.all_gather(of_all, padded)
    rows = torch.cat(of_all)
    return rows[rows[:, -1] == 1, :-1]


def wait_for_all() -> None:
    if process_count() > 1:
        distributed.barrier()


def in_main(work: Callable[[], Result]) -> Result | None:
    """Call ``work`` in the main process; the others wait for it and get None. An LdynError is raised in all."""
    outcome: Result | None = None
    fault: LdynError | None = None
    if process_rank() == 0:
        try:
            outcome = work()
        except LdynError as error:
            fault = error
    fault = _broadcast(fault)
    if fault is not None:
        raise fault
    return outcome


def main_first(work: Callable[[], Result]) -> Result:
    """The result of ``work`` in each process; the main one calls it first and fills the caches for the others."""
    made = in_main(work)
    return made if process_rank() == 0 else work()  # type: ignore[return-value] # the main one's is what it returned


def from_main(work: Callable[[], Result]) -> Result:
    """The result of ``work`` in the main process, in all of them; it must be picklable. Raises as ``in_main``."""
    return _broadcast(in_main(work))  # type: ignore[return-value] # None where it is not main's


def gathered(score_own: Callable[[], Mapping[Key, Result]]) -> Mapping[Key, Result]:
    """The results of all processes, in each. An LdynError of one is raised in all."""
    if process_count() == 1:
        return score_own()
    try:
        own: Mapping[Key, Result] | LdynError = score_own()
    except LdynError as error:
        own = error
    outcomes: list[Any] = [None] * process_count()
    distributed.all_gather_object(outcomes, own)
    for outcome in outcomes:
        if isinstance(outcome, LdynError):
            raise outcome
    return {key: result for results in outcomes for key, result in results.items()}


@contextmanager
def lost_processes_explained() -> Iterator[None]:
    """Turn the error of a collective operation with a process that has ended into a ``LostProcess``.

    Also where the launcher, which ends the remaining processes, was faster.
    """
    try:
        yield
    except (RuntimeError, Interrupted) as error:
        cause: BaseException | None = error
        while cause is not None and process_count() > 1:  # those that were being handled when it was raised
            if isinstance(cause, distributed.DistError) or (isinstance(cause, RuntimeError) and "gloo" in str(cause)):
                which = f"Process {process_rank()} of {process_count()}"
                raise LostProcess(f"{which} lost another one, which has ended or was killed.") from error
            cause = cause.__context__
        raise


def _broadcast(own: Result) -> Result:
    if process_count() == 1:
        return own
    values = [own]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def quiet_libraries() -> None:
    """Turn off the progress bars of transformers and datasets; in other processes than the main one warnings, too."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    if process_rank() > 0:
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
