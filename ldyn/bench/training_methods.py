"""Ways to train one stage that are compared: TRL's own trainers and losses, and ours on the same rows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, Trainer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from ldyn.algorithms import ALGORITHMS, algorithm_parameters
from ldyn.bench.settings import TrainBenchConfig
from ldyn.records import EncodedPair, StageInfo
from ldyn.training.batches import pairwise_rows, pointwise_rows
from ldyn.training.stage import StagePlan, make_trainer
from ldyn.training.trainers import common_arguments


@dataclass(frozen=True)
class TrainingSetup:
    """What all methods train on: the same model, rows and settings. ``directory`` is theirs to write in."""

    config: TrainBenchConfig
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    pairs: Sequence[EncodedPair]
    directory: Path

    @property
    def arguments(self) -> dict[str, Any]:
        """TRL's arguments for the settings, without checkpoints."""
        arguments = common_arguments(self.config.trainer, self.directory, self.config.seed)
        return {**arguments, "max_steps": self.config.bench.all_steps, "save_strategy": "no"}


Make = Callable[[TrainingSetup], Trainer]


@dataclass(frozen=True, slots=True)
class TrainingMethod:
    """label: for a reader. make: everything that comes before the first step, the reference's log-probs included."""

    label: str
    make: Make


class TokenisedDPOTrainer(DPOTrainer):
    """TRL's, with rows that are tokenised already: otherwise its tokens would not be ours."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def trl_sft(setup: TrainingSetup) -> Trainer:
    """TRL's SFTTrainer: the mean over the tokens of the batch."""
    rows = pointwise_rows(setup.pairs, ("chosen",))
    arguments = SFTConfig(**setup.arguments, dataset_kwargs={"skip_prepare_dataset": True})
    return SFTTrainer(setup.model, args=arguments, train_dataset=rows, processing_class=setup.tokenizer)


def trl_dpo(setup: TrainingSetup) -> Trainer:
    """TRL's DPOTrainer, with a copy of the model as the reference, which sees every batch."""
    return _trl_dpo(setup, copy.deepcopy(setup.model), precompute=False)


def trl_dpo_precomputed(setup: TrainingSetup) -> Trainer:
    """The same, with the reference's log-probs computed before the first step."""
    return _trl_dpo(setup, copy.deepcopy(setup.model), precompute=True)


def _trl_dpo(setup: TrainingSetup, reference: PreTrainedModel, *, precompute: bool) -> Trainer:
    beta = float(setup.config.algorithm.get("beta", 0.1))
    arguments = DPOConfig(**setup.arguments, beta=beta, precompute_ref_log_probs=precompute)
    return TokenisedDPOTrainer(
        setup.model,
        ref_model=reference,
        args=arguments,
        train_dataset=pairwise_rows(setup.pairs),
        processing_class=setup.tokenizer,
    )


def ours(setup: TrainingSetup) -> Trainer:
    """As a run trains a stage; reference log-probs lie in the cache under ``directory`` once they were computed."""
    settings = setup.config.algorithm
    algorithm = ALGORITHMS[str(settings["name"])]
    view = ("chosen",) if algorithm.kind == "pointwise" else ("chosen", "rejected")
    info = StageInfo("bench", algorithm.name, algorithm.kind, view, "base")
    trainer = replace(setup.config.trainer, max_steps=setup.config.bench.all_steps, epochs=None, checkpoint_every=10**9)
    plan = StagePlan(info, algorithm, algorithm_parameters(settings), trainer, setup.directory / "cache")
    return make_trainer(
        plan, setup.model, setup.tokenizer, setup.pairs, directory=setup.directory, seed=setup.config.seed
    )


PLAIN, OURS = "trl", "ours"

TRAINING_METHODS: dict[str, dict[str, TrainingMethod]] = {
    "sft_token_mean": {PLAIN: TrainingMethod("TRL", trl_sft), OURS: TrainingMethod("ours", ours)},
    "dpo": {
        PLAIN: TrainingMethod("TRL", trl_dpo),
        "trl_precomputed": TrainingMethod("TRL, reference precomputed", trl_dpo_precomputed),
        OURS: TrainingMethod("ours", ours),
    },
}
"""By algorithm: those whose loss TRL has as well, so that the same updates are timed."""


def made(method: TrainingMethod, setup: TrainingSetup) -> Trainer:
    """The method's trainer, which prints nothing."""
    trainer = method.make(setup)
    trainer.remove_callback(PrinterCallback)
    return trainer
