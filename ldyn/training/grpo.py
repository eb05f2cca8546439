"""GRPO on TRL's trainer: what it samples and what each update does to every sampled answer, as rows of a table.

TRL generates, makes advantages of rewards and computes the loss. The coefficients are read from its own backward pass:
c = −∂L/∂log π of an answer's tokens, summed over them and times the number of answers in the update, since L is a mean.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

from ldyn.errors import TrainingError
from ldyn.processes.group import gathered, process_rank
from ldyn.training.adapters import has_adapters
from ldyn.training.arguments import common_arguments, disable_dropout
from ldyn.training.nthr import nthr_weights
from ldyn.training.plan import Rollouts, StageLength, StagePlan
from ldyn.training.stage_trainer import StageTrainer
from ldyn.training.trainers import rounding

NOT_LOGGED = ("step_time", "rewards/")  # time differs between runs; the reward is logged as such


@dataclass(frozen=True)
class SampledAnswer:
    """An answer and what is known of it before the update; the columns of ``rollouts.parquet`` of these names."""

    example_id: str
    response: int
    n_tokens: int
    stopped: bool
    reward: float
    correct: bool
    advantage: float
    shared_tokens: float


@dataclass(frozen=True)
class ScoredBatch:
    """A micro-batch as TRL has it; log π [B, T] before the update, the loss's gradient by it and entropies, in nats."""

    inputs: Mapping[str, Tensor]
    logps: Tensor
    gradients: Tensor
    entropies: Tensor


