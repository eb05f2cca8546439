"""Answers of the run's own models: as probes, as training pairs of on-policy stages, and as samples of every stage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.answers.comparison import GivenAnswer
from ldyn.answers.generation import Answer, Decoding, Sampling, answer_prompts
from ldyn.answers.judges import Scorer, checked_answer, find_scorer
from ldyn.answers.samples import SamplePrompt, sample_prompts, sample_rows
from ldyn.answers.settings import ResponsesConfig
from ldyn.config.schema import RunConfig, SamplesConfig
from ldyn.data.encoder import Encoder
from ldyn.data.seeding import seeded_random
from ldyn.errors import RunDirectoryError
from ldyn.processes.group import in_main
from ldyn.records import AnswerChecker, EncodedPair, PreferencePair, ProbeExample, Turn
from ldyn.run.session import Session
from ldyn.store.files import json_lines, write_atomically
from ldyn.training.checkpoints import start_weights
from ldyn.training.plan import StagePlan

if TYPE_CHECKING:
    from ldyn.run.preparation import Prepared

REPHRASE_TRIES = 8
"""Sampled answers of the base among which a rephrase of the chosen answer is searched, for each question."""
PAIRS_FILE = "pairs.jsonl"


@dataclass(frozen=True)
class Answering:
    """How prompts are answered in this run."""

    tokenizer: PreTrainedTokenizerBase
    encoder: Encoder
    checker: AnswerChecker | None
    settings: SamplesConfig
    seed: int

    def sampling(self, *purpose: str) -> Sampling:
        """Sample from the model itself, with separate random numbers for each purpose."""
        return Sampling(seed=seeded_random(self.seed, *purpose).getrandbits(31))

    def answers(
        self,
        model: PreTrainedModel,
        questions: Sequence[ProbeExample | PreferencePair],
        sampling: Sampling,
        max_new_tokens: int | None = None,
    ) -> list[Answer]:
        """One answer of the model to each question."""
        prompts = [self.encoder.prompt(question.prompt, question.turns) for question in questions]
        limit = max_new_tokens or self.settings.max_new_tokens
        return answer_prompts(model, self.tokenizer, prompts, Decoding(limit, sampling))

    def own_answers(self, model: PreTrainedModel, examples: Sequence[ProbeExample]) -> dict[str, Answer]:
        """Example id -> an answer sampled from the model, y_π ~ π(·|x)."""
        answers = self.answers(model, examples, self.sampling("own answer"))
        return {example.example_id: answer for example, answer in zip(examples, answers, strict=True)}

    def rephrases(self, model: PreTrainedModel, examples: Sequence[ProbeExample]) -> dict[str, Answer]:
        """Example id -> the first sampled answer that states the true fact in words other than the chosen ones.

        Only where the facts are known; an example without such an answer is not in the result.
        """
        if self.checker is None:
            return {}
        found: dict[str, Answer] = {}
        for attempt in range(REPHRASE_TRIES):
            open_ones = [example for example in examples if example.example_id not in found]
            answers = self.answers(model, open_ones, self.sampling("rephrase", str(attempt)))
            for example, answer in zip(open_ones, answers, strict=True):
                other_words = answer.text != example.responses["chosen"].strip()
                if answer.stopped and other_words and self.checker(example.example_id, answer.text).is_right:
                    found[example.example_id] = answer
        return found


# --------------------------------------------------------------------------------------------------------------
# Training pairs


def training_pairs(plan: StagePlan, config: RunConfig, prepared: Prepared, session: Session) -> list[EncodedPair]:
    """The encoded pairs of a stage: those of the data, or with answers sampled from the weights that it starts from.

    Sampled pairs are kept in ``checkpoints/<stage>/pairs.jsonl``, so a resumed stage trains on the same ones.
    """
    encoder = prepared.answering.encoder
    responses = config.stages[plan.info.name].responses
    if not responses.sampled:
        return encoder.pairs(prepared.data.pairs)
    path = session.stage_directory(plan.info.name) / PAIRS_FILE

    def sample_once() -> None:
        if not path.exists():
            with session.timed(f"answers for {plan.info.name}"):
                sampled = _sample_pairs(plan, responses, prepared, session)
            write_atomically(path, json_lines([asdict(pair) for pair in sampled]))

    in_main(sample_once)
    return encoder.pairs(sampled_pairs(path.parent))


def sampled_pairs(stage_directory: Path) -> list[PreferencePair]:
    """The pairs that an on-policy stage has sampled. Raises RunDirectoryError where it has none yet."""
    path = stage_directory / PAIRS_FILE
    if not path.exists():
        raise RunDirectoryError(f"There is no {path}, the pairs that this on-policy stage trains on. Train it first.")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [_pair(row) for row in rows]


def _pair(row: Mapping[str, Any]) -> PreferencePair:
    turns = tuple(Turn(*turn) for turn in row.get("turns", ()))
    sampled = {side: tuple(ids) for side, ids in row.get("sampled", {}).items()}
    return PreferencePair(**{**row, "turns": turns, "sampled": sampled})


def _sample_pairs(
    plan: StagePlan, responses: ResponsesConfig, prepared: Prepared, session: Session
) -> list[PreferencePair]:
    answering, pairs = prepared.answering, prepared.data.pairs
    model = start_weights(plan.info.start, prepared.base, session.stage_directory)
    sampling = replace(answering.sampling("on policy", plan.info.name), temperature=responses.temperature)
    n = responses.candidates
    asked = [pair for pair in pairs for _ in range(n)]
    answers = answering.answers(model, asked, sampling, responses.max_new_tokens)
    both = zip(asked, answers, strict=True)
    given = [checked_answer(answering.checker, pair.pair_id, answer) for pair, answer in both]
    candidates = [given[start : start + n] for start in range(0, len(given), n)]
    judge = find_scorer(responses.judge) if responses.judge else None
    coin = seeded_random(answering.seed, "judged equal", plan.info.name)
    sampled, counts = on_policy_pairs(pairs, candidates, responses, judge, coin)
    session.manifest.update(counts={f"{plan.info.name}.{name}": number for name, number in counts.items()})
    return sampled


def on_policy_pairs(
    pairs: Sequence[PreferencePair],
    answers: Sequence[Sequence[GivenAnswer]],
    config: ResponsesConfig,
    judge: Scorer | None,
    random: Random,
) -> tuple[list[PreferencePair], Counter[str]]:
    """The pairs with their sampled sides replaced, and counts; ``answers``: the candidates of each pair.

    Between equally good answers a coin decides ("judged_equal" counts the pairs whose best is no better than their
    worst). A pair of equal texts stays, without effect ("equal_answers"); a side whose answer is empty keeps the data's
    response ("empty_answers"), so that a round always has as many pairs as the data. An answer cut at the limit has no
    end token ("cut_answers"); with cut_answers=drop it is no candidate, and a pair without candidates stays the data's.
    """
    counts: Counter[str] = Counter()
    drawn = []
    for pair, own in zip(pairs, answers, strict=True):
        cut = [answer for answer in own if answer.stopped is False]
        counts["cut_answers"] += len(cut)
        candidates = [answer for answer in own if config.cut_answers == "keep" or answer not in cut]
        if judge is not None and candidates:
            scores = judge(pair.pair_id, candidates, pair.prompt)
            order = sorted(range(len(candidates)), key=lambda number: (-scores[number], random.random()))
            counts["judged_equal"] += scores[order[0]] == scores[order[-1]]
            candidates = [candidates[number] for number in order]
        drawn.append(_with_sides(pair, candidates, config, counts))
    counts["equal_answers"] = sum(pair.chosen.strip() == pair.rejected.strip() for pair in drawn)
    return drawn, counts


def _with_sides(
    pair: PreferencePair, ranked: Sequence[GivenAnswer], config: ResponsesConfig, counts: Counter[str]
) -> PreferencePair:
    """The best candidate as chosen and the worst as rejected, on the sides that are sampled."""
    sides = {"chosen": ranked[0], "rejected": ranked[-1]} if ranked else {}
    sides = {side: answer for side, answer in sides.items() if side in config.sampled}
    counts["empty_answers"] += sum(not answer.text.strip() for answer in sides.values())
    sides = {side: answer for side, answer in sides.items() if answer.text.strip()}
    texts = {"chosen": pair.chosen, "rejected": pair.rejected, **{side: one.text for side, one in sides.items()}}
    ids = {side: answer.token_ids for side, answer in sides.items()}
    return replace(pair, chosen=texts["chosen"], rejected=texts["rejected"], sampled=ids)


# --------------------------------------------------------------------------------------------------------------
# Samples


def write_samples(plans: Sequence[StagePlan], prepared: Prepared, session: Session) -> None:
    """samples.jsonl: greedy and sampled answers of the base and of every stage's last weights to the same questions."""
    answering = prepared.answering
    prompts = list[SamplePrompt]()
    for split, members in prepared.probes.examples.items():
        prompts += sample_prompts(split, members[: answering.settings.examples], answering.encoder)
    limit, checker = answering.settings.max_new_tokens, answering.checker
    rows = []
    for stage in ("base", *(plan.info.name for plan in plans)):
        model = start_weights(stage, prepared.base, session.stage_directory)
        for sampling in (None, answering.sampling("sample")):
            how = Decoding(limit, sampling)
            rows += sample_rows(model, answering.tokenizer, prompts, how, stage=stage, checker=checker)
    session.directory.write_text("samples.jsonl", json_lines(rows).decode())
