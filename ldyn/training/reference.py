"""Log-probabilities under the reference: the policy as it is when its stage begins, two numbers a pair.

They are computed once, before the first step: no second model is kept. Batches do not depend on the run's batch size or
number of processes, so a resumed stage computes the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from ldyn.errors import DataError, ModelError
from ldyn.models.base import max_positions, too_long
from ldyn.models.evaluation import evaluation_mode
from ldyn.processes.group import gathered, own_share
from ldyn.records import EncodedPair
from ldyn.training.batches import Layout, pair_row, pairwise_documents
from ldyn.training.logps import token_logps


def reference_logps(
    model: PreTrainedModel, pairs: Sequence[EncodedPair], *, precision: str, layout: Layout
) -> NDArray[np.float32]:
    """[pairs, 2]: summed log π_ref of the chosen and of the rejected response, in nats, float32.

    Every process must call; each computes its share, and all get the same numbers.
    """
    planned = layout.parts(pairwise_documents([pair_row(pair) for pair in pairs]))

    def score(indices: range) -> NDArray[np.float32]:
        rows = [pair_row(pairs[index]) for index in indices]
        sides = token_logps(model, layout.pack(pairwise_documents(rows))).sums.chunk(2)
        return np.stack([side.float().cpu().numpy() for side in sides], axis=1)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    autocast = torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
    nn.Module.to(model, device)
    with evaluation_mode(model), autocast:
        scored = gathered(lambda: {number: score(planned[number]) for number in own_share(len(planned))})
    return np.concatenate([scored[number] for number in range(len(planned))])


def check_pairs(model: PreTrainedModel, pairs: Sequence[EncodedPair]) -> None:
    """Raise ModelError for a token id that the model does not embed, DataError for a pair longer than its positions."""
    known, room = len(model.get_input_embeddings().get_parameter("weight")), max_positions(model)
    longest = 0
    for pair in pairs:
        prompt = pair.prompt_ids
        largest = max((*prompt, *pair.chosen_ids, *pair.rejected_ids))
        if largest >= known:
            raise ModelError(
                f"Pair {pair.pair_id!r} has token id {largest}, but the model embeds {known} tokens: its vocabulary is "
                "not that of the run's base model. Use a model of the same tokenizer, or start a run from that model."
            )
        longest = max(longest, len(prompt) + max(len(pair.chosen_ids), len(pair.rejected_ids)))
    if longest > room:
        raise DataError(f"The longest training pair has {too_long(longest, room)}.")
