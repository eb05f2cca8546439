"""Load a pretrained causal language model from the hub or a local directory, or build its architecture untrained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ldyn.errors import ModelError
from ldyn.models.base import BaseModel, fingerprint
from ldyn.models.gguf import gguf_model, read_gguf
from ldyn.models.settings import PretrainedConfig, TinyConfig, TokenizerKind
from ldyn.models.tokenizers import build_tokenizer

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PADDING_CANDIDATES = ("<|padding|>", "<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>")
_OWN_CORPUS_VOCABULARY = 32_000
_WEIGHTS = ("safetensors", "gguf", "bin", "pt", "pth")


def load_pretrained(config: PretrainedConfig, *, corpus: Sequence[str], seed: int) -> BaseModel:
    """Model, on the CPU, and tokenizer. Raises ModelError (what was found, what to do) where one cannot be had."""
    tokenizer = pretrained_tokenizer(config, corpus)
    model = (_untrained_model(config, seed) if config.random_init else _trained_model(config)).eval()
    rows, largest = len(model.get_input_embeddings().get_parameter("weight")), max(tokenizer.get_vocab().values())
    if largest >= rows:
        raise ModelError(
            f"The tokenizer of {config.name_or_path} has token ids up to {largest}, but the model embeds {rows} "
            "tokens; the two do not belong together."
        )
    return BaseModel(model, tokenizer, fingerprint(model, tokenizer))


def pinned_model(config: TinyConfig | PretrainedConfig) -> TinyConfig | PretrainedConfig:
    """The configuration with ``revision`` as a commit, so that a resumed run loads the same weights from the hub."""
    if not isinstance(config, PretrainedConfig) or config.random_init or config.gguf_file is not None:
        return config
    if Path(config.name_or_path).expanduser().is_dir() or re.fullmatch("[0-9a-f]{40}", config.revision):
        return config
    try:
        options = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
        commit = AutoConfig.from_pretrained(config.name_or_path, **options)._commit_hash
    except (OSError, ValueError, ImportError):
        return config  # loading the model reports the error
    return replace(config, revision=commit) if commit else config


def pretrained_tokenizer(config: PretrainedConfig, corpus: Sequence[str]) -> PreTrainedTokenizerBase:
    """The tokenizer, with a padding token; ``corpus`` is what one is made from where the config asks for that."""
    from_corpus = config.random_init if config.tokenizer == "auto" else config.tokenizer != "own"
    limit = int(config.architecture.get("vocab_size", _OWN_CORPUS_VOCABULARY))  # no larger than the untrained model's
    kind: TokenizerKind = "word" if config.tokenizer == "word" else "bpe"
    tokenizer = build_tokenizer(kind, corpus, limit) if from_corpus else _own_tokenizer(config)
    ensure_padding(tokenizer, config.name_or_path)
    return tokenizer


def ensure_padding(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Give a tokenizer without padding token one from its own vocabulary: a token meant for it, else EOS.

    EOS is harmless here: the attention mask and lengths mark padding, not the token.
    """
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"The tokenizer of {name} has no end-of-text token, which ends every response; "
            "set eos_token in its tokenizer_config.json."
        )
    if tokenizer.pad_token_id is None:
        known = tokenizer.get_vocab()
        tokenizer.pad_token = next((token for token in _PADDING_CANDIDATES if token in known), tokenizer.eos_token)


def _trained_model(config: PretrainedConfig) -> PreTrainedModel:
    if config.gguf_file is not None:
        return gguf_model(config, _DTYPES[config.dtype])
    _check_local_directory(config.name_or_path)
    try:
        return load_weights(
            config.name_or_path,
            revision=config.revision,
            dtype=_DTYPES[config.dtype],
            attn_implementation=config.attention,
            trust_remote_code=config.trust_remote_code,
        )
    except (OSError, ValueError, ImportError) as error:
        raise _explained(config, "model", error) from error


def load_weights(name_or_path: str | Path, **options: Any) -> PreTrainedModel:
    """``from_pretrained``, but raises ModelError for weights that are damaged, of other shapes, or not complete."""
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name_or_path, use_safetensors=True, output_loading_info=True, **options
        )
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().split("\n")[0]
        raise ModelError(
            f"The weights of {name_or_path} are damaged or do not fit its config.json: {first}. Copy or download them "
            "again."
        ) from error
    model: PreTrainedModel = loaded[0]
    if missing := sorted(loaded[1]["missing_keys"]):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ModelError(
            f"The weights of {name_or_path} lack {', '.join(missing[:3])}{more}, which would be random. Copy or "
            "download them again."
        )
    return model


def _untrained_model(config: PretrainedConfig, seed: int) -> PreTrainedModel:
    dimensions = dict(config.architecture)
    model_type = str(dimensions.pop("model_type"))
    try:
        architecture = AutoConfig.for_model(model_type, **dimensions)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                architecture, dtype=_DTYPES[config.dtype], attn_implementation=config.attention
            )
    except (ValueError, TypeError, ImportError, StrictDataclassError) as error:
        raise ModelError(
            f"No model can be built from model.architecture {dict(config.architecture)}: {error.__cause__ or error}. "
            "model_type must be one that transformers knows (gpt_neox, qwen2, llama ...), with its names of dimensions."
        ) from error
    return model


def _own_tokenizer(config: PretrainedConfig) -> PreTrainedTokenizerBase:
    if config.gguf_file is not None:
        own: PreTrainedTokenizerBase = read_gguf(AutoTokenizer, config)
        return own
    _check_local_directory(config.name_or_path)
    try:
        return AutoTokenizer.from_pretrained(
            config.name_or_path, revision=config.revision, trust_remote_code=config.trust_remote_code
        )
    except (OSError, ValueError, ImportError) as error:
        raise _explained(config, "tokenizer", error) from error


def _check_local_directory(name_or_path: str) -> None:
    directory = Path(name_or_path).expanduser()
    if not directory.is_dir():
        if name_or_path.startswith((".", "/", "~")):
            raise ModelError(
                f"There is no directory {directory}; give an existing directory or a hub name as model.name_or_path."
            )
        return
    found = {kind: ", ".join(sorted(path.name for path in directory.glob(f"*.{kind}"))) for kind in _WEIGHTS}
    if not (directory / "config.json").is_file():
        raise ModelError(
            f"{directory} has {found['gguf']} and no config.json; set model.gguf_file to load it."
            if found["gguf"]
            else f"{directory} has no config.json, so it is no saved model; "
            "give the directory that save_pretrained wrote (of a training run: its checkpoint directory)."
        )
    if not found["safetensors"]:
        pickled = ", ".join(filter(None, (found["bin"], found["pt"], found["pth"])))
        what = f"only pickled weights ({pickled}), which can run code" if pickled else "no weights"
        raise ModelError(
            f"{directory} has {what}; expected *.safetensors. "
            "Load it where you trust it and write it again with model.save_pretrained(directory)."
        )


def _explained(config: PretrainedConfig, part: str, error: Exception) -> ModelError:
    cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        f"The {part} of {config.name_or_path} (revision {config.revision}) cannot be loaded: {cause} "
        "Check the name and the network (with HF_HUB_OFFLINE=1 it must have been downloaded before; a gated model "
        "needs `hf auth login`). Without download there are model=tiny, a local directory, and model.random_init=true."
    )
