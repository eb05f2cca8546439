"""TRL's trainer driven by an ``Algorithm``: the loss is replaced, everything around it stays TRL's.

An update is the mean over its rows, divided over micro-batches and processes (``ldyn.training.batches``): each part
gives its own mean, weighted such that the mean over all parts is the mean over all rows. Both trainers are TRL's
``SFTTrainer`` with rows that ldyn's encoder has tokenised, so training and probes see the same tokens.
``PairwiseTrainer`` needs two numbers per pair instead of a reference model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from ldyn.algorithms import Algorithm, Responses
from ldyn.algorithms.coefficients import residual_values
from ldyn.errors import TrainingError
from ldyn.models.cache import write_checksums
from ldyn.processes.group import (
    any_process,
    highest_of_all,
    in_main,
    process_count,
    process_rank,
    rows_of_all,
    sum_over_processes,
    wait_for_all,
)
from ldyn.training.adapters import has_adapters, merged
from ldyn.training.arguments import common_arguments, disable_dropout
from ldyn.training.batches import REFERENCE_COLUMNS, Batch, PartCollator, StageBatches, StageLoader
from ldyn.training.checkpoints import checkpoint_written, final_directory, save_final
from ldyn.training.logps import TokenLogps, summaries, token_logps
from ldyn.training.settings import TrainerConfig


class AlgorithmTrainer(SFTTrainer):
    """Rows in, updates out. A subclass defines the loss of a part of a batch."""

    responses_per_row = 1
    loss_is_scaled_for_ga = False  # type: ignore[assignment] # a mean: the Trainer divides it by the number of parts

    def __init__(
        self,
        algorithm: Algorithm,
        parameters: Mapping[str, float],
        config: TrainerConfig,
        *,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        rows: Dataset,
        output_dir: Path,
        seed: int,
        collate: PartCollator,
    ) -> None:
        self.algorithm, self.parameters, self.policy = algorithm, parameters, model
        self._rows, self._directory = rows, output_dir
        self._bad_loss: float | None = None
        # Of the part that is being computed: how many of its rows count, and its weight; of the update: all its rows.
        self._part_rows: int | None = None
        self._weight, self._step_rows = 1.0, 1.0
        self._values: list[Tensor] = []  # of each part, [rows, columns]: what is known of each row, for the log
        self._columns: tuple[list[str], list[str]] = ([], [])
        disable_dropout(model)
        arguments = common_arguments(config, output_dir, seed)
        super().__init__(
            model=model,
            args=SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True}),
            train_dataset=rows,
            processing_class=tokenizer,
            data_collator=collate,
        )

    # ---- one update, in parts ----

    def get_train_dataloader(self) -> StageLoader:
        """The batches of this process; accelerate's own would repeat rows to fill the last one of an epoch."""
        size, seed = self.args.per_device_train_batch_size, self.args.seed
        rank, processes = process_rank(), process_count()
        batches = StageBatches(len(self._rows), micro_batch=size, rank=rank, processes=processes, seed=seed)
        return StageLoader(self._rows, batches, self.data_collator, pin_memory=torch.cuda.is_available())

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> Tensor:
        """Response tokens of the update; its rows are counted by the way, fillers excepted. Called once an update."""
        counted = [part for batch in batch_samples if batch["n_rows"] for part in batch["parts"]]
        own = [sum(part["n_rows"] for part in counted), sum(len(part["packed"].labels) for part in counted)]
        self._step_rows, tokens = sum_over_processes(own, device)
        return torch.tensor(tokens, device=device)

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Train on the parts of a micro-batch; processes exchange gradients after the last of them.

        Under FSDP each forward pass gathers weights: all processes need as many parts, and some repeat one in vain.
        """
        parts, is_filler = list(inputs["parts"]), not inputs["n_rows"]
        if self.is_fsdp_enabled:
            missing = highest_of_all(len(parts), self.args.device) - len(parts)
            parts += [{**parts[0], "n_rows": 0}] * missing
        losses = []
        for number, part in enumerate(parts, start=1):
            is_last = number == len(parts) or self.is_fsdp_enabled
            with nullcontext() if is_last else self.accelerator.no_sync(model):
                losses.append(self.train_part(model, {**part, "n_rows": 0} if is_filler else part, num_items_in_batch))
        return torch.stack(losses).sum()

    def train_part(self, model: nn.Module, part: Batch, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Weigh this part of the update by its rows: 1 where all parts have the same number, 0 for a filler."""
        self._part_rows = part["n_rows"]
        micro_batches = self.current_gradient_accumulation_steps * process_count()
        self._weight = self._part_rows * micro_batches / self._step_rows
        loss: Tensor = super().training_step(model, part, num_items_in_batch)
        return loss

    def _mean_length(self, lengths: Tensor, num_items_in_batch: Tensor | int | None) -> Tensor:
        """Tokens per response of the update."""
        if num_items_in_batch is None:
            return lengths.float().mean()
        responses = self._step_rows * self.responses_per_row
        return torch.as_tensor(num_items_in_batch, device=lengths.device) / responses

    def _finish(self, losses: Tensor, metrics: Mapping[str, Tensor], residuals: Mapping[str, Tensor]) -> Tensor:
        """What this part adds to the mean loss of the update.

        What else is known of each row, [B] each, goes to the log: metrics as their mean over the rows of the update,
        residuals with quantiles as well.
        """
        loss = losses.mean()
        if not torch.isfinite(loss):
            self._bad_loss = loss.item()
        columns = torch.stack([values.float() for values in (*metrics.values(), *residuals.values())], dim=1)
        self._values.append(columns[: self._part_rows])
        self._columns = (list(metrics), list(residuals))
        return loss * self._weight

    def _get_grad_norm(self, model: nn.Module, grad_norm: Tensor | float | None = None) -> Any:
        """Once an update, before the optimiser's step: refuse, in all processes, what is not finite; log the rest."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        is_bad = self._bad_loss is not None or not math.isfinite(norm)
        if any_process(is_bad, self.args.device):
            raise TrainingError(self._what_is_not_finite(float(norm)))
        self._log_values()
        return norm

    def _what_is_not_finite(self, norm: float) -> str:
        found = f"gradient norm is {norm}" if self._bad_loss is None else f"loss is {self._bad_loss}"
        return (
            f"In the batch after step {self.state.global_step} the {self.algorithm.name} {found}, expected a finite "
            "number. Nothing later is saved; resume from the last checkpoint with a smaller learning rate "
            "or a smaller max_grad_norm."
        )

    def _log_values(self) -> None:
        """Put the rows of the update, from all parts, into TRL's log, which averages between two log rows."""
        most = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        rows = rows_of_all(torch.cat(self._values), at_most=most)
        self._values.clear()
        for name, value in summaries(rows, *self._columns).items():
            self._metrics["train"][name].append(value)

    # ---- checkpoints ----

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Make no update where the checkpoint that the stage resumed from is its last: the Trainer would make one."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Load weights through ``from_pretrained``, which maps every name.

        The Trainer loads the raw file with ``strict=False``; where ``save_pretrained`` renames (GPT-NeoX writes
        ``lm_head`` as ``embed_out``), those weights would silently keep their initial values.
        """
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.is_fsdp_enabled or has_adapters(self.policy):  # both have files of their own, with their own names
            return
        saved = type(self.policy).from_pretrained(resume_from_checkpoint, dtype=self.policy.dtype)
        self.policy.load_state_dict(saved.state_dict())

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As the Trainer; then the main process adds checksums, which mark the checkpoint as complete."""
        directory = self._directory / f"checkpoint-{self.state.global_step}"
        with checkpoint_written(directory):
            super()._save_checkpoint(model, trial)
            wait_for_all()
            in_main(lambda: write_checksums(directory))

    def save_final(self, tokenizer: PreTrainedTokenizerBase) -> Path:
        """Save the last weights of the stage, adapters merged, and return their directory; every process must call."""
        weights = self.accelerator.get_state_dict(self.model) if self.is_fsdp_enabled else None
        in_main(lambda: save_final(merged(self.policy), weights, tokenizer, self._directory))
        return final_directory(self._directory)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No model card: the manifest describes what was trained."""


def rounding(logp: Tensor, lengths: Tensor, *, bf16: bool) -> Tensor:
    """How much of a response's log-prob [B] rounding explains: two passes over it in batches of other shapes.

    In fp32 it is relative to the sum; in bf16 each token's logits are rounded independently, so it grows as √|y|.
    """
    return 0.1 * lengths.sqrt() + 1e-3 * logp.abs() if bf16 else 1e-4 * (1 + logp.abs())


class ResponseTrainer(AlgorithmTrainer):
    """What both losses are functions of."""

    _is_deterministic: bool | None = None  # not known yet

    def _check_deterministic(self, model: nn.Module, inputs: Batch, tokens: TokenLogps) -> None:
        """Raise TrainingError in the first batch where a second pass gives other numbers, as with dropout."""
        if self._is_deterministic is None:
            with torch.no_grad():
                again = self._token_logps(model, inputs).sums
            sums = tokens.sums.detach()
            off = (again - sums).abs()
            self._is_deterministic = not (off > rounding(sums, tokens.lengths, bf16=self.args.bf16)).any()
            if not self._is_deterministic:
                raise TrainingError(
                    f"Two passes over the first batch differ by {off.max():.3g} nats: the model has randomness that "
                    "ldyn does not know how to turn off, for example dropout under an unusual name. Set it to 0 in the "
                    "model's config.json."
                )

    def _token_logps(self, model: nn.Module, inputs: Batch) -> TokenLogps:
        """Token log-probs of the batch, with residual norms where the step being made ends with a row of the log."""
        is_logged = (self.state.global_step + 1) % self.args.logging_steps == 0
        return token_logps(model, inputs["packed"], with_residuals=is_logged)

    def _responses(self, tokens: TokenLogps, mean_length: Tensor, reference_logp: Tensor | None = None) -> Responses:
        """What the loss sees."""
        progress = self.state.global_step / max(1, self.state.max_steps)  # max_steps is 0 outside of train()
        token_logps = tokens.logps.detach()
        return Responses(tokens.sums, tokens.lengths, mean_length, reference_logp, token_logps, tokens.mask, progress)

    def _residuals(self, tokens: Sequence[TokenLogps], responses: Sequence[Responses]) -> dict[str, Tensor]:
        """Residual coefficients and energies, in the steps that are logged."""
        norms = [side.residual_norms for side in tokens if side.residual_norms is not None]
        return residual_values(self.algorithm, self.parameters, responses, norms) if norms else {}


class PointwiseTrainer(ResponseTrainer):
    """Trains on responses one by one: rows of ``input_ids`` and ``labels`` (−100 on the prompt)."""

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        tokens = self._token_logps(model, inputs)
        self._check_deterministic(model, inputs, tokens)
        responses = self._responses(tokens, self._mean_length(tokens.lengths, num_items_in_batch))
        losses = self.algorithm.loss(responses, **self.parameters)
        metrics = {"logp_chosen": responses.logp.detach()}
        return self._finish(losses, metrics, self._residuals([tokens], [responses]))


class PairwiseTrainer(ResponseTrainer):
    """Trains on pairs: rows of ``prompt_ids``, ``chosen_ids``, ``rejected_ids`` and the reference's log-probs of both.

    The reference is the policy as it is when the stage begins (``ldyn.training.reference``).
    """

    responses_per_row = 2
    _checked_start = False

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        tokens = self._token_logps(model, inputs)
        self._check_deterministic(model, inputs, tokens)
        mean_length, sides = self._mean_length(tokens.lengths, num_items_in_batch), tokens.halves()
        chosen, rejected = (
            self._responses(side, mean_length, inputs[reference])
            for side, reference in zip(sides, REFERENCE_COLUMNS, strict=True)
        )
        self._check_start(chosen, rejected)
        losses = self.algorithm.loss(chosen, rejected, **self.parameters)
        metrics = self._reward_metrics(chosen, rejected)
        return self._finish(losses, metrics, self._residuals(sides, [chosen, rejected]))

    def _check_start(self, chosen: Responses, rejected: Responses) -> None:
        """Before the first update policy and reference are the same model, so every log-ratio is 0 up to rounding."""
        if self._checked_start:
            return
        self._checked_start = True
        if self.state.global_step > 0:
            return
        for responses in (chosen, rejected):
            difference = responses.log_ratio.detach().abs()
            excess = difference - rounding(responses.logp.detach(), responses.lengths, bf16=self.args.bf16)
            if excess.max() > 0:
                worst = int(excess.argmax())
                raise TrainingError(
                    f"Before the first step log π differs from its reference by {difference[worst]:.3g} nats at "
                    f"{responses.logp[worst]:.4g}, more than rounding explains: the reference log-probs are of another "
                    "model, or the model's forward pass is random. Delete the cache of reference log-probs and retry."
                )

    def _reward_metrics(self, chosen: Responses, rejected: Responses) -> dict[str, Tensor]:
        """Implicit rewards β·h (β = 1 where the loss has none), their margin, and how often the chosen one wins."""
        beta = self.parameters.get("beta", 1.0)
        reward_chosen = beta * chosen.log_ratio.detach()
        reward_rejected = beta * rejected.log_ratio.detach()
        return {
            "reward_chosen": reward_chosen,
            "reward_rejected": reward_rejected,
            "margin": reward_chosen - reward_rejected,
            "accuracy": reward_chosen > reward_rejected,
            "logp_chosen": chosen.logp.detach(),
            "logp_rejected": rejected.logp.detach(),
        }
