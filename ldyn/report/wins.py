"""Whose answers win, as rates: of one run over its questions, or of several runs over their seeds.

From the table ``wins`` of a run (columns: ``ldyn.answers.pairwise.wins``). A tie is half a win. Of one run the
interval is Wilson's over questions, too wide rather than too narrow with ties; over seeds it is Student's t.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ldyn.answers.pairwise.statistics import wilson
from ldyn.numerics.statistics import student_t_quantile

KEYS = ["judge", "arm", "baseline", "split", "epoch"]
PAPER_TABLE_1: Mapping[str, Mapping[float, float]] = {
    "paper, by ChatGPT": {0: 0.4729, 2: 0.6518, 4: 0.6928, 6: 0.6667},
    "paper, by Claude 3": {0: 0.4679, 2: 0.5151, 4: 0.6045, 6: 0.5432},
}
"""Win rate of extend over the baseline by epochs of DPO: Qwen1.5-1.8B, Anthropic HH."""
PAPER_QUESTIONS = 500
"""About so many answers stand behind each of these."""


def win_rates(wins: pd.DataFrame) -> pd.DataFrame:
    """One row for each judge, arm, split and moment, in the order of the table.

    Columns: KEYS; rate, low, high, n (questions judged); won, tied, lost: shares of these; unread: how many verdicts
    could not be read; characters_arm, characters_baseline, right_arm, right_baseline: means (NaN where not known).
    """
    rows = [{**dict(zip(KEYS, key, strict=True)), **_rate(frame)} for key, frame in wins.groupby(KEYS, sort=False)]
    return pd.DataFrame(rows)


def _rate(frame: pd.DataFrame) -> dict[str, float]:
    won = frame["won"].dropna()
    rate = wilson(won.tolist())
    shares = {name: float((won == value).mean()) for name, value in (("won", 1.0), ("tied", 0.5), ("lost", 0.0))}
    sides = [f"{name}_{side}" for name in ("characters", "right") for side in ("arm", "baseline")]
    means = {name: float(frame[name].mean()) for name in sides}
    unread = int(frame["won"].isna().sum())
    return {"rate": rate.value, "low": rate.low, "high": rate.high, "n": rate.n, **shares, "unread": unread, **means}


def rates_over_seeds(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The same columns from the ``wins`` of several runs: means over runs, n their number, intervals over them.

    ``of_each`` has the rates of the single runs. Fewer than two runs have no interval (NaN).
    """
    every = pd.concat([win_rates(wins).assign(run=name) for name, wins in runs.items()], ignore_index=True)
    groups = every.groupby(KEYS, sort=False)
    means = groups[[name for name in every.columns if name not in (*KEYS, "run")]].mean()
    n = groups["rate"].count()
    quantiles = np.array([student_t_quantile(int(count) - 1) if count > 1 else np.nan for count in n])
    half = quantiles * groups["rate"].std(ddof=1) / np.sqrt(n)
    means["low"], means["high"], means["n"] = means["rate"] - half, means["rate"] + half, n
    means["of_each"] = groups["rate"].agg(list)
    return means.reset_index()


def moment_word(epoch: float, rates: pd.DataFrame) -> str:
    """How a moment is called: its number of epochs, the last one marked as the end."""
    return f"{epoch:.3g}" + (" (end)" if epoch == rates["epoch"].max() else "")
