"""Win rates within a run: every preference arm against the first one, at every evaluation step that both have.

An arm is evaluated at step 0 (the weights that it starts from), at the snapshots of its stages, and at its end. The
answers go into ``wins_answers.jsonl``, in the form of samples.jsonl and named by their weights ("sft", "dpo@2": dpo
after 2 epochs, "dpo"), so that `ldyn judge` can compare them later; the verdicts into ``wins.parquet``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from torch import nn
from transformers import PreTrainedModel

from ldyn.answers.chats import AnswerCache
from ldyn.answers.comparison import AnswerSet, Judge, answer_set, judge_comparisons, pair_answers
from ldyn.answers.generation import Decoding
from ldyn.answers.judges import find_judge
from ldyn.answers.samples import SamplePrompt, sample_prompts, sample_rows
from ldyn.answers.settings import REWARD_MODEL, WinsConfig
from ldyn.answers.win_rates import Match, win_rows
from ldyn.config.schema import RunConfig
from ldyn.data.seeding import draw, seeded_random
from ldyn.findings.stages import PreferenceArm, arms_of
from ldyn.models.base import find_device
from ldyn.run.preparation import Prepared
from ldyn.run.session import Session
from ldyn.store.files import json_lines
from ldyn.training.checkpoints import snapshot_steps, snapshot_weights, start_weights
from ldyn.training.plan import StageLength, StagePlan

ANSWERS_FILE = "wins_answers.jsonl"


@dataclass(frozen=True)
class ArmWeights:
    """An arm after ``step`` updates: the name of its weights, and how to load them."""

    step: int
    epoch: float
    name: str
    load: Callable[[], PreTrainedModel]


def check_judges(config: RunConfig) -> None:
    """Raises an LdynError, before any training, where a judge has no API key or cannot be imported."""
    for name in config.wins.judges if config.wins else ():
        if not name.startswith(REWARD_MODEL):  # loaded only when it judges, as it needs much memory
            _judge(name, config)


def write_win_rates(config: RunConfig, plans: Sequence[StagePlan], prepared: Prepared, session: Session) -> None:
    """Sample answers from all arms, judge them, and write answers and verdicts into the run directory."""
    assert config.wins is not None
    arms = {arm.name: list(_weights(arm, plans, prepared, session)) for arm in arms_of([plan.info for plan in plans])}
    prompts = _prompts(config.wins, prepared, config.seed)
    by_weights = {one.name: one for of_arm in arms.values() for one in of_arm}
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, (name, weights) in enumerate(by_weights.items(), start=1):
        print(f"{len(prompts)} answers of {name} ({number} of {len(by_weights)})", file=sys.stderr)
        rows[name] = _answers(weights, prompts, prepared)
    session.directory.write_text(ANSWERS_FILE, json_lines([row for one in rows.values() for row in one]).decode())
    answers = {name: answer_set(name, "greedy", found) for name, found in rows.items()}
    session.directory.write_table("wins", pd.DataFrame(_verdicts(config, _matches(arms), answers)))


def _weights(
    arm: PreferenceArm, plans: Sequence[StagePlan], prepared: Prepared, session: Session
) -> Iterator[ArmWeights]:
    """Updates and epochs are counted over all rounds of the arm, as if they were one long stage."""
    start, base, by_name = arm.first.start, prepared.base, {plan.info.name: plan for plan in plans}
    yield ArmWeights(0, 0.0, start, partial(start_weights, start, base, session.stage_directory))
    before, epochs_before = 0, 0.0
    for plan in (by_name[info.name] for info in arm.rounds):
        name, length = plan.info.name, StageLength.of(plan, len(prepared.pairs))
        for step in snapshot_steps(session.stage_directory(name)):
            epoch = length.probe_step(plan.info, step).epoch
            load = partial(snapshot_weights, plan, step, base, session.stage_directory)
            if step < length.total_steps:
                yield ArmWeights(before + step, epochs_before + epoch, f"{name}@{epoch:.4g}", load)
        before += length.total_steps
        epochs_before += length.probe_step(plan.info, length.total_steps).epoch
        yield ArmWeights(before, epochs_before, name, partial(start_weights, name, base, session.stage_directory))


def _prompts(config: WinsConfig, prepared: Prepared, seed: int) -> list[SamplePrompt]:
    prompts = list[SamplePrompt]()
    for split, examples in prepared.data.probes.items():
        drawn, _ = draw(examples, config.examples, seeded_random(seed, "wins", split))
        prompts += sample_prompts(split, drawn, prepared.answering.encoder)
    return prompts


def _answers(weights: ArmWeights, prompts: Sequence[SamplePrompt], prepared: Prepared) -> list[dict[str, Any]]:
    answering, model = prepared.answering, weights.load()
    nn.Module.to(model, find_device())
    greedy = Decoding(answering.settings.max_new_tokens)
    tokenizer, checker = answering.tokenizer, answering.checker
    return sample_rows(model, tokenizer, prompts, greedy, stage=weights.name, checker=checker)


def _matches(arms: Mapping[str, Sequence[ArmWeights]]) -> Iterator[tuple[Match, str, str]]:
    (baseline, of_baseline), *others = arms.items()
    by_epoch = {round(one.epoch, 6): one for one in of_baseline}
    for arm, of_arm in others:
        for one in of_arm:
            other = by_epoch.get(round(one.epoch, 6))
            if other is not None and other.name != one.name:
                yield Match(arm, baseline, one.step, one.epoch), one.name, other.name


def _verdicts(
    config: RunConfig, matches: Iterable[tuple[Match, str, str]], answers: Mapping[str, AnswerSet]
) -> list[dict[str, Any]]:
    assert config.wins is not None
    comparisons = [(match, pair_answers(answers[arm], answers[base])[0]) for match, arm, base in matches]
    rows = []
    for name in config.wins.judges:
        judge = _judge(name, config)
        for match, of_match in comparisons:
            rows += win_rows(match, name, judge_comparisons(judge, of_match))
    return rows


def _judge(name: str, config: RunConfig) -> Judge:
    assert config.wins is not None
    cache = AnswerCache(config.paths.cache / "answers")
    return find_judge(name, cache, api=config.wins.api, template=config.wins.template)
