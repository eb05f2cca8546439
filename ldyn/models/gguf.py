"""A model from a GGUF file, as llama.cpp distributes them: dequantized once, then a plain model of transformers.

Quantized weights are rounded: Q4_1 keeps 4 bits a weight and two numbers a block of 32. Differences between models that
start from the same file are not affected; absolute log-probs are those of the rounded model.
"""

from __future__ import annotations

import hashlib
import importlib.util
import struct
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from ldyn.errors import ModelError
from ldyn.models.settings import PretrainedConfig, TinyConfig

UNREADABLE = (OSError, ValueError, KeyError, IndexError, RuntimeError, OverflowError, struct.error)
"""What a damaged file makes the reader raise."""


def gguf_model(config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The dequantized weights in a plain model, which can be saved, trained and resumed.

    transformers refuses to save what it loaded from GGUF, since the model's config says that it is quantized.
    """
    loaded = read_gguf(AutoModelForCausalLM, config, dtype=dtype, attn_implementation=config.attention)
    settings = {name: value for name, value in loaded.config.to_dict().items() if name != "quantization_config"}
    plain: PreTrainedModel = AutoModelForCausalLM.from_config(
        type(loaded.config).from_dict(settings), dtype=dtype, attn_implementation=config.attention
    )
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    return plain


def model_file_hash(config: TinyConfig | PretrainedConfig) -> dict[str, str]:
    """``{"gguf_file": sha256}`` for the manifest; empty for other weights and for files of the hub."""
    if not isinstance(config, PretrainedConfig) or config.gguf_file is None:
        return {}
    file = Path(config.name_or_path).expanduser() / config.gguf_file
    return {"gguf_file": hashlib.sha256(file.read_bytes()).hexdigest()} if file.is_file() else {}


def read_gguf(what: type, config: PretrainedConfig, **options: object) -> Any:
    """``what.from_pretrained`` of the file. Raises ModelError where the package or the file is missing or damaged."""
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(f"model.gguf_file={config.gguf_file} needs the package gguf: pip install 'ldyn[gguf]'.")
    directory = Path(config.name_or_path).expanduser()
    if directory.is_dir() and not (directory / str(config.gguf_file)).is_file():
        found = ", ".join(sorted(file.name for file in directory.glob("*.gguf"))) or "no .gguf file"
        raise ModelError(f"{directory} has {found}; expected {config.gguf_file}. Correct model.gguf_file.")
    where = f"{config.gguf_file} of {config.name_or_path}"
    try:
        return what.from_pretrained(  # type: ignore[attr-defined]
            str(directory), gguf_file=config.gguf_file, revision=config.revision, **options
        )
    except UNREADABLE as error:
        from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

        cause = str(error).strip().split("\n")[0] or type(error).__name__
        known = f"transformers reads these architectures from GGUF: {', '.join(sorted(GGUF_SUPPORTED_ARCHITECTURES))}."
        advice = known if "architecture" in cause else "The file may be truncated; download it again."
        raise ModelError(f"{where} cannot be read ({cause}). {advice}") from error
