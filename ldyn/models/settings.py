"""What a base model is configured by. Imports without torch, as a configuration is checked before that is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval
from pydantic import Field

Dimension = int | float | str | bool
TokenizerKind = Literal["word", "bpe"]


@dataclass(frozen=True)
class TinyConfig:
    """A tiny GPT-NeoX, its tokenizer and its pretraining.

    hidden_size, layers, heads, max_positions: the architecture (the MLP is 4 x hidden_size wide).
    tokenizer, vocab_size: "word" (vocab_size is a limit) or "bpe" (vocab_size is the target).
    steps, batch_size, sequence_length: updates, rows per update, tokens per row of packed documents.
    learning_rate, warmup_steps, final_learning_rate: AdamW with linear warm-up, then a cosine from ``learning_rate``
        to the fraction ``final_learning_rate`` of it; weight_decay, max_grad_norm: as in AdamW and norm clipping.
    """

    kind: Literal["tiny"] = "tiny"
    hidden_size: Annotated[int, Gt(0)] = 96
    layers: Annotated[int, Gt(0)] = 3
    heads: Annotated[int, Gt(0)] = 4
    max_positions: Annotated[int, Gt(1)] = 256
    tokenizer: TokenizerKind = "word"
    vocab_size: Annotated[int, Gt(3)] = 2000
    steps: Annotated[int, Ge(0)] = 2000
    batch_size: Annotated[int, Gt(0)] = 8
    sequence_length: Annotated[int, Gt(1)] = 96
    learning_rate: Annotated[float, Gt(0)] = 5e-3
    warmup_steps: Annotated[int, Ge(0)] = 50
    final_learning_rate: Annotated[float, Interval(ge=0, le=1)] = 0.05
    weight_decay: Annotated[float, Ge(0)] = 0.05
    max_grad_norm: Annotated[float, Gt(0)] = 1.0

    def __post_init__(self) -> None:
        if self.hidden_size % self.heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} cannot be shared among heads={self.heads}; make it a multiple of heads"
            )
        if self.sequence_length > self.max_positions:
            raise ValueError(
                f"sequence_length={self.sequence_length} is longer than max_positions={self.max_positions}, "
                "all that the model can see; raise max_positions"
            )


@dataclass(frozen=True)
class PretrainedConfig:
    """A causal language model by its hub name or the path of a local directory; safetensors weights only.

    name_or_path, revision: where it comes from (revision: a branch, tag or commit of the hub).
    gguf_file: the name of a GGUF file there, which is dequantized to ``dtype`` (``ldyn.models.gguf``). Without it the
        safetensors of a directory are loaded, whatever lies beside them.
    dtype: type of the weights; the paper trains in float32. attention: the attention kernel.
    trust_remote_code: whether code that comes with the model may run; never needed for the models configured here.
    random_init: build the model untrained from ``architecture`` (model_type and its dimensions), without a download.
    tokenizer: "own" takes the tokenizer of ``name_or_path``; "word" and "bpe" make one from the data set's corpus,
        which only makes sense for an untrained model. "auto": "bpe" for an untrained model, else "own".
    """

    name_or_path: str
    kind: Literal["pretrained"] = "pretrained"
    revision: str = "main"
    gguf_file: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    trust_remote_code: bool = False
    random_init: bool = False
    architecture: Mapping[str, Dimension] = field(default_factory=dict)
    tokenizer: Literal["auto", "own", "word", "bpe"] = "auto"

    def __post_init__(self) -> None:
        if self.random_init and "model_type" not in self.architecture:
            raise ValueError(
                "random_init=true builds the model from `architecture`, which has no model_type; give it one "
                "(for example model.architecture.model_type=gpt_neox) and the dimensions that differ from its defaults"
            )
        if self.tokenizer in ("word", "bpe") and not self.random_init:
            raise ValueError(
                f"tokenizer={self.tokenizer} would pair trained weights with a vocabulary they have never seen; "
                "use tokenizer=auto, or random_init=true"
            )


ModelConfig = Annotated[TinyConfig | PretrainedConfig, Field(discriminator="kind")]
