"""The numbers behind the interactive chart, aggregated and rounded to keep the page small.

Shape: ``values[stage][split][probe][quantity] = {level, level_half, change, change_half, n}``, each a list over the
stage's evaluations (``stages[i].step`` and ``.seen``), null where nothing was measured; n is one number where it is
the same at all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ldyn.records import StageInfo
from ldyn.report.curves import QUANTITIES, main_split
from ldyn.report.stages import chain_title, find_chains, main_chain, stage_title
from ldyn.report.style import GREEDY, KEY_PROBES, curve_style, family_of, order_probes

GREEDY_QUANTITIES = ("logp", "logp_per_token")
_NUMBERS = {"level": 5, "level_half": 3, "change": 4, "change_half": 3}
"""Significant digits of each number."""


def chart_data(curves: pd.DataFrame, stages: Sequence[StageInfo]) -> dict[str, Any]:
    """All that the chart's script needs, ready for JSON."""
    first = main_chain(stages)
    split_names = sorted(curves["split"].unique(), key=lambda split: split != main_split(curves))
    measured = set(curves["quantity"])
    return {
        "quantities": [{"key": key, **asdict(quantity)} for key, quantity in QUANTITIES.items() if key in measured],
        "probes": [_probe(probe) for probe in order_probes(set(curves["probe"]))],
        "splits": split_names,
        "stages": [_stage(curves, stage) for stage in stages],
        "chains": [
            {"title": chain_title(chain), "stages": [stage.name for stage in chain]}
            for chain in sorted(find_chains(stages), key=lambda chain: chain != first)
        ],
        "values": {stage.name: _values(curves[curves["stage"] == stage.name]) for stage in stages},
    }


def _probe(probe: str) -> dict[str, Any]:
    style, family = curve_style(probe), family_of(probe)
    return {
        "key": probe, "name": style.name, "symbol": family.symbol, "label": family.label, "group": family.group,
        "colour": style.colour, "text": style.text_colour, "dash": [part * style.width for part in style.dash],
        "width": style.width, "shown": probe in KEY_PROBES,
    }  # fmt: skip


def _evaluations(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[["step", "examples_seen"]].drop_duplicates("step").sort_values("step")


def _stage(curves: pd.DataFrame, stage: StageInfo) -> dict[str, Any]:
    rows = _evaluations(curves[curves["stage"] == stage.name])
    steps, seen = ([int(value) for value in rows[name]] for name in ("step", "examples_seen"))
    titles = {"title": stage_title(stage), "short": stage.algorithm.upper()[:12]}
    return {"name": stage.name, **titles, "step": steps, "seen": seen}


def _values(rows: pd.DataFrame) -> dict[str, Any]:
    steps = _evaluations(rows)["step"].to_numpy()
    places = np.searchsorted(steps, rows["step"].to_numpy())
    measured = {name: rows[name].to_numpy(float) for name in (*_NUMBERS, "level_n")}
    values: dict[str, Any] = {}
    # Arrays, as a table for each of some hundred curves takes longer than all the rest of the page.
    for key, members in rows.groupby(["split", "probe", "quantity"], sort=False).indices.items():
        split, probe, quantity = cast("tuple[str, str, str]", key)
        if probe == GREEDY and quantity not in GREEDY_QUANTITIES:
            continue
        series = {name: np.full(len(steps), np.nan) for name in measured}
        for name, of_all in measured.items():
            series[name][places[members]] = of_all[members]
        numbers: dict[str, Any] = {name: _rounded(series[name], digits) for name, digits in _NUMBERS.items()}
        counts = np.nan_to_num(series["level_n"]).astype(int).tolist()
        numbers["n"] = counts[0] if len(set(counts)) == 1 else counts
        values.setdefault(split, {}).setdefault(probe, {})[quantity] = numbers
    return values


def _rounded(values: NDArray[np.float64], digits: int) -> list[float | None]:
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]
