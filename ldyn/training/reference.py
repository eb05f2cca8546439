"""Log-probabilities under the reference: the policy as it is when its stage begins, two numbers a pair.

They are computed once, before the first step: no second model is kept. Other runs with the same weights and rows (a
sweep over β, a stage that is resumed) find them in the cache by the content that they depend on. Batches do not depend
on the run's batch size or number of processes, so that a cached number is, bit for bit, what would be computed here.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import uuid
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.errors import ModelError
from ldyn.models.base import fingerprint
from ldyn.models.evaluation import evaluation_mode
from ldyn.processes.group import from_main, gathered, is_main_process, own_share
from ldyn.records import EncodedPair
from ldyn.training.batches import Layout, pair_row, pairwise_documents
from ldyn.training.logps import token_logps

# Raise it when a change of the code would give other numbers for the same content.
RECIPE_VERSION = 2
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
    file = from_main(lambda: cache_dir and _cache_file(model, tokenizer, pairs, precision, layout, device, cache_dir))
    found = from_main(lambda: _read(file, len(pairs)))
    if found is not None:
        return found
    logps = _computed(model, pairs, precision, layout, device)
    if file and is_main_process():
        _write(file, logps)
    return logps


def check_vocabulary(model: PreTrainedModel, pairs: Sequence[EncodedPair]) -> None:
    """Raise ModelError where a pair has a token id that the model does not embed: it was encoded for another one."""
    known = len(model.get_input_embeddings().get_parameter("weight"))
    largest = max((max((*pair.prompt_ids, *pair.chosen_ids, *pair.rejected_ids)) for pair in pairs), default=0)
    if largest >= known:
        raise ModelError(
            f"The pairs have token ids up to {largest}, but the model embeds {known} tokens: it has another vocabulary "
            "than the run's base model. Take a model of the same tokenizer, or start a run from that model."
        )


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


def _cache_file(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[EncodedPair],
    precision: str,
    layout: Layout,
    device: torch.device,
    cache_dir: Path,
) -> Path:
    """Named by all that the numbers depend on: weights, rows, precision, and what rounds them."""
    digest = hashlib.sha256(fingerprint(model, tokenizer).encode())
    on_cpu = f"{platform.machine()}, {torch.get_num_threads()} threads"
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else on_cpu
    for fact in (RECIPE_VERSION, precision, layout, model.config._attn_implementation, torch.__version__, where):
        digest.update(f"{fact}\n".encode())
    for pair in pairs:
        digest.update(repr((pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)).encode())
    return cache_dir / "reference" / f"{digest.hexdigest()[:32]}.npy"


def _read(file: Path | None, n_pairs: int) -> Logps | None:
    """The cached numbers; None where there are none that can be used."""
    if file is None or not file.exists():
        return None
    try:
        logps: Logps = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        _log.warning("The cached reference log-probs %s cannot be read (%s); computing them again.", file, error)
        return None
    if logps.shape != (n_pairs, 2) or logps.dtype != np.float32:
        _log.warning("The cached reference log-probs %s are damaged; computing them again.", file)
        return None
    return logps


def _write(file: Path, logps: Logps) -> None:
    """Put the file into place at once, as other jobs may write or read the same; a full disk only costs the cache."""
    temporary = file.with_name(f".{file.stem}-{uuid.uuid4().hex}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            np.save(stream, logps)
        temporary.replace(file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        _log.warning("The reference log-probs cannot be kept in %s: %s; another run computes them again.", file, error)
