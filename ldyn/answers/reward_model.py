"""A reward model of transformers: a sequence classifier with one output, the higher the better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ldyn.data.chat_tokens import chat_ids
from ldyn.errors import ModelError

if TYPE_CHECKING:
    from ldyn.answers.judges import Judge


def reward_model_judge(name_or_path: str) -> Judge:
    """Scores by the model's one output on (prompt, answer), in its chat template or, without one, as a pair of texts.

    Answers are scored one by one, so a score does not hang on what else is scored. What is too long for the model is
    cut at the model's limit. Raises ModelError where the model cannot be had or has more than one output.
    """
    model, tokenizer = _loaded(name_or_path)

    @torch.no_grad()
    def judge(_example_id: str, answers: Sequence[str], prompt: str) -> list[float]:
        return [_score(model, tokenizer, prompt, answer) for answer in answers]

    return judge


def _loaded(name_or_path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
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
    nn.Module.to(model, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return model.eval(), tokenizer


def _score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> float:
    ids = _ids(tokenizer, prompt, answer)
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None) or len(ids)
    return float(model(input_ids=torch.tensor([ids[:most]], device=model.device)).logits[0, 0])


def _ids(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> Sequence[int]:
    """Control tokens come from the template, or from the tokenizer's own way with pairs; never from the texts."""
    if tokenizer.chat_template:
        return chat_ids(tokenizer, [("user", prompt), ("assistant", answer)], add_generation_prompt=False)
    ids: list[int] = tokenizer(prompt, answer, split_special_tokens=True)["input_ids"]
    return ids
