"""The cost of a training step: TRL's own trainers beside ours, on the same model, rows and loss, without probing."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from ldyn.algorithms import ALGORITHMS, algorithm_parameters
from ldyn.bench.probes import MatrixTask, needed_operations
from ldyn.bench.processes import in_turns, machine, synchronise
from ldyn.bench.settings import BenchConfig
from ldyn.data.encoder import Encoder
from ldyn.data.sources import load_data
from ldyn.models.base import BaseModel
from ldyn.models.loading import load_base
from ldyn.records import EncodedPair, EncodedProbeExample, StageInfo
from ldyn.training.arguments import common_arguments
from ldyn.training.batches import pairwise_rows, pointwise_rows
from ldyn.training.plan import StagePlan
from ldyn.training.stage import make_trainer

Pairs = Sequence[EncodedPair]
Arguments = dict[str, Any]


class TokenisedDPOTrainer(DPOTrainer):
    """TRL's, with rows that are tokenised already: otherwise its tokens would not be ours."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def trl_sft(plan: StagePlan, base: BaseModel, pairs: Pairs, arguments: Arguments) -> Trainer:
    """TRL's SFTTrainer: the mean over the tokens of the batch."""
    settings = SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True})
    rows = pointwise_rows(pairs, plan.info.view)
    return SFTTrainer(base.model, settings, train_dataset=rows, processing_class=base.tokenizer)


def trl_dpo(plan: StagePlan, base: BaseModel, pairs: Pairs, arguments: Arguments, *, upfront: bool = False) -> Trainer:
    """TRL's DPOTrainer; the reference scores each batch again, or all rows once before the first step."""
    settings = DPOConfig(**arguments, beta=plan.parameters["beta"], precompute_ref_log_probs=upfront)
    rows, reference = pairwise_rows(pairs), copy.deepcopy(base.model)
    return TokenisedDPOTrainer(base.model, reference, settings, train_dataset=rows, processing_class=base.tokenizer)


def ours(plan: StagePlan, base: BaseModel, pairs: Pairs, arguments: Arguments) -> Trainer:
    directory, seed = Path(arguments["output_dir"]), arguments["seed"]
    return make_trainer(plan, base.model, base.tokenizer, pairs, directory=directory, seed=seed)


def padded(plan: StagePlan, base: BaseModel, pairs: Pairs, arguments: Arguments) -> Trainer:
    return ours(replace(plan, trainer=replace(plan.trainer, batching="padded")), base, pairs, arguments)


TRAINING_METHODS: dict[str, dict[str, Callable[..., Trainer]]] = {
    "sft_token_mean": {"trl": trl_sft, "padded": padded, "ours": ours},
    "dpo": {"trl": trl_dpo, "trl_precomputed": partial(trl_dpo, upfront=True), "padded": padded, "ours": ours},
}
"""By algorithm: those whose loss TRL has as well, so that the same updates are timed."""


