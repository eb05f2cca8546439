"""What a stage trains on: the pairs of the data, or pairs with answers drawn from the weights it starts from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ldyn.answers.answers import answer_prompts
from ldyn.answers.judges import judge_named
from ldyn.answers.on_policy import on_policy_pairs
from ldyn.answers.settings import ResponsesConfig
from ldyn.data.seeding import seeded_random
from ldyn.errors import RunDirectoryError
from ldyn.models.base import BaseModel
from ldyn.processes.group import in_main
from ldyn.records import EncodedPair, PreferencePair, Turn
from ldyn.run.samples import Answering
from ldyn.run.session import Session
from ldyn.run.stages import stage_weights
from ldyn.store.files import write_atomically
from ldyn.training.stage import StagePlan

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
