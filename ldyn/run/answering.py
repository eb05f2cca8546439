"""The answers of a run's models: as probes, as training pairs of on-policy stages, and as samples of every stage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.answers.answers import Sampling, answer_prompts
from ldyn.answers.judges import judge_named
from ldyn.answers.on_policy import on_policy_pairs
from ldyn.answers.samples import Decoding, SamplePrompt, sample_rows
from ldyn.answers.settings import ResponsesConfig
from ldyn.config.schema import RunConfig, SamplesConfig
from ldyn.data.encoder import Encoder
from ldyn.data.seeding import seeded_random
from ldyn.errors import RunDirectoryError
from ldyn.models.base import BaseModel
from ldyn.probes.builder import ProbeSet, build_probes, with_model_answers
from ldyn.processes.group import in_main
from ldyn.records import AnswerChecker, EncodedPair, PreferenceData, PreferencePair, ProbeExample, Turn
from ldyn.run.session import Session
from ldyn.run.stages import stage_weights
from ldyn.store.files import write_atomically
from ldyn.training.stage import StagePlan

REPHRASE_TRIES = 8
"""Sampled answers of the base among which a rephrase of the chosen answer is looked for, in each question."""


@dataclass(frozen=True)
class Answering:
    """How prompts are answered in this run."""

    tokenizer: PreTrainedTokenizerBase
    encoder: Encoder
    checker: AnswerChecker | None
    settings: SamplesConfig
    seed: int

    def sampling(self, *purpose: str) -> Sampling:
        """Drawing from the model itself, with random numbers of its own for each purpose."""
        return Sampling(seed=seeded_random(self.seed, *purpose).getrandbits(31))

    def own_answers(self, model: PreTrainedModel, examples: Sequence[ProbeExample]) -> dict[str, str]:
        """Example id -> an answer drawn from the model, y_π ~ π(·|x)."""
        prompts = [self.encoder.prompt(example.prompt, example.turns) for example in examples]
        limit, sampling = self.settings.max_new_tokens, self.sampling("own answer")
        answers = answer_prompts(model, self.tokenizer, prompts, max_new_tokens=limit, sampling=sampling)
        return {example.example_id: answer.text for example, answer in zip(examples, answers, strict=True)}

    def rephrases(self, model: PreTrainedModel, examples: Sequence[ProbeExample]) -> dict[str, str]:
        """Example id -> the first sampled answer that states the true fact in words other than the chosen ones.

        Only where the facts are known; an example for which no sampled answer qualifies is left out.
        """
        if self.checker is None:
            return {}
        found: dict[str, str] = {}
        for attempt in range(REPHRASE_TRIES):
            left = [example for example in examples if example.example_id not in found]
            prompts = [self.encoder.prompt(example.prompt, example.turns) for example in left]
            limit, sampling = self.settings.max_new_tokens, self.sampling("rephrase", str(attempt))
            answers = answer_prompts(model, self.tokenizer, prompts, max_new_tokens=limit, sampling=sampling)
            for example, answer in zip(left, answers, strict=True):
                other_words = answer.text != example.responses["chosen"].strip()
                if answer.stopped and other_words and self.checker(example.example_id, answer.text).is_right:
                    found[example.example_id] = answer.text
        return found


def observed_probes(data: PreferenceData, base: BaseModel, answering: Answering, config: RunConfig) -> ProbeSet:
    """The probes of the run: those of the data, and where it has none of them the base model's own answers."""
    probes = build_probes(data, config.probes, config.seed)
    makers = {"chosen_initial": answering.own_answers, "chosen_selfr": answering.rephrases}
    examples, counts = dict(probes.examples), dict(probes.counts)
    for split, members in probes.examples.items():
        given = {probe for example in members for probe in example.responses}
        for probe, make in makers.items():
            if probe in given or (config.probes.families != "all" and probe not in config.probes.families):
                continue
            answers = make(base.model, members)
            examples[split] = with_model_answers(examples[split], probe, answers)
            counts[f"{split}.answered_by_base.{probe}"] = len(answers)
    return ProbeSet(examples, counts)


