"""How long the runs of a plan will take: the work that each does, times what such work costs.

The costs are a scale's own (``configs/scale``); a short trial says how this machine compares with the one they are of.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from ldyn.config.schema import RunConfig
from ldyn.jobs.reproduction.settings import CostsConfig
from ldyn.run.stages import stage_plans
from ldyn.training.stage import StageLength

PAIRS_OF_THE_PAPER = 5000
"""Training pairs of a data set that does not say how many it has before it is read."""


@dataclass(frozen=True)
class Work:
    """What a base or a stage takes to make. identity: a hash of all that it is; steps: those at which it is probed."""

    name: str
    identity: str
    steps: frozenset[int] = field(default_factory=frozenset)
    pretraining_steps: int = 0
    pointwise_steps: int = 0
    pairwise_steps: int = 0
    decomposed_moments: int = 0
    drawn_answers: int = 0
    keeps_snapshots: bool = False

    def seconds(self, costs: CostsConfig, *, taken_over: bool) -> float:
        """On one core of the machine that the costs are of."""
        opening = costs.stage if self.steps else 0.0
        if taken_over:
            return opening
        return (
            opening
            + self.pretraining_steps * costs.pretraining_step
            + self.pointwise_steps * costs.pointwise_step
            + self.pairwise_steps * costs.pairwise_step
            + len(self.steps) * costs.moment
            + self.decomposed_moments * costs.decomposed_moment
            + self.drawn_answers * costs.drawn_answer
        )


def stage_work(name: str, identity: str, run: RunConfig) -> Work:
    """What the stage ``name`` of ``run`` takes."""
    plan = next(plan for plan in stage_plans(run) if plan.info.name == name)
    pairs = _pairs(run)
    length = StageLength.of(plan, pairs)
    snapshots = plan.trainer.snapshots
    kept = length.scheduled(snapshots) if snapshots else (0, length.total_steps)
    responses = run.stages[name].responses
    is_pointwise = plan.info.kind == "pointwise"
    return Work(
        name,
        identity,
        steps=frozenset(length.scheduled(run.probes.schedule)),
        pointwise_steps=length.total_steps if is_pointwise else 0,
        pairwise_steps=0 if is_pointwise else length.total_steps,
        decomposed_moments=len(kept) - 1 if run.decompose else 0,
        drawn_answers=pairs * responses.candidates if responses.sampled else 0,
        keeps_snapshots=snapshots is not None,
    )


def _pairs(run: RunConfig) -> int:
    known = (getattr(run.dataset, name, None) for name in ("pairs", "n_train"))
    return next((number for number in known if number), PAIRS_OF_THE_PAPER)


def timed_trial(threads: int) -> float:
    """Seconds of the fastest of twenty training steps, times twenty, of a model of the tiny base's shape.

    The fastest, so that it tells what the machine can do, not how busy it happens to be.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return 20 * min(_timed_steps(20))
    finally:
        torch.set_num_threads(before)


def _timed_steps(steps: int) -> list[float]:
    shape = GPTNeoXConfig(
        vocab_size=1000, hidden_size=96, num_hidden_layers=3, num_attention_heads=4, intermediate_size=384
    )
    model = GPTNeoXForCausalLM(shape)
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.randint(1000, (8, 96))
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - started)
    return seconds
