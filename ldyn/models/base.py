"""A base model, its fingerprint, its device, and what fits into it."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.errors import ModelError

NOT_DECISIVE = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "use_cache"}


@dataclass(frozen=True)
class BaseModel:
    """The model from which every first stage starts.

    fingerprint: see the function. from_cache: whether it was made earlier.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    from_cache: bool = False


def fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 over every weight (name, shape, type, bytes) in the order of names, the vocabulary and the config.

    The config counts without what does not change the numbers: where it was loaded from, and by which version.
    """
    digest = hashlib.sha256()
    config = {key: value for key, value in model.config.to_dict().items() if key not in NOT_DECISIVE}
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    for token, index in sorted(tokenizer.get_vocab().items()):
        digest.update(f"{token}\0{index}\0".encode())
    return digest.hexdigest()


def find_device(device: Literal["auto", "cpu", "cuda"] = "auto") -> torch.device:
    """Where to compute: "auto" takes a GPU where there is one. Raises ModelError if there is none and it is needed."""
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise ModelError("device is cuda, but torch sees no GPU here; use device=auto or device=cpu.")
    return torch.device("cuda" if has_gpu and device != "cpu" else "cpu")


def max_positions(model: PreTrainedModel) -> float:
    """How many tokens the model takes; infinite where its config does not say."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or math.inf


def too_long(n_tokens: int, positions: float) -> str:
    """How a text that is longer than the model's positions is reported, for training pairs and probes alike."""
    return f"{n_tokens} tokens, but the model has {positions:g} positions; lower dataset.encoding.max_tokens"
