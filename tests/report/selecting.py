"""One curve out of the table of all."""

from __future__ import annotations

import pandas as pd


def select(curves: pd.DataFrame, stage: str, probe: str, quantity: str = "logp") -> pd.DataFrame:
    """The train evaluations of one curve in the order of its steps."""
    keys = {"stage": stage, "probe": probe, "quantity": quantity, "split": "train"}
    return curves[(curves[list(keys)] == list(keys.values())).all(axis=1)].sort_values("step")
