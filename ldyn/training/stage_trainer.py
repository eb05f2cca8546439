"""What the trainer of every stage adds to TRL's: checkpoints that resume to the bit, and only finite updates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

from ldyn.algorithms import Algorithm
from ldyn.errors import TrainingError
from ldyn.models.cache import write_checksums
from ldyn.processes.group import any_process, in_main, wait_for_all
from ldyn.training.adapters import has_adapters, merged
from ldyn.training.checkpoints import checkpoint_written, final_directory, save_final


class StageTrainer(Trainer):
    """In front of one of TRL's trainers. policy: the model that it trains. directory: of the stage."""

    algorithm: Algorithm
    policy: PreTrainedModel
    directory: Path
    _bad_loss: float | None = None

    def check_finite(self, loss: Tensor) -> None:
        """Remember a loss that is not finite; before the update all processes raise TrainingError."""
        if not torch.isfinite(loss):
            self._bad_loss = loss.item()

    def _get_grad_norm(self, model: nn.Module, grad_norm: Tensor | float | None = None) -> Any:
        """Once an update, before the optimiser's step: refuse, in all processes, what is not finite."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        is_bad = self._bad_loss is not None or not math.isfinite(norm)
        if any_process(is_bad, self.args.device):
            found = f"gradient norm is {norm}" if self._bad_loss is None else f"loss is {self._bad_loss}"
            raise TrainingError(
                f"In the batch after step {self.state.global_step} the {self.algorithm.name} {found}, expected a "
                "finite number. Nothing later is saved; resume from the last checkpoint with a smaller learning rate "
                "or a smaller max_grad_norm."
            )
        return norm

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
        directory = self.directory / f"checkpoint-{self.state.global_step}"
        with checkpoint_written(directory):
            super()._save_checkpoint(model, trial)
            wait_for_all()
            in_main(lambda: write_checksums(directory))

    def save_final(self, tokenizer: PreTrainedTokenizerBase) -> Path:
        """Save the last weights of the stage, adapters merged, and return their directory; every process must call."""
        weights = self.accelerator.get_state_dict(self.model) if self.is_fsdp_enabled else None
        in_main(lambda: save_final(merged(self.policy), weights, tokenizer, self.directory))
        return final_directory(self.directory)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No model card: the manifest describes what was trained."""
