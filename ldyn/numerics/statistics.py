"""Rank correlations, Student's t intervals and pass@k. Needs no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]


def rank_correlation(first: Array, second: Array) -> Array:
    """Spearman's ρ of each row of ``first`` with the same row of ``second`` (both rows × columns): (rows,).

    Pearson's correlation of the ranks, equal values sharing the mean of theirs. NaN where all values of a row are
    equal, as nothing is ranked there.
    """
    one, other = _centred_ranks(first), _centred_ranks(second)
    scale = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    correlation: Array = np.divide((one * other).sum(axis=1), scale, out=np.full(len(one), np.nan), where=scale > 0)
    return correlation


def _centred_ranks(values: Array) -> Array:
    ranks = pd.DataFrame(values).rank(axis=1).to_numpy(dtype=np.float64)
    centred: Array = ranks - ranks.mean(axis=1, keepdims=True)
    return centred


def standard_ranks(values: Array) -> Array:
    """Ranks of ``values`` (n,) with mean 0 and mean square 1, equal ones sharing theirs; all 0 where all are equal.

    The mean product of two such lists is Spearman's ρ.
    """
    centred = _centred_ranks(values[None])[0]
    spread = np.sqrt((centred**2).mean())
    standard: Array = centred / spread if spread > 0 else centred
    return standard


def kendall_tau(first: Array, second: Array) -> float:
    """(concordant − discordant pairs) / all pairs of two lists (n,); NaN for fewer than two values."""
    a, b = np.triu_indices(len(first), k=1)
    return float(np.mean(np.sign(first[a] - first[b]) * np.sign(second[a] - second[b]))) if len(a) else np.nan


def t_half_width(spread: ArrayLike, n: ArrayLike) -> Array:
    """Half of the 95 % Student-t interval of a mean of n values with standard deviation ``spread``; NaN where n < 2."""
    count = np.asarray(n, dtype=np.float64)
    quantile = stdtrit(np.maximum(count - 1, 1), 0.975)
    half: Array = np.where(count > 1, np.asarray(spread) * quantile / np.sqrt(np.maximum(count, 1)), np.nan)
    return half


def pass_at(k: int, samples: ArrayLike, correct: ArrayLike) -> Array:
    """The chance that one of k answers is right, 1 − C(n − c, k)/C(n, k), from c right ones of n: unbiased for k ≤ n.

    Chen et al. 2021 (arXiv 2107.03374), equation 1, as the product of (n − c − i)/(n − i) over i < k; NaN for k > n.
    """
    n, c = np.asarray(samples, dtype=np.float64)[..., None], np.asarray(correct, dtype=np.float64)[..., None]
    i = np.arange(k)
    wrong: Array = (np.maximum(n - c - i, 0) / np.maximum(n - i, 1)).prod(axis=-1)
    return np.where(n[..., 0] < k, np.nan, 1 - wrong)
