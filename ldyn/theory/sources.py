"""What an update was made of: the responses trained on with their coefficients, and Δθ split among them.

Δθ = −P g + rest, with g the clipped gradient of this step's loss, P the optimizer's step size of every weight (see
``ldyn.theory.step_sizes``) and the rest what earlier gradients and weight decay add. g is a sum over the responses of
the batch, so the update splits into what raised y⁺, what lowered y⁻, and the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ldyn.algorithms import residual_coefficients
from ldyn.models.evaluation import evaluation_mode
from ldyn.records import EncodedPair
from ldyn.theory.prediction import inner_product
from ldyn.theory.residuals import Side, UpdatedResponse
from ldyn.theory.responses import Response, Weights, batches, joined, token_logps, under_all_names, weights_of
from ldyn.theory.step_sizes import step_sizes
from ldyn.training.single_step import StepTaken
from ldyn.training.stage import StagePlan

REST = "earlier batches"
SIDES: tuple[Side, Side] = ("chosen", "rejected")


def responses_of(pair: EncodedPair, side: Side) -> Response:
    """χ = [x ; y⁺] or [x ; y⁻] of a training pair."""
    return Response(pair.prompt_ids, pair.chosen_ids if side == "chosen" else pair.rejected_ids)


def updated_responses(plan: StagePlan, taken: StepTaken, pairs: Sequence[EncodedPair]) -> list[UpdatedResponse]:
    """Everything that the step trained on, with its residual coefficient c at the weights before the step."""
    known = {responses_of(pair, side): (pair.pair_id, side) for pair in pairs for side in SIDES}
    updated = []
    counted = [batch for batch in taken.micro_batches if batch.n_rows]
    share = 1 / sum(batch.n_rows for batch in counted)  # the loss of an update is the mean over all its rows
    for batch in counted:
        by_side = residual_coefficients(plan.algorithm, plan.parameters, *batch.responses)
        for response, coefficient in zip(_responses(batch.inputs), torch.cat(by_side).tolist(), strict=True):
            updated.append(UpdatedResponse(*known[response], response, share * coefficient))
    return updated


def _responses(inputs: Mapping[str, Tensor]) -> Iterator[Response]:
    """The rows of a micro-batch: of pairs all chosen and then all rejected ones, as TRL's collator stacks them."""
    mask = inputs["completion_mask"] if "completion_mask" in inputs else inputs["labels"] != -100
    for ids, flags in zip(inputs["input_ids"].tolist(), mask.tolist(), strict=True):
        first, count = flags.index(1), sum(flags)
        yield Response(tuple(ids[:first]), tuple(ids[first : first + count]))


def delta_by_source(
    model: PreTrainedModel,
    taken: StepTaken,
    updated: Sequence[UpdatedResponse],
    max_grad_norm: float,
    token_budget: int,
) -> dict[str, Weights]:
    """Side -> its part of Δθ; what their sum lacks of Δθ is the rest. Takes twice the memory of the weights."""
    assert taken.optimizer is not None
    by_side = {side: [one for one in updated if one.side == side] for side in SIDES}
    pulls = {side: _pull(model, taken.delta, own, token_budget) for side, own in by_side.items() if own}
    clip = min(1.0, max_grad_norm / (_norm_of_sum(list(pulls.values())) + 1e-6))  # as torch's clip_grad_norm_
    weights = dict(model.named_parameters())
    sizes = {name: step_sizes(taken.optimizer, taken.learning_rate, weights[name]) for name in taken.delta}
    return {
        side: under_all_names(model, {name: clip * sizes[name] * pull[name] for name in taken.delta})
        for side, pull in pulls.items()
    }


def gradient_descent(
    model: PreTrainedModel, taken: StepTaken, updated: Sequence[UpdatedResponse], token_budget: int
) -> Weights:
    """−η g, the step of plain gradient descent on the same batch at the same learning rate, unclipped."""
    pull = _pull(model, taken.delta, updated, token_budget)
    return under_all_names(model, {name: taken.learning_rate * direction for name, direction in pull.items()})


def _pull(
    model: PreTrainedModel, names: Iterable[str], updated: Sequence[UpdatedResponse], token_budget: int
) -> dict[str, Tensor]:
    """Σ c ∇_θ s over some responses, of the named weights: minus the gradient of their part of the loss."""
    weights = {name: weight.requires_grad_() for name, weight in weights_of(model).items()}
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    with evaluation_mode(model), torch.enable_grad():
        for indices, batch in batches([one.response for one in updated], token_budget, model.device):
            sums = batch.sums(token_logps(model, weights, batch))
            coefficients = torch.tensor([updated[index].coefficient for index in indices]).to(sums)
            for name, gradient in zip(
                weights, torch.autograd.grad(coefficients @ sums, list(weights.values())), strict=True
            ):
                total[name] += gradient
    together = joined(weights, list(total.values()))
    return {name: together[name] for name in names}


def _norm_of_sum(pulls: Sequence[Weights]) -> float:
    squares = (inner_product(left[name], right[name]) for left in pulls for right in pulls for name in left)
    return float(sum(squares) ** 0.5)
