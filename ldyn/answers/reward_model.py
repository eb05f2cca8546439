"""A reward model of transformers, which scores one answer at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ldyn.data.chat_tokens import chat_ids
from ldyn.errors import ModelError
from ldyn.models.base import find_device, max_positions


def reward_model(name_or_path: str) -> Callable[[str, str], float]:
    """(prompt, answer) -> the one output of a sequence classifier, the higher the better.

    Prompt and answer are put into the chat template or, without one, given as a pair of texts; what is too long is cut
    at the model's limit. Raises ModelError where the model cannot be loaded or has more than one output.
    """
    model, tokenizer = _classifier(name_or_path)

    @torch.no_grad()
    def score(prompt: str, answer: str) -> float:
        if tokenizer.chat_template:
            ids = chat_ids(tokenizer, [("user", prompt), ("assistant", answer)], add_generation_prompt=False)
        else:
            ids = tuple(tokenizer(prompt, answer, split_special_tokens=True)["input_ids"])
        kept = ids[: int(min(len(ids), max_positions(model)))]
        return float(model(input_ids=torch.tensor([kept], device=model.device)).logits[0, 0])

    return score


def _classifier(name_or_path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        model = AutoModelForSequenceClassification.from_pretrained(name_or_path, use_safetensors=True)
    except (OSError, ValueError, ImportError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"The reward model {name_or_path} cannot be loaded: {said} Expected a sequence classifier of the hub or a "
            "directory of one, with safetensors."
        ) from error
    if model.config.num_labels != 1:
        raise ModelError(f"{name_or_path} has {model.config.num_labels} outputs; a reward model has one.")
    nn.Module.to(model, find_device())
    return model.eval(), tokenizer