def write_samples(
    plans: Sequence[StagePlan], base: BaseModel, probes: ProbeSet, answering: Answering, session: Session
) -> None:
    """samples.jsonl: greedy and sampled answers of the base and of every stage's last weights to the same questions."""
    prompts = [
        SamplePrompt(split, example.example_id, example.prompt, answering.encoder.prompt(example.prompt, example.turns))
        for split, members in probes.examples.items()
        for example in members[: answering.settings.examples]
    ]
    stages = ["base", *(plan.info.name for plan in plans)]
    rows = [
        row for stage in stages for row in _stage_rows(stage, stage_weights(stage, base, session), prompts, answering)
    ]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    session.directory.write_text("samples.jsonl", "".join(lines))


def _stage_rows(
    stage: str, model: PreTrainedModel, prompts: Sequence[SamplePrompt], answering: Answering
) -> Iterator[dict[str, Any]]:
    for sampling in (None, answering.sampling("sample")):
        yield from sample_rows(
            model,
            answering.tokenizer,
            prompts,
            Decoding(answering.settings.max_new_tokens, sampling),
            stage=stage,
            checker=answering.checker,
        )


PAIRS_FILE = "pairs.jsonl"


def training_pairs(
    plan: StagePlan,
    responses: ResponsesConfig,
    pairs: Sequence[PreferencePair],
    base: BaseModel,
    answering: Answering,
    session: Session,
) -> list[EncodedPair]:
    """The encoded pairs of one stage.

    Drawn pairs are kept in ``checkpoints/<stage>/pairs.jsonl``, so a resumed stage trains on the same ones.
    """
    if not responses.sampled:
        return answering.encoder.pairs(pairs)
    path = session.stage_directory(plan.info.name) / PAIRS_FILE

    def draw_once() -> None:
        if path.exists():
            return
        with session.timed(f"answers for {plan.info.name}"):
            drawn = _draw(plan, responses, pairs, base, answering, session)
        lines = [json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in drawn]
        write_atomically(path, "".join(lines).encode("utf-8", errors="replace"))

    in_main(draw_once)
    return answering.encoder.pairs(drawn_pairs(path.parent))


def drawn_pairs(stage_directory: Path) -> list[PreferencePair]:
    """The pairs that an on-policy stage has drawn and keeps. Raises RunDirectoryError where it has drawn none yet."""
    path = stage_directory / PAIRS_FILE
    if not path.exists():
        raise RunDirectoryError(
            f"{path} is missing, so it is not known what the stage trained on; train the stage first."
        )
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [PreferencePair(**{**row, "turns": tuple(Turn(*turn) for turn in row.get("turns", ()))}) for row in rows]


def _draw(
    plan: StagePlan,
    responses: ResponsesConfig,
    pairs: Sequence[PreferencePair],
    base: BaseModel,
    answering: Answering,
    session: Session,
) -> list[PreferencePair]:
    model = stage_weights(plan.info.start, base, session)
    prompts = [answering.encoder.prompt(pair.prompt, pair.turns) for pair in pairs]
    candidates = []
    for number in range(responses.candidates):
        sampling = answering.sampling("on policy", plan.info.name, str(number))
        sampling = replace(sampling, temperature=responses.temperature)
        limit = responses.max_new_tokens
        answers = answer_prompts(model, answering.tokenizer, prompts, max_new_tokens=limit, sampling=sampling)
        candidates.append([answer.text for answer in answers])
    judge = judge_named(responses.judge, answering.checker) if responses.judge else None
    coin = seeded_random(answering.seed, "judged equal", plan.info.name)
    drawn, counts = on_policy_pairs(pairs, list(zip(*candidates, strict=True)), responses, judge, coin)
    session.describe(counts={f"{plan.info.name}.{name}": number for name, number in counts.items()})
    return drawn
