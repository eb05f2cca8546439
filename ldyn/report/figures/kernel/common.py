"""What the figures of a decomposition share: colours of groups and parts, stages, means over examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ldyn.numerics.statistics import student_t_quantile
from ldyn.report.style import GREEDY, GROUPS, curve_style, family_of

GROUP_COLOURS = {
    "chosen": curve_style("chosen").colour,
    "rejected": curve_style("rejected").colour,
    "irrelevant": curve_style("irr_train").colour,
    "random": curve_style("random_nonhum").colour,
    "other": curve_style(GREEDY).colour,
}
"""The hue of each family of probes, as everywhere; where single probes cannot be told apart in a cloud of points."""


def stages_of(table: pd.DataFrame) -> list[str]:
    """The stages of a table in the order in which they ran."""
    return [str(stage) for stage in table["stage"].unique()]


def group_of(probe: str) -> str:
    """The family's name, "other" for probes of the user's own."""
    group = family_of(probe).group
    return group if group in GROUPS else "other"


def mean_and_half(values: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Mean over the rows (examples) of each column, and half the width of its 95 % t-interval (NaN for one example)."""
    counts = values.count()
    quantiles = np.array([student_t_quantile(n - 1) if n > 1 else np.nan for n in counts])
    return values.mean(), values.std(ddof=1) * quantiles / np.sqrt(counts.clip(lower=1))


def part_colours(parts: Sequence[str]) -> dict[str, str]:
    """Layers from light to dark towards the output; the unembedding, which the theory singles out, in vermilion."""
    inner = [part for part in parts if part.startswith("layer")]
    shades = colormaps["cividis_r"](np.linspace(0.25, 1.0, max(len(inner), 1)))
    colours = {part: to_hex(shade) for part, shade in zip(inner, shades, strict=False)}
    return {**colours, "embeddings": "#2C9C5A", "final norm": "#8C8C8C", "unembedding": "#B83200"}


def updates_axis(axes: Axes) -> None:
    """The horizontal axis of a figure over training."""
    axes.set_xlabel("updates made")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def minus_signs(axes: Axes) -> None:
    """Real minus signs on a linear value axis."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))


def example_count(table: pd.DataFrame) -> int:
    """How many probe examples stand behind a table."""
    return int(table["example_id"].nunique())
