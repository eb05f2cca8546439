"""Responses χ = [x ; y], the logits z of their response positions as a function of the weights θ.

Shapes: B sequences of at most T tokens, right-padded; N response tokens in all, one sequence after the other; V tokens
in the vocabulary; P weights. The logits at position t predict token t + 1.

All derivatives are taken through `response_logits`. It forces attention to its plain mathematical form: fused kernels
have no forward mode, and their gradients of a sequence depend on the other sequences of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from ldyn.errors import DataError
from ldyn.models.evaluation import PLAIN_HEADS, hidden_states, is_sharded, unembed
from ldyn.records import EncodedProbeExample

T = TypeVar("T")
SPLIT = "train"  # claims are about responses to training questions
Weights = Mapping[str, Tensor]
"""Weights by name, as `weights_of` names them."""


@dataclass(frozen=True, slots=True)
class Response:
    """χ = [x ; y] as token ids; neither part is empty."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]


@dataclass(frozen=True)
class Observed:
    """Probe examples and all their responses one after the other; ``keys`` are (example id, probe)."""

    examples: tuple[EncodedProbeExample, ...]
    keys: tuple[tuple[str, str], ...]
    responses: tuple[Response, ...]

    def frame(self, **columns: Sequence[Any] | Any) -> pd.DataFrame:
        """One row a response: example_id, probe, n_tokens, then ``columns`` (a value for each, or one for all)."""
        frame = pd.DataFrame(self.keys, columns=["example_id", "probe"])
        frame["n_tokens"] = [len(one.response_ids) for one in self.responses]
        return frame.assign(**columns)


def observe(probes: Sequence[EncodedProbeExample], n_examples: int) -> Observed:
    """The first ``n_examples`` train probes, which are a seeded draw. Raises DataError if there is none."""
    examples = tuple(example for example in probes if example.split == SPLIT)[:n_examples]
    if not examples:
        raise DataError(
            f"Found no {SPLIT} probe to observe among {len(probes)} probe examples, expected at least one; raise "
            "probes.n_train, or use data with probes."
        )
    members = [(example, probe, ids) for example in examples for probe, ids in example.responses.items()]
    return Observed(
        examples,
        tuple((example.example_id, probe) for example, probe, _ in members),
        tuple(Response(example.prompt_ids, ids) for example, _, ids in members),
    )


@dataclass(frozen=True)
class Batch:
    """Responses side by side. ``input_ids``, ``attention_mask``: [B, T].

    rows, positions, labels: [N], where the logits of each response token are, and the token. lengths: L of each.
    """

    input_ids: Tensor
    attention_mask: Tensor
    rows: Tensor
    positions: Tensor
    labels: Tensor
    lengths: tuple[int, ...]

    def split(self, values_N: Tensor) -> tuple[Tensor, ...]:
        """Values of all response tokens, split by response."""
        return torch.split(values_N, list(self.lengths))


def make_batch(responses: Sequence[Response], device: torch.device | str = "cpu") -> Batch:
    """Pad on the right with token 0, which is masked. Raises DataError if there is nothing to observe."""
    if not responses:
        raise DataError("There is no response to observe, expected at least one; give probes, or raise their number.")
    if any(not response.prompt_ids or not response.response_ids for response in responses):
        raise DataError(
            "A response or its prompt has no token left, expected at least one of each; exclude responses that are "
            "empty or that truncation emptied."
        )
    lengths = tuple(len(response.response_ids) for response in responses)
    wholes = [[*response.prompt_ids, *response.response_ids] for response in responses]
    width = max(map(len, wholes))
    rows = [row for row, length in enumerate(lengths) for _ in range(length)]
    positions = [t for ids, length in zip(wholes, lengths, strict=True) for t in range(len(ids) - length, len(ids))]
    labels = [label for response in responses for label in response.response_ids]
    return Batch(
        torch.tensor([ids + [0] * (width - len(ids)) for ids in wholes], device=device),
        torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in wholes], device=device),
        torch.tensor(rows, device=device),
        torch.tensor(positions, device=device) - 1,
        torch.tensor(labels, device=device),
        lengths,
    )