class GroupTrainer(StageTrainer, GRPOTrainer):
    """TRL's GRPOTrainer on ldyn's prompt tokens."""

    _is_checked = False

    def __init__(
        self,
        plan: StagePlan,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        rollouts: Rollouts,
        *,
        output_dir: Path,
        seed: int,
    ) -> None:
        self.algorithm, self.policy, self.directory = plan.algorithm, model, output_dir
        self._plan, self._rollouts = plan, rollouts
        self._group_size = int(plan.parameters["num_generations"])
        self._prompts = {pair.pair_id: list(pair.prompt_ids) for pair in rollouts.pairs}
        self._answers: list[SampledAnswer] = []  # of the batch that is trained on
        self._rewards: list[float] = []
        self._batches: list[ScoredBatch] = []  # of the update that is being made
        disable_dropout(model)
        # TRL would load the reference again by the model's name
        reference = copy.deepcopy(model) if plan.parameters["beta"] and not has_adapters(model) else None
        super().__init__(
            model=model,
            reward_funcs=[self._reward],
            args=GRPOConfig(**grpo_arguments(plan, len(rollouts.pairs), output_dir, seed)),
            train_dataset=Dataset.from_dict({"prompt": list(self._prompts)}),
            processing_class=tokenizer,
        )
        self.eos_token_ids = self.generation_kwargs["eos_token_id"] = list(rollouts.end_ids)
        self.generation_config.eos_token_id = list(rollouts.end_ids)
        self.beta = plan.parameters["beta"]
        if reference is not None:
            add_fused_lm_head(reference, temperature=self.temperature)
            self.ref_model = self.accelerator.prepare_model(reference, evaluation_mode=True)
        self.add_callback(_AfterUpdate(self))

    # ---- answers and advantages ----

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """A prompt of the data set is the id of an example."""
        return [self._prompts[example_id] for example_id in prompts], None, {}

    def _reward(
        self, prompts: list[str], completions: list[str], completion_ids: list[list[int]], **_: Any
    ) -> list[float | None]:
        self._rewards = list(self._rollouts.reward(prompts, completions, completion_ids))
        return [*self._rewards]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """As TRL; then drop the advantages that the arm excludes and weigh tokens. Groups are whole in each process."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TRL asks transformers by a name that is going away
            output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        advantages, kept = output["advantages"], self._plan.parameters["advantages"]
        if kept != "all":
            advantages = advantages.clamp(min=0) if kept == "positive" else advantages.clamp(max=0)
        self._answers = self._described([one["prompt"] for one in inputs], output, advantages)
        output["number"] = torch.arange(len(inputs), device=advantages.device)
        output["advantages"] = advantages
        if self._plan.parameters["token_weights"] == "nthr":
            correct = torch.tensor([answer.correct for answer in self._answers], device=advantages.device)
            weights = nthr_weights(self.policy, output, correct, self._group_size, self.temperature)
            output["advantages"] = advantages[:, None] * weights
        return output

    def _described(self, ids: list[str], output: Mapping[str, Tensor], advantages: Tensor) -> list[SampledAnswer]:
        lengths, size = output["completion_mask"].sum(dim=1).tolist(), self._group_size
        tokens = [row[:n] for row, n in zip(output["completion_ids"].tolist(), lengths, strict=True)]
        answers = []
        for start in range(0, len(ids), size):
            group = range(start, start + size)
            bound = 0.5 if self._rollouts.is_exact else sum(self._rewards[start : start + size]) / size
            wrong = {number: set(tokens[number]) for number in group if self._rewards[number] <= bound}
            for number in group:
                siblings = [other for key, other in wrong.items() if key != number]
                own, shared = set(tokens[number]), set[int]().union(*siblings)
                answers.append(
                    SampledAnswer(
                        example_id=ids[number],
                        response=number - start,
                        n_tokens=lengths[number],
                        stopped=tokens[number][-1] in self.eos_token_ids,
                        reward=self._rewards[number],
                        correct=number not in wrong,
                        advantage=advantages[number].item(),
                        shared_tokens=len(own & shared) / len(own) if siblings else math.nan,
                    )
                )
        return answers

    # ---- one update ----

    def _get_per_token_logps_and_entropies(self, model: nn.Module, *args: Any, **kwargs: Any) -> Any:
        scored = super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
        if scored[0].requires_grad:
            scored[0].retain_grad()
            self._scored = scored
        return scored

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        self._inputs = inputs
        loss: Tensor = super()._compute_loss(model, inputs)
        self.check_finite(loss)
        return loss

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """As TRL; then keep what the backward pass has found."""
        parts = self.current_gradient_accumulation_steps
        self._step = self.state.global_step * parts + self._step % parts  # TRL would count from 0 in a resumed stage
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        logps, entropies, _ = self._scored
        self._batches.append(ScoredBatch(self._inputs, logps.detach(), logps.grad, entropies.detach()))
        if not self._is_checked:
            self._check_ratios(self._batches[0])
        return loss

    def _check_ratios(self, batch: ScoredBatch) -> None:
        """Raise TrainingError unless each answer, scored alone and without padding, has the log-prob that is trained.

        So the ratio of an answer's probability to that under the policy that sampled it is 1, up to rounding.
        """
        mask = batch.inputs["completion_mask"]
        sums, lengths = (batch.logps * mask).sum(dim=1), mask.sum(dim=1)
        rows = range(len(mask))
        alone = torch.stack([self._alone({key: batch.inputs[key][[row]] for key in INPUTS}) for row in rows])
        difference = (alone - sums).abs()
        if (difference > rounding(sums, lengths, bf16=self.args.bf16)).any():
            raise TrainingError(
                f"Before the first update an answer's log-prob differs by {difference.max():.3g} nats between the "
                "batch and the answer alone: ratios would not be 1. The model's forward pass depends on padding or has "
                "randomness, for example learned positions or dropout under an unusual name. Use another model."
            )
        self._is_checked = True

    def _alone(self, row: Mapping[str, Tensor]) -> Tensor:
        prompt, answer = row["prompt_mask"].bool(), row["completion_mask"].bool()
        unpadded = {"prompt_ids": row["prompt_ids"][prompt], "completion_ids": row["completion_ids"][answer]}
        inputs = {key: ids[None] for key, ids in unpadded.items()}
        masks = {"prompt_mask": prompt[prompt].long()[None], "completion_mask": answer[answer].long()[None]}
        return self.logps({**inputs, **masks}).sum()

    @torch.no_grad()
    def logps(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """log π [B, T] of the answers' tokens at the sampling temperature, in nats; 0 behind their ends."""
        ids, mask = (torch.cat([inputs[f"prompt_{kind}"], inputs[f"completion_{kind}"]], dim=1) for kind in KINDS)
        length = inputs["completion_ids"].size(1)
        scored: Tensor = super()._get_per_token_logps_and_entropies(self.model, ids, mask, length)[0]
        return scored * inputs["completion_mask"]

    def record_update(self) -> None:
        """Score the answers of the update that was made, and hand its rows over, by prompt and response."""
        scale = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        rows: list[dict[str, Any]] = []
        for batch in self._batches:
            mask = batch.inputs["completion_mask"]
            columns = {
                "coefficient": -(batch.gradients * mask).sum(dim=1) * scale,
                "logp_before": (batch.logps * mask).sum(dim=1),
                "logp_after": self.logps(batch.inputs).sum(dim=1),
                "entropy": (batch.entropies * mask).sum(dim=1) / mask.sum(dim=1),
            }
            values = zip(*(column.tolist() for column in columns.values()), strict=True)
            for number, row in zip(batch.inputs["number"].tolist(), values, strict=True):
                rows.append({**asdict(self._answers[number]), **dict(zip(columns, row, strict=True))})
        self._batches.clear()
        key = {"stage": self._plan.info.name, "step": self.state.global_step - 1}
        of_all = gathered(lambda: {process_rank(): rows})
        together = [{**key, **row} for rank in sorted(of_all) for row in of_all[rank]]
        self._rollouts.record(sorted(together, key=lambda row: (row["example_id"], row["response"])))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As TRL, without what differs between equal runs and what is known twice or not at all."""
        metrics = self._metrics["train"]
        for name in [name for name, values in metrics.items() if name.startswith(NOT_LOGGED) or not _known(values)]:
            del metrics[name]
        super().log(logs, start_time)


KINDS = ("ids", "mask")
INPUTS = tuple(f"{part}_{kind}" for part in ("prompt", "completion") for kind in KINDS)


def _known(values: Sequence[float]) -> bool:
    return any(not math.isnan(value) for value in values)


class _AfterUpdate(TrainerCallback):
    """The trainer's first callback, so that its rows are there when a checkpoint is written."""

    def __init__(self, trainer: GroupTrainer):
        self._trainer = trainer

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._trainer.record_update()


def grpo_arguments(plan: StagePlan, pairs: int, output_dir: Path, seed: int) -> dict[str, Any]:
    """Of TRL's GRPOConfig. A batch of ldyn is a number of prompts, that of TRL of answers."""
    settings, trainer = plan.parameters, plan.trainer
    arguments = common_arguments(trainer, output_dir, seed)
    size = int(settings["num_generations"])
    del arguments["max_length"]
    return {
        **arguments,
        "max_steps": StageLength.of(plan, pairs).total_steps,
        "per_device_train_batch_size": trainer.micro_batch * size,
        "num_generations": size,
        "max_completion_length": int(settings["max_new_tokens"]),
        "num_iterations": int(settings["num_iterations"]),
        "beta": 0.0,  # see GroupTrainer
        **{name: settings[name] for name in ("temperature", "epsilon", "scale_rewards", "loss_type")},
    }
