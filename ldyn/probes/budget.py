"""How many tokens one forward pass may have: from free memory, or as the user says, and less when memory runs out.

The rule of ``token_budget: auto``:

- on a CPU, CPU_TOKENS. Measured on two cores: a model of 1 M parameters gains nothing above it, and with 50,304 logits
  a token the time grows again, as activations leave the cache;
- on an accelerator, as many tokens as SHARE of the memory free at that moment holds by the estimate below, at most
  ACCELERATOR_TOKENS: matrix products of so many rows keep any of them busy, more would only take memory.

The estimate, in bytes for one token of a row of S tokens, without gradients, so that one layer's tensors live at a time
(h hidden size, f width of the MLP, b bytes of a number, V vocabulary, H heads):

    b (12 h + 3 f)      residual stream, norms (in float32), queries, keys, values, the MLP with its gate
    (b + 3) S           the mask, and what it is made of
    (2 b + 4) H S       only with eager attention: its scores and their softmax, in float32
    (b + 4) V           only where logits are not made in chunks (`ldyn.models.evaluation`)

An estimate may err. Running out of memory therefore ends nothing: the budget is halved.
"""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from transformers import PreTrainedModel

from ldyn.models.evaluation import has_known_head

CPU_TOKENS = 2048
ACCELERATOR_TOKENS = 32_768
FEWEST_TOKENS = 16  # a smaller budget changes nothing: rows hold one response, and logits are made of so many tokens
SHARE = 0.5

Tokens = int | Literal["auto"]


class TokenBudget:
    """The tokens of one forward pass. Shared by all scoring with one model, so that what was learnt is kept."""

    def __init__(self, tokens: Tokens):
        self._wanted = tokens
        self._ceiling: int | None = None  # half of the last budget that was too much

    def tokens(self, model: PreTrainedModel, longest_row: int) -> int:
        """The budget for rows of up to ``longest_row`` tokens, as things are now."""
        wanted = automatic_tokens(model, longest_row) if self._wanted == "auto" else self._wanted
        return wanted if self._ceiling is None else min(wanted, self._ceiling)

    def halve(self, tokens: int, said: str) -> int:
        """The budget to go on with after ``tokens`` were too many, as the allocator ``said``; warns the first time."""
        if self._ceiling is None:
            warnings.warn(
                f"Memory ran out while scoring {tokens} tokens in one forward pass ({said}). The budget is halved, as "
                "often as needed, and nothing is lost; probes.token_budget sets a smaller one from the start.",
                stacklevel=2,
            )
        self._ceiling = max(FEWEST_TOKENS, tokens // 2)
        return self._ceiling


def automatic_tokens(model: PreTrainedModel, longest_row: int) -> int:
    """The budget by the rule at the top of the file."""
    if model.device.type != "cuda":
        return CPU_TOKENS
    fitting = int(SHARE * _free_bytes(model.device)) // bytes_per_token(model, longest_row)
    return max(FEWEST_TOKENS, min(ACCELERATOR_TOKENS, fitting))


def bytes_per_token(model: PreTrainedModel, longest_row: int) -> int:
    """The estimate at the top of the file."""
    config, size = model.config.get_text_config(), model.dtype.itemsize
    width = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * config.hidden_size
    needed = size * (12 * config.hidden_size + 3 * width) + (size + 3) * longest_row
    if config._attn_implementation == "eager":
        needed += (2 * size + 4) * config.num_attention_heads * longest_row
    if not has_known_head(model):
        needed += (size + 4) * config.vocab_size
    return int(needed)


def _free_bytes(device: torch.device) -> int:
    """What the driver has free, and what torch's allocator holds without using it."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out. On a CPU torch has no type of its own for that."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