def batches(
    responses: Sequence[Response], token_budget: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[list[int], Batch]]:
    """Batches of at most ``token_budget`` tokens including padding, each with the indices of its responses.

    Longest first, so that running out of memory shows at once; a response longer than the budget is alone.
    """
    n_tokens = [len(one.prompt_ids) + len(one.response_ids) for one in responses]
    order = sorted(range(len(responses)), key=lambda i: -n_tokens[i])
    while order:
        fitting = max(1, token_budget // n_tokens[order[0]])
        taken, order = order[:fitting], order[fitting:]
        yield taken, make_batch([responses[i] for i in taken], device)


def by_batches(
    model: PreTrainedModel, responses: Sequence[Response], token_budget: int, of_batch: Callable[[Batch], Sequence[T]]
) -> list[T]:
    """One value for each response, computed batch by batch, in the order of ``responses``."""
    found: dict[int, T] = {}
    for indices, batch in batches(responses, token_budget, model.device):
        found |= dict(zip(indices, of_batch(batch), strict=True))
    return [found[index] for index in range(len(responses))]


class _ResponseLogits(nn.Module):
    """The model as a function of a batch, in the form that `functional_call` requires."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if self.model.config.model_type in PLAIN_HEADS and not is_sharded(self.model):
            return unembed(self.model, hidden_states(self.model, **inputs)[batch.rows, batch.positions])
        logits: Tensor = self.model(**inputs, use_cache=False).logits
        return logits[batch.rows, batch.positions]


def response_logits(model: PreTrainedModel, weights: Weights, batch: Batch) -> Tensor:
    """z = h_θ(χ), [N, V], with ``weights`` replacing the model's own of the same names."""
    named = {f"model.{name}": tensor for name, tensor in weights.items()}
    with plain_attention(model):
        logits: Tensor = functional_call(_ResponseLogits(model), named, (batch,), tie_weights=False)
    return logits if logits.dtype == torch.float64 else logits.float()


def token_logps(model: PreTrainedModel, weights: Weights, batch: Batch) -> Tensor:
    """log π(y_m | x, y_<m) of every response token under ``weights``, [N], nats."""
    logits = response_logits(model, weights, batch)
    return logits.log_softmax(-1).gather(1, batch.labels[:, None]).squeeze(1)


def weights_of(model: PreTrainedModel, *, requires_grad: bool = False) -> dict[str, Tensor]:
    """The trained weights by name, detached from the model's own gradients.

    Where two modules share one tensor (tied embeddings) both names are listed, so that their parts stay separate:
    the derivative with respect to the tensor is the sum over its names.
    """
    named = model.named_parameters(remove_duplicate=False)
    return {name: tensor.detach().requires_grad_(requires_grad) for name, tensor in named if tensor.requires_grad}


def under_all_names(model: PreTrainedModel, values: Weights) -> dict[str, Tensor]:
    """``values`` of weights by one name each, as an optimizer has them, under all names of a tensor."""
    names = dict(model.named_parameters(remove_duplicate=False))
    by_tensor = {id(names[name]): value for name, value in values.items() if name in names}
    return {name: by_tensor[id(weight)] for name, weight in names.items() if id(weight) in by_tensor}


def joined(weights: Weights, parts: Sequence[Tensor]) -> dict[str, Tensor]:
    """``parts``, one for each of ``weights`` (such as its gradient), summed over all names of a tensor."""
    sums: dict[int, Tensor] = {}
    for tensor, part in zip(weights.values(), parts, strict=True):
        sums[tensor.data_ptr()] = sums[tensor.data_ptr()] + part if tensor.data_ptr() in sums else part
    return {name: sums[tensor.data_ptr()] for name, tensor in weights.items()}


def flattened(weights: Weights, parts: Sequence[Tensor]) -> Tensor:
    """``joined`` as one vector [P] that contains each tensor once."""
    once = {id(part): part for part in joined(weights, parts).values()}
    return torch.cat([part.flatten() for part in once.values()])


@contextmanager
def plain_attention(model: PreTrainedModel) -> Iterator[None]:
    """Compute attention in its plain mathematical form within this block, whatever the model is set to."""
    kind = model.config._attn_implementation
    fused = kind not in ("eager", "sdpa")
    if fused:
        model.set_attn_implementation("eager")
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        if fused:
            model.set_attn_implementation(kind)
