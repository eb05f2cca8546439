"""Responses as the kernel sees them: χ = [x ; y] in padded batches, and the logits z of their response positions.

Shapes: B sequences of at most T tokens, right-padded; N response tokens in all, one sequence after the other; V tokens
in the vocabulary. The logits at position t predict token t + 1.

Derivatives of any kind are taken through `response_logits`, a plain function of the weights given to it. Attention is
forced to its plain mathematical form there: the fused kernels know no forward mode, and give other gradients to a
sequence in a batch than to the same one alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from ldyn.errors import DataError
from ldyn.models.evaluation import PLAIN_HEADS, hidden_states, is_sharded, unembed

Weights = Mapping[str, Tensor]
"""Weights by name, as `weights_of` names them."""


@dataclass(frozen=True, slots=True)
class Response:
    """χ = [x ; y] as token ids; neither part is empty."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Some responses side by side. ``input_ids``, ``attention_mask``: [B, T].

    rows, positions, labels: [N], where the logits of each response token are, and the token. lengths: L of each.
    """

    input_ids: Tensor
    attention_mask: Tensor
    rows: Tensor
    positions: Tensor
    labels: Tensor
    lengths: tuple[int, ...]

    def split(self, per_token: Tensor) -> tuple[Tensor, ...]:
        """Values of all N response tokens, response by response."""
        return torch.split(per_token, list(self.lengths))

    def sums(self, per_token: Tensor) -> Tensor:
        """[B], the sum over each response's tokens."""
        return torch.stack([part.sum() for part in self.split(per_token)])


def make_batch(responses: Sequence[Response], device: torch.device | str = "cpu") -> Batch:
    """Right-padded; the padding is token 0, which nothing sees. Raises DataError where there is nothing to observe."""
    if not responses:
        raise DataError("There is no response to observe, expected at least one; give probes, or raise their number.")
    if any(not response.prompt_ids or not response.response_ids for response in responses):
        raise DataError(
            "A response or its prompt has no token left, expected at least one of each; leave out what truncation or "
            "an empty text took away."
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
    """Batches of at most ``token_budget`` tokens, padding included, each with the indices of its responses.

    Longest first, so that what does not fit into memory shows at once; a response longer than the budget is alone.
    """
    order = sorted(range(len(responses)), key=lambda i: -_n_tokens(responses[i]))
    while order:
        fitting = max(1, token_budget // _n_tokens(responses[order[0]]))
        taken, order = order[:fitting], order[fitting:]
        yield taken, make_batch([responses[i] for i in taken], device)


def _n_tokens(response: Response) -> int:
    return len(response.prompt_ids) + len(response.response_ids)


class _ResponseLogits(nn.Module):
    """The model as a function of a batch, in the form that `functional_call` wants."""

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
    """z = h_θ(χ), [N, V], with ``weights`` in the place of the model's own of the same names."""
    named = {f"model.{name}": tensor for name, tensor in weights.items()}
    with plain_attention(model):
        logits: Tensor = functional_call(_ResponseLogits(model), named, (batch,), tie_weights=False)
    return logits if logits.dtype == torch.float64 else logits.float()


def token_logps(model: PreTrainedModel, weights: Weights, batch: Batch) -> Tensor:
    """log π(y_m | x, y_<m) of every response token under ``weights``, [N], nats."""
    logits = response_logits(model, weights, batch)
    return logits.log_softmax(-1).gather(1, batch.labels[:, None]).squeeze(1)


def weights_of(model: PreTrainedModel) -> dict[str, Tensor]:
    """The trained weights by name, without a gradient of their own.

    Where two modules share one tensor (tied embeddings) both names are listed, so that their parts can be told apart:
    the derivative with respect to the tensor is the sum over its names.
    """
    named = model.named_parameters(remove_duplicate=False)
    return {name: tensor.detach() for name, tensor in named if tensor.requires_grad}


def under_all_names(model: PreTrainedModel, values: Weights) -> dict[str, Tensor]:
    """``values`` of weights by one name each, as a checkpoint or an optimizer has them, under all names of a tensor."""
    names = dict(model.named_parameters(remove_duplicate=False))
    by_tensor = {id(names[name]): value for name, value in values.items() if name in names}
    return {name: by_tensor[id(weight)] for name, weight in names.items() if id(weight) in by_tensor}


def joined(weights: Weights, parts: Sequence[Tensor]) -> dict[str, Tensor]:
    """``parts``, one for each of ``weights`` (its gradient, say), summed over the names of a tensor, under each."""
    sums: dict[int, Tensor] = {}
    for tensor, part in zip(weights.values(), parts, strict=True):
        sums[tensor.data_ptr()] = sums[tensor.data_ptr()] + part if tensor.data_ptr() in sums else part
    return {name: sums[tensor.data_ptr()] for name, tensor in weights.items()}


def flattened(weights: Weights, parts: Sequence[Tensor]) -> Tensor:
    """``joined`` as one vector [P] that has each tensor once."""
    once = {id(part): part for part in joined(weights, parts).values()}
    return torch.cat([part.flatten() for part in once.values()])


@contextmanager
def plain_attention(model: PreTrainedModel) -> Iterator[None]:
    """Attention in its plain mathematical form within this block, whatever kernel the model is set to."""
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
