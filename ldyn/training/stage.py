"""One stage: an algorithm on a view of the pairs, from given weights to new ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)

from ldyn.errors import DataError, ModelError
from ldyn.models.base import max_positions, too_long
from ldyn.models.packed_forward import rule_size, warn_once, why_plain
from ldyn.processes.group import from_main, in_main
from ldyn.processes.signals import StopRequest
from ldyn.records import EncodedPair
from ldyn.training.adapters import with_adapters
from ldyn.training.batches import Layout, pairwise_rows, pointwise_rows
from ldyn.training.checkpoints import CheckpointCallback, drop_checkpoints_after, last_complete_checkpoint
from ldyn.training.plan import Rollouts, StageLength, StagePlan
from ldyn.training.reference import check_pairs, reference_logps
from ldyn.training.settings import TrainerConfig
from ldyn.training.stage_trainer import StageTrainer
from ldyn.training.trainers import AlgorithmTrainer

if TYPE_CHECKING:
    from ldyn.training.grpo import GroupTrainer

# Tokens of one packed forward pass under trainer.token_budget=auto: enough work for the device, little memory.
CPU_TOKENS, ACCELERATOR_TOKENS = 2048, 8192
HALF = (torch.bfloat16, torch.float16)


def train_stage(
    plan: StagePlan,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: Sequence[EncodedPair] | Rollouts,
    *,
    directory: Path,
    seed: int,
    stop: StopRequest,
    callbacks: Sequence[TrainerCallback] = (),
    before_saving: Callable[[], None] = lambda: None,
) -> Path:
    """Train ``model`` in place and return the directory of its final weights; every process of the run must call.

    ``data``: pairs, or of a groupwise stage what it samples. ``before_saving`` is called before every checkpoint and at
    the end, also after an error.
    Continues from the last intact checkpoint in ``directory`` if there is one. Raises ``Interrupted`` after saving a
    checkpoint when a stop was requested, ``TrainingError`` on a loss that is not finite, ``RunDirectoryError`` where a
    checkpoint cannot be written.
    """
    checkpoint = from_main(lambda: last_complete_checkpoint(directory))
    in_main(lambda: drop_checkpoints_after(directory, checkpoint[1] if checkpoint else -1))
    if isinstance(data, Rollouts):
        pairs = data.pairs
        trainer: StageTrainer = make_group_trainer(plan, model, tokenizer, data, directory=directory, seed=seed)
    else:
        pairs = data
        trainer = make_trainer(plan, model, tokenizer, pairs, directory=directory, seed=seed)
    schedule = plan.trainer.snapshots
    # Step 0 needs no snapshot: those are the weights that the stage starts from.
    snapshots = StageLength.of(plan, len(pairs)).scheduled(schedule)[1:] if schedule else ()
    for callback in (*callbacks, CheckpointCallback(snapshots, stop, before_saving)):
        trainer.add_callback(callback)
    stop.graceful = True
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint[0]) if checkpoint else None)
    finally:
        stop.graceful = False
        before_saving()
    if stop.signal_number is not None:
        raise stop.interrupted()
    return trainer.save_final(tokenizer)


def make_trainer(
    plan: StagePlan,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[EncodedPair],
    *,
    directory: Path,
    seed: int,
) -> AlgorithmTrainer:
    """The trainer of the plan. Raises ModelError for 16-bit weights, it or DataError for pairs that do not fit."""
    _check_weights(model)
    check_pairs(model, pairs)
    layout = _layout(plan.trainer, model, tokenizer, pairs)
    if plan.algorithm.kind == "pointwise":
        rows = pointwise_rows(pairs, plan.info.view)
    else:
        rows = pairwise_rows(pairs, reference_logps(model, pairs, precision=plan.trainer.precision, layout=layout))
    model = _adapted(plan, model, seed)
    trainer = AlgorithmTrainer(plan, model, tokenizer, rows, layout, output_dir=directory, seed=seed)
    trainer.remove_callback(PrinterCallback)
    return trainer


def make_group_trainer(
    plan: StagePlan,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rollouts: Rollouts,
    *,
    directory: Path,
    seed: int,
) -> GroupTrainer:
    """The trainer of a groupwise plan. Raises as ``make_trainer``, and DataError where answers have no room."""
    from ldyn.training.grpo import GroupTrainer  # its import of TRL takes a second

    _check_weights(model)
    check_pairs(model, rollouts.pairs)
    longest = max(len(pair.prompt_ids) for pair in rollouts.pairs) + int(plan.parameters["max_new_tokens"])
    if longest > max_positions(model):
        raise DataError(f"algorithm.max_new_tokens: prompt and answer have {too_long(longest, max_positions(model))}.")
    model = _adapted(plan, model, seed)
    trainer = GroupTrainer(plan, model, tokenizer, rollouts, output_dir=directory, seed=seed)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _adapted(plan: StagePlan, model: PreTrainedModel, seed: int) -> PreTrainedModel:
    if plan.trainer.lora is None:
        return model
    set_seed(seed)  # of A
    return with_adapters(model, plan.trainer.lora)


def _check_weights(model: PreTrainedModel) -> None:
    """In 16 bits an update below the spacing of numbers is lost: at 5e-7 all but 1 % of bfloat16 weights stay."""
    half = {str(one.dtype).removeprefix("torch.") for one in model.parameters() if one.dtype in HALF}
    if half:
        raise ModelError(
            f"Found {' and '.join(sorted(half))} weights in the {type(model).__name__}, expected float32, as updates "
            "are lost in 16 bits. Load it with dtype=torch.float32; for 16-bit arithmetic set trainer.precision=bf16."
        )


def _layout(
    settings: TrainerConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[EncodedPair]
) -> Layout:
    """Packed where the settings and the model allow it; warns, once, where the model does not."""
    plain = settings.batching == "padded"
    longest = max(len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids)) for pair in pairs)
    if not plain and (reason := why_plain(model, longest)):
        warn_once(f"Training batches are padded, which takes longer and gives the same losses: {reason}.")
        plain = True
    return Layout(int(tokenizer.pad_token_id), rule_size(model), plain, tokens_of_a_pass(settings))


def tokens_of_a_pass(settings: TrainerConfig) -> int:
    automatic = ACCELERATOR_TOKENS if torch.cuda.is_available() else CPU_TOKENS
    return automatic if settings.token_budget == "auto" else settings.token_budget
