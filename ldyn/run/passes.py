"""How often sampled answers to the probe questions are right: ``passes.parquet``, from which pass@k follows.

Of n answers to a question c are right; pass@k = 1 − C(n − c, k) / C(n, k), unbiased for k ≤ n (Chen et al. 2021, arXiv
2107.03374).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import pandas as pd
from transformers import PreTrainedModel

from ldyn.answers.generation import Answer, Decoding, answer_prompts
from ldyn.answers.rewards import find_reward
from ldyn.answers.settings import FACTS
from ldyn.config.schema import RunConfig
from ldyn.models.evaluation import unwrapped
from ldyn.probes.engine import TokenBudget
from ldyn.probes.scorer import score_probes
from ldyn.processes.group import from_main
from ldyn.records import EncodedProbeExample, ProbeScore, StageInfo
from ldyn.run.probing import ScheduledProbes
from ldyn.run.session import Session

if TYPE_CHECKING:
    from ldyn.run.preparation import Prepared

PASSES_TABLE = "passes"
COLUMNS = ("stage", "step", "split", "example_id", "samples", "correct", "entropy")
BATCH_SIZE = 256


class PassProbes(ScheduledProbes):
    """Samples answers to every probe question at the probe steps of one stage, with the same random numbers at each.

    A row for each question: samples, correct (how many are right), entropy (mean over their tokens, in nats).
    """

    def __init__(
        self, session: Session, stage: StageInfo, steps: Collection[int], config: RunConfig, prepared: Prepared
    ):
        super().__init__(session, stage.name, steps)
        assert config.passes is not None
        self._start = stage.start
        self._config, self._questions = config.passes, prepared.encoded
        self._tokenizer = prepared.base.tokenizer
        self._how = Decoding(config.passes.max_new_tokens, prepared.answering.sampling("passes"), batch_size=BATCH_SIZE)
        self._reward = find_reward(FACTS, prepared.data.checker, {})
        self._budget = TokenBudget(config.probes.token_budget)

    def on_log(self, *args: Any, **kwargs: Any) -> None:
        """The probes of the stage store the log."""

    def measure(self, model: PreTrainedModel, step: int) -> None:
        """The main process samples; all score, as the scorer divides responses over them."""
        rows = from_main(self._rows_of_start) if step == 0 else None
        rows = self._sampled(model) if rows is None else rows
        self._session.append_to_table(PASSES_TABLE, rows.assign(stage=self._stage, step=step)[list(COLUMNS)])

    def _rows_of_start(self) -> pd.DataFrame | None:
        """What was measured of these weights, with the same random numbers, at the end of the stage they are from."""
        file = self._session.path / f"{PASSES_TABLE}.parquet"
        measured = pd.read_parquet(file) if file.exists() else pd.DataFrame(columns=list(COLUMNS))
        rows = measured[measured["stage"] == self._start]
        return rows[rows["step"] == rows["step"].max()] if len(rows) else None

    def _sampled(self, model: PreTrainedModel) -> pd.DataFrame:
        n, questions = self._config.samples, self._questions
        prompts = [one.prompt_ids for one in questions for _ in range(n)]
        answers = from_main(lambda: answer_prompts(unwrapped(model), self._tokenizer, prompts, self._how))
        groups = [answers[start : start + n] for start in range(0, len(answers), n)]
        pairs = list(zip(questions, groups, strict=True))
        asked = [
            replace(one, responses={str(number): answer.token_ids for number, answer in enumerate(group)})
            for one, group in pairs
        ]
        scores = iter(score_probes(model, asked, token_budget=self._budget, pad_id=int(self._tokenizer.pad_token_id)))
        return pd.DataFrame([self._row(*pair, list(islice(scores, n))) for pair in pairs], columns=list(COLUMNS[2:]))

    def _row(
        self, question: EncodedProbeExample, answers: Sequence[Answer], scores: Sequence[ProbeScore]
    ) -> tuple[str, str, int, int, float]:
        """The row of a question behind stage and step."""
        ids, texts = [question.example_id] * len(answers), [answer.text for answer in answers]
        rewards = self._reward(ids, texts, [answer.token_ids for answer in answers])
        tokens = sum(score.n_tokens for score in scores)
        entropy = sum(score.entropy * score.n_tokens for score in scores) / tokens
        return question.split, question.example_id, len(answers), int(sum(rewards)), entropy
