"""Win rates of the arms: of one run over its questions, or of several runs over their seeds.

From the table ``wins`` of a run (columns: ``ldyn.answers.win_rates``). A tie is half a win. Of one run the
interval is Wilson's over questions, too wide rather than too narrow with ties; over seeds it is Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from ldyn.answers.win_rates import wilson
from ldyn.numerics.statistics import t_half_width

KEYS = ["judge", "arm", "baseline", "split", "epoch"]


def win_rates(wins: pd.DataFrame) -> pd.DataFrame:
    """One row for each judge, arm, split and epoch, in the order of the table.

    Columns: KEYS; rate, low, high, n (questions judged); won, tied, lost: shares of these; unread: how many verdicts
    could not be read.
    """
    rows = [
        {**dict(zip(KEYS, key, strict=True)), **_rate(frame["won"])} for key, frame in wins.groupby(KEYS, sort=False)
    ]
    return pd.DataFrame(rows)


def _rate(verdicts: pd.Series) -> dict[str, float]:
    won = verdicts.dropna()
    rate = wilson(won.tolist())
    shares = {name: float((won == value).mean()) for name, value in (("won", 1.0), ("tied", 0.5), ("lost", 0.0))}
    unread = len(verdicts) - len(won)
    return {"rate": rate.value, "low": rate.low, "high": rate.high, "n": rate.n, **shares, "unread": unread}


def rates_over_seeds(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The same columns from the ``wins`` of several runs: means over runs, n their number, intervals over them.

    ``of_each`` has the rates of the single runs. Fewer than two runs have no interval (NaN).
    """
    every = pd.concat([win_rates(wins).assign(run=name) for name, wins in runs.items()], ignore_index=True)
    groups = every.groupby(KEYS, sort=False)
    means = groups[[name for name in every.columns if name not in (*KEYS, "run")]].mean()
    n = groups["rate"].count()
    half = t_half_width(groups["rate"].std(ddof=1), n)
    means["low"], means["high"], means["n"] = means["rate"] - half, means["rate"] + half, n
    means["of_each"] = groups["rate"].agg(list)
    return means.reset_index()


def epoch_text(epoch: float, rates: pd.DataFrame) -> str:
    """The number of epochs, the last one marked as the end."""
    return f"{epoch:.3g}" + (" (end)" if epoch == rates["epoch"].max() else "")


class WinTable(NamedTuple):
    """Of one judge and split: a row of texts for each arm."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def win_tables(rates: pd.DataFrame) -> Iterator[WinTable]:
    """One table for each judge and split. ``rates``: of one run, or over seeds."""
    epochs = sorted(rates["epoch"].unique())
    head = ["arm", *(epoch_text(epoch, rates) for epoch in epochs)]
    unit = "seeds" if "of_each" in rates else "questions"
    for (judge, split), own in rates.groupby(["judge", "split"], sort=False):
        by_arm = {str(arm): frame.set_index("epoch") for arm, frame in own.groupby("arm", sort=False)}
        rows = [[arm, *(_cell(of.loc[e]) if e in of.index else "–" for e in epochs)] for arm, of in by_arm.items()]
        title = f"Win rate over {own['baseline'].iloc[0]} on {split} questions, judged by {judge}"
        yield WinTable(f"{title}; {int(own['n'].max())} {unit}", head, rows)


def _cell(row: pd.Series) -> str:
    if math.isnan(row["rate"]):
        return f"– ({row['unread']:.0f} unread)"
    interval = f"± {row['high'] - row['rate']:.3f}" if "of_each" in row else f"[{row['low']:.3f}, {row['high']:.3f}]"
    shares = "–".join(f"{100 * row[name]:.0f}" for name in ("won", "tied", "lost"))
    unread = f", {row['unread']:.0f} unread" if row["unread"] else ""
    return f"{row['rate']:.3f} {interval} ({shares} %{unread})"
