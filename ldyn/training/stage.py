"""One stage: an algorithm on a view of the pairs, from given weights to new ones, with scoring on a schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    set_seed,
)

from ldyn.algorithms import Algorithm
from ldyn.errors import TrainingError
from ldyn.models.evaluation import is_sharded
from ldyn.models.packed_forward import warn_once, why_plain
from ldyn.probes.schedule import ScheduleConfig, scheduled_steps
from ldyn.processes.group import from_main, highest_of_all, in_main
from ldyn.processes.signals import StopRequest
from ldyn.records import EncodedPair, ProbeStep, StageInfo
from ldyn.training.adapters import with_adapters
from ldyn.training.batches import (
    Layout,
    PartCollator,
    pairwise_documents,
    pairwise_rows,
    pointwise_documents,
    pointwise_rows,
)
from ldyn.training.checkpoints import (
    claim_directory,
    keep_snapshot,
    last_complete_checkpoint,
    snapshot_directory,
    stage_identity,
)
from ldyn.training.reference import check_pairs, reference_logps
from ldyn.training.settings import TrainerConfig
from ldyn.training.trainers import AlgorithmTrainer, PairwiseTrainer, PointwiseTrainer

# Tokens of one packed forward pass under trainer.token_budget=auto: enough work for the device, little memory.
CPU_TOKENS, ACCELERATOR_TOKENS = 2048, 8192


@dataclass(frozen=True)
class StagePlan:
    """A stage as configured. ``cache_dir`` keeps reference log-probs between runs; None for no cache."""

    info: StageInfo
    algorithm: Algorithm
    parameters: Mapping[str, float]
    trainer: TrainerConfig
    cache_dir: Path | None = None


@dataclass(frozen=True)
class StageLength:
    """How many examples a stage has and how many updates it makes."""

    examples: int
    examples_per_step: int
    total_steps: int

    @classmethod
    def of(cls, plan: StagePlan, pairs: int) -> StageLength:
        examples = pairs * len(plan.info.view) if plan.info.kind == "pointwise" else pairs
        batch_size = plan.trainer.batch_size  # of all processes together
        one_epoch = math.ceil(examples / batch_size)
        total = plan.trainer.max_steps or math.ceil(plan.trainer.epochs * one_epoch)  # type: ignore[operator]
        return cls(examples, batch_size, total)

    @property
    def steps_per_epoch(self) -> int:
        """The last one of an epoch may have fewer examples."""
        return math.ceil(self.examples / self.examples_per_step)

    def scheduled(self, schedule: ScheduleConfig) -> tuple[int, ...]:
        """The steps of the schedule in this stage, from 0 to the last."""
        return scheduled_steps(self.total_steps, schedule, self.steps_per_epoch)

    def probe_step(self, info: StageInfo, step: int) -> ProbeStep:
        """The examples seen and the epoch after ``step`` updates; the last batch of an epoch may be smaller."""
        epochs, rest = divmod(step, self.steps_per_epoch)
        seen = epochs * self.examples + rest * self.examples_per_step
        return ProbeStep(info.name, info.algorithm, step, seen, seen / self.examples)


class StageCallback(TrainerCallback):
    """Schedules scoring, logging and snapshots, and turns a stop request into a checkpoint."""

    def __init__(
        self, observe: StageObservers, probe_steps: Collection[int], snapshot_steps: Collection[int], stop: StopRequest
    ):
        self.observe, self.stop = observe, stop
        self.probe_steps, self.snapshot_steps = frozenset(probe_steps), frozenset(snapshot_steps)

    def on_train_begin(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel | None = None,
        **kwargs: Any,
    ) -> None:
        """The model is on its device and sharded by now, so step 0 is scored as the other steps are."""
        if args.fsdp and model is not None and not is_sharded(model):
            raise TrainingError(
                "trainer.parallel=fsdp: the weights are not sharded, as accelerate uses DDP on this device. Use "
                "trainer.parallel=ddp."
            )
        if state.global_step == 0 and 0 in self.probe_steps:
            self.observe.probe(model, 0)
        if not snapshot_directory(Path(args.output_dir), state.global_step).exists():
            self.on_save(args, state, control)  # the run may have been killed between checkpoint and snapshot

    def on_step_end(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel | None = None,
        **kwargs: Any,
    ) -> None:
        if state.global_step in self.probe_steps:
            self.observe.probe(model, state.global_step)
        if state.global_step in self.snapshot_steps:
            control.should_save = True
        if self.stop.agree_on(highest_of_all(self.stop.weight, args.device)):  # all stop after the same step
            control.should_save = True
            control.should_training_stop = True
        self._commit_before_saving(control)

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs and "loss" in logs:
            self.observe.log(state.global_step, logs)
        self._commit_before_saving(control)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step in self.snapshot_steps:
            in_main(lambda: keep_snapshot(Path(args.output_dir), state.global_step))

    def _commit_before_saving(self, control: TrainerControl) -> None:
        """The Trainer ends a step, logs, then saves: the log on the disk is never behind a checkpoint."""
        if control.should_save:
            self.observe.commit()


@dataclass(frozen=True)
class StageObservers:
    """``probe(model, step)`` scores; ``log(step, metrics)`` takes a row of the training log.

    ``commit()`` is called before every checkpoint and at the end: it must write what was logged to the disk.
    """

    probe: Callable[[Any, int], None]
    log: Callable[[int, Mapping[str, float]], None]
    commit: Callable[[], None]


def train_stage(
    plan: StagePlan,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[EncodedPair],
    *,
    directory: Path,
    seed: int,
    probe_steps: Collection[int],
    observe: StageObservers,
    stop: StopRequest,
) -> Path:
    """Train ``model`` in place and return the directory of its final weights; every process of the run must call.

    Continues from the last intact checkpoint in ``directory`` if there is one. Raises ``Interrupted`` after saving a
    checkpoint when a stop was requested, ``TrainingError`` on a loss that is not finite or a checkpoint of another
    stage, ``RunDirectoryError`` where a checkpoint cannot be written.
    """
    checkpoint = from_main(lambda: last_complete_checkpoint(directory))
    identity = stage_identity(plan, model, pairs, seed)
    in_main(lambda: claim_directory(directory, identity, checkpoint))
    trainer = make_trainer(plan, model, tokenizer, pairs, directory=directory, seed=seed)
    trainer.add_callback(StageCallback(observe, probe_steps, _snapshot_steps(plan, len(pairs)), stop))
    stop.graceful = True
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint[0]) if checkpoint else None)
    finally:
        stop.graceful = False
        observe.commit()
    if stop.signal_number is not None:
        raise stop.interrupted()
    return trainer.save_final(tokenizer)


def _snapshot_steps(plan: StagePlan, pairs: int) -> tuple[int, ...]:
    """Step 0 needs none: those are the weights that the stage starts from."""
    schedule = plan.trainer.snapshots
    return StageLength.of(plan, pairs).scheduled(schedule)[1:] if schedule else ()


def make_trainer(
    plan: StagePlan,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[EncodedPair],
    *,
    directory: Path,
    seed: int,
) -> AlgorithmTrainer:
    """The trainer for the plan's kind of loss. Raises ModelError or DataError for pairs that the model cannot take."""
    check_pairs(model, pairs)
    layout, precision = _layout(plan.trainer, model, tokenizer, pairs), plan.trainer.precision
    trainer_class: type[AlgorithmTrainer]
    if plan.algorithm.kind == "pointwise":
        trainer_class, rows, documents = PointwiseTrainer, pointwise_rows(pairs, plan.info.view), pointwise_documents
    else:
        references = reference_logps(
            model, tokenizer, pairs, precision=precision, layout=layout, cache_dir=plan.cache_dir
        )
        trainer_class, rows, documents = PairwiseTrainer, pairwise_rows(pairs, references), pairwise_documents
    if plan.trainer.lora is not None:
        set_seed(seed)  # of A
        model = with_adapters(model, plan.trainer.lora)
    trainer = trainer_class(
        plan.algorithm,
        plan.parameters,
        plan.trainer,
        model=model,
        tokenizer=tokenizer,
        rows=rows,
        output_dir=directory,
        seed=seed,
        collate=PartCollator(documents, layout),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _layout(
    settings: TrainerConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[EncodedPair]
) -> Layout:
    """Packed where the settings and the model allow it; warns, once, where the model does not."""
    plain = settings.batching == "padded"
    longest = max(len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids)) for pair in pairs)
    if not plain and (reason := why_plain(model, longest)):
        warn_once(f"Training batches are padded, which takes longer and gives the same losses: {reason}.")
        plain = True
    automatic = ACCELERATOR_TOKENS if torch.cuda.is_available() else CPU_TOKENS
    tokens = automatic if settings.token_budget == "auto" else settings.token_budget
    return Layout(int(tokenizer.pad_token_id), model.config.get_text_config().hidden_size, plain, tokens)
