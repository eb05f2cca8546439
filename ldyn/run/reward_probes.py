"""Probes of a reward model: it has no log-probs of responses, so its rewards go into a table of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from ldyn.models.evaluation import evaluation_mode
from ldyn.records import EncodedProbeExample
from ldyn.run.probing import ScheduledProbes
from ldyn.run.session import Session

TABLE = "rewards"


def is_reward_model(model: Any) -> bool:
    """Whether the model gives one number for a text."""
    return type(model).__name__.endswith("ForSequenceClassification") and model.config.num_labels == 1


class RewardProbes(ScheduledProbes):
    """Scores r(x, y) of each probe response into ``rewards.parquet``: stage, step, split, example_id, probe, reward."""

    def __init__(self, session: Session, stage: str, examples: Sequence[EncodedProbeExample], steps: Sequence[int]):
        super().__init__(session, stage, steps)
        self._examples = examples

    def measure(self, model: Any, step: int) -> None:
        """One sequence at a time, as padding would meet heads that find the last token by the padding token."""
        with evaluation_mode(model):
            rows = [
                (self._stage, step, one.split, one.example_id, probe, self._reward(model, (*one.prompt_ids, *response)))
                for one in self._examples
                for probe, response in one.responses.items()
            ]
        names = ["stage", "step", "split", "example_id", "probe", "reward"]
        self._session.append_to_table(TABLE, pd.DataFrame(rows, columns=names))

    def _reward(self, model: Any, ids: tuple[int, ...]) -> float:
        return float(model(input_ids=torch.tensor([ids], device=model.device)).logits.float().flatten()[0])
