"""Log-probabilities under the reference: the policy as it is when its stage begins, two numbers a pair.

They are computed once, before the first step: no second model is kept. Other runs with the same weights and rows (a
sweep over β, a resumed stage) find them in the cache. Batches do not depend on the run's batch size or number of
processes, so a cached number is bit for bit the one that would be computed here.
"""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.errors import DataError, ModelError
from ldyn.models.base import fingerprint, max_positions, too_long
from ldyn.models.cache import cached_directory, is_intact
from ldyn.models.evaluation import evaluation_mode
from ldyn.processes.group import from_main, gathered, is_main_process, own_share
from ldyn.records import EncodedPair
from ldyn.training.batches import Layout, pair_row, pairwise_documents
from ldyn.training.logps import token_logps

# Raise it when a change of the code would give other numbers for the same content.
RECIPE_VERSION = 2
FILE = "logps.npy"
_log = logging.getLogger(__name__)
Logps = NDArray[np.float32]


def reference_logps(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[EncodedPair],
    *,
    precision: str,
    layout: Layout,
    cache_dir: Path | None,
) -> Logps:
    """[pairs, 2]: summed log π_ref of the chosen and of the rejected response, in nats, float32.

    Every process must call; each computes its share of what is not in the cache, and all get the same numbers.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    entry = from_main(lambda: cache_dir and _cache_entry(model, tokenizer, pairs, precision, layout, device, cache_dir))
    found = from_main(lambda: _read(entry))
    if found is not None:
        return found
    logps = _computed(model, pairs, precision, layout, device)
    if entry and is_main_process():
        _write(entry, logps)
    return logps


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


def _computed(
    model: PreTrainedModel,
    pairs: Sequence[EncodedPair],
    precision: str,
    layout: Layout,
    device: torch.device,
) -> Logps:
    planned = layout.parts(pairwise_documents([pair_row(pair) for pair in pairs]))

    def score(indices: range) -> Logps:
        rows = [pair_row(pairs[index]) for index in indices]
        sides = token_logps(model, layout.pack(pairwise_documents(rows))).sums.chunk(2)
        return np.stack([side.float().cpu().numpy() for side in sides], axis=1)

    autocast = torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
    nn.Module.to(model, device)
    with evaluation_mode(model), autocast:
        scored = gathered(lambda: {number: score(planned[number]) for number in own_share(len(planned))})
    return np.concatenate([scored[number] for number in range(len(planned))])


def _cache_entry(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[EncodedPair],
    precision: str,
    layout: Layout,
    device: torch.device,
    cache_dir: Path,
) -> Path:
    """Named by all that the numbers depend on: model, rows, precision, and what rounds them."""
    digest = hashlib.sha256(fingerprint(model, tokenizer).encode())
    on_cpu = f"{platform.machine()}, {torch.get_num_threads()} threads"
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else on_cpu
    versions = (torch.__version__, transformers.__version__)
    for fact in (RECIPE_VERSION, precision, layout, model.config._attn_implementation, *versions, where):
        digest.update(f"{fact}\n".encode())
    for pair in pairs:
        digest.update(repr((pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)).encode())
    return cache_dir / "reference" / digest.hexdigest()[:32]


def _read(entry: Path | None) -> Logps | None:
    """The cached numbers; None where there are none, or they are damaged."""
    if entry is None or not is_intact(entry):
        return None
    logps: Logps = np.load(entry / FILE, allow_pickle=False)
    return logps


def _write(entry: Path, logps: Logps) -> None:
    """Other jobs may write the same entry; without space on the disk only the cache is missing."""
    try:
        cached_directory(entry, lambda directory: np.save(directory / FILE, logps))
    except ModelError as error:
        _log.warning("The reference log-probs are not cached: %s", error)