class TrainingTask(TrainerCallback):
    """Trains the steps of one turn at each call; the model continues from where it was."""

    def __init__(self, config: BenchConfig, name: str):
        self._directory = tempfile.TemporaryDirectory(prefix="ldyn-bench-")
        self._warm_up = config.bench.warm_up
        data = load_data(config.dataset, config.seed)
        base = load_base(config.model, corpus=data.corpus, seed=config.seed, cache_dir=config.cache)
        pairs = Encoder(base.tokenizer, config.dataset.encoding).pairs(data.pairs)
        steps = self._warm_up + config.bench.steps
        # One row of the log, at the end: residual norms are computed for a row alone.
        settings = replace(config.trainer, max_steps=steps, epochs=None, checkpoint_every=10**9, log_every=steps)
        algorithm = ALGORITHMS[str(config.algorithm["name"])]
        view = ("chosen",) if algorithm.kind == "pointwise" else ("chosen", "rejected")
        info = StageInfo("bench", algorithm.name, algorithm.kind, view, "base")
        directory = Path(self._directory.name)
        plan = StagePlan(info, algorithm, algorithm_parameters(config.algorithm), settings)
        arguments = {**common_arguments(settings, directory, config.seed), "save_strategy": "no"}
        rows = [(pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)[: 1 + len(view)] for pair in pairs]
        started = time.perf_counter()
        self._trainer = TRAINING_METHODS[algorithm.name][name](plan, base, pairs, arguments)
        setup_seconds = time.perf_counter() - started
        examples = [
            EncodedProbeExample("", str(n), prompt, dict(zip(view, responses, strict=True)))
            for n, (prompt, *responses) in enumerate(rows)
        ]
        products, attention = needed_operations(examples, base.model)
        tokens = sum(len(ids) for row in rows for ids in row)
        self.ready = {
            "setup_seconds": setup_seconds,
            "operations_per_token": 3
            * (products.total() + attention)
            / tokens,  # a backward pass takes twice a forward
            "parameters": base.model.num_parameters(),
            "pairs": len(pairs),
            "tokens_needed": settings.batch_size * tokens / len(pairs),
            "machine": machine(self._trainer.args.device),
        }
        self._trainer.remove_callback(PrinterCallback)
        self._trainer.add_callback(self)
        base.model.get_input_embeddings().register_forward_hook(self._count)

    def _count(self, _: Any, inputs: tuple[Tensor], __: Any) -> None:
        self._tokens += inputs[0].numel()

    def __call__(self) -> tuple[list[float], float, float]:
        """Seconds of each step, from the end of one to the end of the next, the mean loss, and tokens of a step."""
        self._ends: list[float] = []
        self._tokens = 0
        self._trainer.train()
        losses = [row["loss"] for row in self._trainer.state.log_history if "loss" in row]
        seconds = [after - before for before, after in pairwise(self._ends[self._warm_up :])]
        return seconds, losses[-1], self._tokens / len(self._ends)

    def on_step_end(self, args: Any, *_: Any, **kwargs: Any) -> None:
        synchronise(args.device)
        self._ends.append(time.perf_counter())


def measure_training(config: BenchConfig) -> dict[str, Any]:
    """Make every method's trainer, then let the methods take turns; the figures of all."""
    wanted = ("trl", "ours", *config.bench.methods)
    methods = [name for name in TRAINING_METHODS[str(config.algorithm["name"])] if name in wanted]
    tasks: dict[str, tuple[Any, ...]] = {name: (TrainingTask, config, name) for name in methods}
    ready, turns = in_turns(tasks | {"products": (MatrixTask, config)}, config.bench)
    rate, _ = median(turns.pop("products")), ready.pop("products")
    setup_seconds = {name: of.pop("setup_seconds") for name, of in ready.items()}
    about = {"algorithm": dict(config.algorithm), "model": getattr(config.model, "name_or_path", "tiny")}
    return (
        summarise(setup_seconds, turns, ready["ours"].pop("operations_per_token") / rate) | about | dict(ready["ours"])
    )


def summarise(
    setup_seconds: Mapping[str, float], turns: Mapping[str, list[Any]], seconds_per_token: float
) -> dict[str, Any]:
    """Medians over all steps of all turns, by method; ``time_vs_trl`` below 1 means that ours is faster.

    seconds_per_token: of a token's operations at the rate of bare matrix products. matmul_share: what they would take
    of a step for the tokens that ours computes, which are hardly more than those needed.
    """
    step = {name: median(second for seconds, *_ in of for second in seconds) for name, of in turns.items()}
    at_full_rate = seconds_per_token * median(tokens for *_, tokens in turns["ours"])
    losses = {name: of[-1][1] for name, of in turns.items()}
    return {
        "time_vs_trl": step["ours"] / step["trl"],
        "max_relative_loss_difference": (max(losses.values()) - min(losses.values())) / max(map(abs, losses.values())),
        "methods": {
            name: {
                "seconds_per_step": step[name],
                "time_vs_trl": step[name] / step["trl"],
                "matmul_share": at_full_rate / step[name],
                "setup_seconds": setup_seconds[name],
                "seconds": [seconds for seconds, *_ in of],
                "tokens_computed": median(tokens for *_, tokens in of),
                "loss": losses[name],
            }
            for name, of in turns.items()
        },
    }
