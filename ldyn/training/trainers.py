"""TRL's trainer driven by an ``Algorithm``: the loss is replaced, everything around it stays TRL's.

An update is the mean over its rows, divided over micro-batches and processes (``ldyn.training.batches``): each part
gives its own mean, weighted such that the mean over all parts is the mean over all rows. The rows are tokenised by
ldyn's encoder, so training and probes see the same tokens. A pairwise loss needs two numbers per pair instead of a
reference model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from ldyn.algorithms import Responses
from ldyn.algorithms.coefficients import residual_values
from ldyn.errors import TrainingError
from ldyn.processes.group import (
    highest_of_all,
    process_count,
    process_rank,
    rows_of_all,
    sum_over_processes,
)
from ldyn.training.arguments import common_arguments, disable_dropout
from ldyn.training.batches import (
    REFERENCE_COLUMNS,
    Batch,
    Layout,
    PartCollator,
    StageBatches,
    StageLoader,
    pairwise_documents,
    pointwise_documents,
)
from ldyn.training.logps import TokenLogps, summaries, token_logps
from ldyn.training.plan import StagePlan
from ldyn.training.stage_trainer import StageTrainer


class AlgorithmTrainer(StageTrainer, SFTTrainer):
    """Rows in, updates out. The loss is a function of the log-probs of responses, one by one or in pairs."""

    loss_is_scaled_for_ga = False  # type: ignore[assignment] # a mean: the Trainer divides it by the number of parts
    _is_checked = False

    def __init__(
        self,
        plan: StagePlan,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        rows: Dataset,
        layout: Layout,
        *,
        output_dir: Path,
        seed: int,
    ) -> None:
        self.algorithm, self.parameters, self.policy = plan.algorithm, plan.parameters, model
        self._is_pairwise = plan.algorithm.kind == "pairwise"
        self._rows, self.directory = rows, output_dir
        # Of the part that is being computed: how many of its rows count, and its weight; of the update: all its rows.
        self._part_rows: int | None = None
        self._weight, self._step_rows = 1.0, 1.0
        self._values: list[Tensor] = []  # of each part, [rows, columns]: what is known of each row, for the log
        self._columns: tuple[list[str], list[str]] = ([], [])
        disable_dropout(model)
        arguments = common_arguments(plan.trainer, output_dir, seed)
        super().__init__(
            model=model,
            args=SFTConfig(**arguments, dataset_kwargs={"skip_prepare_dataset": True}),
            train_dataset=rows,
            processing_class=tokenizer,
            data_collator=PartCollator(pairwise_documents if self._is_pairwise else pointwise_documents, layout),
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

    # ---- the loss ----

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """What the part adds to the mean loss of the update; the reference is the policy as the stage begins."""
        # Residual norms are needed where the step being made ends with a row of the log.
        is_logged = (self.state.global_step + 1) % self.args.logging_steps == 0
        tokens = token_logps(model, inputs["packed"], with_residuals=is_logged)
        sides = tokens.halves() if self._is_pairwise else (tokens,)
        mean_length = tokens.lengths.float().mean()
        if num_items_in_batch is not None:  # tokens of the update
            mean_length = torch.as_tensor(num_items_in_batch, device=mean_length.device) / self._step_rows / len(sides)
        responses = [
            self._responses(side, mean_length, inputs.get(column))
            for side, column in zip(sides, REFERENCE_COLUMNS, strict=False)
        ]
        if not self._is_checked:
            self._check_first(model, inputs, tokens, responses)
        losses = self.algorithm.loss(*responses, **self.parameters)
        norms = [side.residual_norms for side in sides if side.residual_norms is not None]
        residuals = residual_values(self.algorithm, self.parameters, responses, norms) if norms else {}
        return self._finish(losses, self._metrics_of(responses), residuals)

    def _responses(self, tokens: TokenLogps, mean_length: Tensor, reference_logp: Tensor | None) -> Responses:
        progress = self.state.global_step / max(1, self.state.max_steps)  # max_steps is 0 outside of train()
        token_logps = tokens.logps.detach()
        return Responses(tokens.sums, tokens.lengths, mean_length, reference_logp, token_logps, tokens.mask, progress)

    def _check_first(self, model: nn.Module, inputs: Batch, tokens: TokenLogps, responses: Sequence[Responses]) -> None:
        """Raise TrainingError in the first batch where numbers differ that must be equal up to rounding.

        A second pass gives the same log-probs (dropout would not). Before the first update policy and reference are the
        same model, so every log-ratio is 0.
        """
        with torch.no_grad():
            again = token_logps(model, inputs["packed"]).sums
        sums, bf16 = tokens.sums.detach(), self.args.bf16
        off = (again - sums).abs()
        if (off > rounding(sums, tokens.lengths, bf16=bf16)).any():
            raise TrainingError(
                f"Two passes over the first batch differ by {off.max():.3g} nats: the model has randomness that "
                "ldyn does not know how to turn off, for example dropout under an unusual name. Set it to 0 in the "
                "model's config.json."
            )
        for side in responses if self._is_pairwise and self.state.global_step == 0 else ():
            difference = side.log_ratio.detach().abs()
            if (difference > rounding(side.logp.detach(), side.lengths, bf16=bf16)).any():
                raise TrainingError(
                    f"Before the first step log π differs from its reference by {difference.max():.3g} nats, more than "
                    "rounding explains: the model's forward pass depends on what else is in the batch. Try "
                    "trainer.batching=padded."
                )
        self._is_checked = True

    def _metrics_of(self, responses: Sequence[Responses]) -> dict[str, Tensor]:
        """Implicit rewards β·h (β = 1 where the loss has none), their margin, how often the chosen one wins; log π."""
        if not self._is_pairwise:
            return {"logp_chosen": responses[0].logp.detach()}
        chosen, rejected = (self.parameters.get("beta", 1.0) * side.log_ratio.detach() for side in responses)
        return {
            "reward_chosen": chosen,
            "reward_rejected": rejected,
            "margin": chosen - rejected,
            "accuracy": chosen > rejected,
            "logp_chosen": responses[0].logp.detach(),
            "logp_rejected": responses[1].logp.detach(),
        }

    def _finish(self, losses: Tensor, metrics: Mapping[str, Tensor], residuals: Mapping[str, Tensor]) -> Tensor:
        """What this part adds to the mean loss of the update.

        What else is known of each row, [B] each, goes to the log: metrics as their mean over the rows of the update,
        residuals with quantiles as well.
        """
        loss = losses.mean()
        self.check_finite(loss)
        columns = torch.stack([values.float() for values in (*metrics.values(), *residuals.values())], dim=1)
        self._values.append(columns[: self._part_rows])
        self._columns = (list(metrics), list(residuals))
        return loss * self._weight

    def _get_grad_norm(self, model: nn.Module, grad_norm: Tensor | float | None = None) -> Any:
        """Once an update, before the optimiser's step: log its rows."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        # The rows of the update, from all parts, go into TRL's log, which averages between two log rows.
        most = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        rows = rows_of_all(torch.cat(self._values), at_most=most)
        self._values.clear()
        for name, value in summaries(rows, *self._columns).items():
            self._metrics["train"][name].append(value)
        return norm


def rounding(logp: Tensor, lengths: Tensor, *, bf16: bool) -> Tensor:
    """How much of a response's log-prob [B] rounding explains: two passes over it in batches of other shapes.

    In fp32 it is relative to the sum; in bf16 each token's logits are rounded independently, so it grows as √|y|.
    """
    return 0.1 * lengths.sqrt() + 1e-3 * logp.abs() if bf16 else 1e-4 * (1 + logp.abs())
