"""Several processes as one run: each takes its share of the work, and what one of them knows, all get to know.

Without ``torch.distributed`` (or with one process) the one share is everything and nothing is exchanged. Results travel
with their keys, so an uneven division loses and doubles nothing. Under DDP, processes score on their own. Under FSDP
each forward pass gathers weights from all processes, so they go *in lockstep*: as long as any of them has a batch left,
the others run one more, too, and drop what it gives.

The process of rank 0 is the *main* one: it alone writes the run directory and speaks to the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from ldyn.errors import Interrupted, LdynError, LostProcess
from ldyn.processes.launcher import launched_count, without_launcher

Key = TypeVar("Key")
Result = TypeVar("Result")

PATIENCE = timedelta(hours=3)
"""How long a process waits for another before it takes it for lost: the main one pretrains a base model alone, say.

A process that has *ended* is noticed at once; this is for one that hangs.
"""


def join_processes() -> None:
    """Meet the other processes that a launcher has started; nothing to do where there are none, or where it is done."""
    if launched_count() is None or process_count() > 1:
        return
    from accelerate import PartialState  # takes a second

    PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)


@contextmanager
def main_alone() -> Iterator[bool]:
    """The processes part, after their last exchange; in this block each is the only one. Yields whether it is the main.

    What only the main process does at the end of a run may train and score on its own.
    """
    if process_count() == 1:
        yield True
        return
    from accelerate.state import AcceleratorState

    is_main = is_main_process()
    wait_for_all()
    distributed.destroy_process_group()
    AcceleratorState._reset_state(reset_partial_state=True)
    with without_launcher():
        yield is_main


def process_count() -> int:
    """Number of processes that work together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def process_rank() -> int:
    """Which of them this one is; 0 is the main process."""
    return distributed.get_rank() if process_count() > 1 else 0


def is_main_process() -> bool:
    """Whether this process writes and speaks."""
    return process_rank() == 0


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
    """Go on once every process has come here."""
    if process_count() > 1:
        distributed.barrier()


def in_main(work: Callable[[], Result]) -> Result | None:
    """Call ``work`` in the main process; the others wait until it is done, and get None.

    An LdynError is raised in all processes, so that none waits for ever.
    """
    outcome: Result | None = None
    fault: LdynError | None = None
    if is_main_process():
        try:
            outcome = work()
        except LdynError as error:
            fault = error
    fault = _told_by_main(fault)
    if fault is not None:
        raise fault
    return outcome


def main_first(work: Callable[[], Result]) -> Result:
    """What ``work`` returns, in each process, called in the main one first: it makes what the others then find made."""
    made = in_main(work)
    return made if is_main_process() else work()  # type: ignore[return-value] # the main one's is what it returned


def from_main(work: Callable[[], Result]) -> Result:
    """What ``work`` returns in the main process, in all of them; it must survive pickling. Raises as ``in_main``."""
    return _told_by_main(in_main(work))  # type: ignore[return-value] # None where it is not main's


def gathered(score_own: Callable[[], Mapping[Key, Result]]) -> Mapping[Key, Result]:
    """The results of all processes, in each. An LdynError of one is raised in all, so that none waits for ever."""
    if process_count() == 1:
        return score_own()
    own: Mapping[Key, Result] = {}
    fault: LdynError | None = None
    try:
        own = score_own()
    except LdynError as error:
        fault = error
    outcomes: list[Any] = [None] * process_count()
    distributed.all_gather_object(outcomes, (own, fault))
    for _, fault_of_one in outcomes:
        if fault_of_one is not None:
            raise fault_of_one
    return {key: result for results, _ in outcomes for key, result in results.items()}


@contextmanager
def losses_explained() -> Iterator[None]:
    """Turn the error of an exchange with a process that has ended into a ``LostProcess``.

    Also where the launcher, which ends the processes that are left, was quicker than this one on its way out.
    """
    try:
        yield
    except (RuntimeError, Interrupted) as error:
        if process_count() > 1 and any(_is_of_an_exchange(one) for one in _with_contexts(error)):
            raise LostProcess(
                f"Process {process_rank()} of {process_count()} lost another one, which has ended or was killed."
            ) from error
        raise


def _is_of_an_exchange(error: BaseException) -> bool:
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _with_contexts(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that were being handled when it was raised."""
    while error is not None:
        yield error
        error = error.__context__


def _told_by_main(own: Result) -> Result:
    if process_count() == 1:
        return own
    told = [own]
    distributed.broadcast_object_list(told, src=0)
    return told[0]
