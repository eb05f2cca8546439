"""From the statistics of a batch's tokens to one score, and if asked for one token record, for each response."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldyn.errors import DataError
from ldyn.models.packing import PackedBatch
from ldyn.numerics.token_stats import TokenStats
from ldyn.probes.rows import ResponseKey
from ldyn.records import START_TOKENS, EncodedProbeExample, ProbeScore, TokenRecord

Start = Mapping[tuple[str, str, str], TokenRecord]  # (split, example id, probe) -> the record of the stage's step 0

SUMS = ("logp", "logp_argmax", "log_mass_rest")
MEANS = ("entropy", "prob_norm_sq", "a_norm", "residual_norm", "p_label", "argmax_is_label")


@dataclass(frozen=True, slots=True)
class Scored:
    """What is kept of one response."""

    score: ProbeScore
    tokens: TokenRecord | None = None


@dataclass(frozen=True, slots=True)
class Reduction:
    """What to keep: scores, and with ``per_token`` token records against ``start`` (None: this is the start)."""

    examples: Sequence[EncodedProbeExample]
    per_token: bool = False
    start: Start | None = None

    def watched(self, batch: PackedBatch) -> Tensor | int:
        """What ``token_stats`` is to watch: the start's most likely tokens [N, W], or, at the start, how many of them.

        Raises DataError where the start has no record of a response.
        """
        if not self.per_token or self.start is None:
            return START_TOKENS if self.per_token else 0
        ids = []
        for index, probe in batch.keys:
            example = self.examples[index]
            record = self.start.get((example.split, example.example_id, probe))
            if record is None or record.start_ids is None or tuple(record.token_ids) != example.responses[probe]:
                raise DataError(
                    f"{probe} of {example.split} example {example.example_id} has no record of the stage's start, or "
                    "one of another response; score the same probes at step 0 first, without `start`."
                )
            ids.append(record.start_ids)
        return torch.from_numpy(np.concatenate(ids)).long()

    def reduce(self, batch: PackedBatch, stats: TokenStats) -> dict[ResponseKey, Scored]:
        """(example index, probe) -> what is kept, for each response of the batch."""
        scores = dict(_scores(batch, stats, self.examples))
        records = dict(token_records(batch, stats, self.examples, self.start)) if self.per_token else {}
        return {key: Scored(score, records.get(key)) for key, score in scores.items()}


def token_records(
    batch: PackedBatch, stats: TokenStats, examples: Sequence[EncodedProbeExample], start: Start | None
) -> Iterator[tuple[ResponseKey, TokenRecord]]:
    """One record for each response of the batch; ``stats`` must have watched ``Reduction.watched``."""
    ids, argmax_ids, start_ids = map(_integers, (batch.labels, stats.argmax_id, stats.watched_ids))
    logp, logp_argmax, entropy = map(_floats, (stats.logp, stats.logp_argmax, stats.entropy))
    of_start_argmax, kept = _floats(stats.watched_logps[:, 0]), _floats(stats.watched_logps.exp().sum(dim=1))
    for key, end, n_tokens in zip(batch.keys, accumulate(batch.lengths), batch.lengths, strict=True):
        own, example = slice(end - n_tokens, end), examples[key[0]]
        names = (example.split, example.example_id, key[1])
        before = logp_argmax[own] if start is None else start[names].logp_argmax
        is_finite = bool(np.isfinite(entropy[own]).all() and np.isfinite(before).all())
        yield (
            key,
            TokenRecord(
                *names,
                token_ids=ids[own],
                logp=logp[own],
                argmax_ids=argmax_ids[own],
                logp_argmax=logp_argmax[own],
                entropy=entropy[own],
                logp_start_argmax=of_start_argmax[own],
                argmax_gained=float(np.mean(of_start_argmax[own] > before)) if is_finite else np.nan,
                kept_mass=float(kept[own].mean(dtype=np.float64)) if is_finite else np.nan,
                start_ids=start_ids[own] if start is None else None,
            ),
        )


def _integers(values: Tensor) -> NDArray[np.int32]:
    return values.cpu().numpy().astype(np.int32)


def _floats(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()


def _scores(
    batch: PackedBatch, stats: TokenStats, examples: Sequence[EncodedProbeExample]
) -> Iterator[tuple[ResponseKey, ProbeScore]]:
    """One score for each response; NaN throughout where a logit of any of its tokens was not finite."""
    starts = np.cumsum((0, *batch.lengths[:-1]))
    sums = {name: np.add.reduceat(_float64(getattr(stats, name)), starts) for name in (*SUMS, *MEANS)}
    for number, ((index, probe), n_tokens) in enumerate(zip(batch.keys, batch.lengths, strict=True)):
        values = {name: float(sums[name][number]) / (1 if name in SUMS else n_tokens) for name in sums}
        if math.isnan(values["entropy"]):
            values = dict.fromkeys(values, math.nan)
        example = examples[index]
        yield (index, probe), ProbeScore(example.split, example.example_id, probe, n_tokens, **values)


def _float64(values: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.double().cpu().numpy()
    return array
