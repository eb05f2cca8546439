"""What happened to every example between two models: chosen fell, rejected rose, both fell; as a table and a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from ldyn.records import ProbeExample
from ldyn.report.html import data_url, render
from ldyn.store.files import write_atomically

PAIR = ("chosen", "rejected")
FATES = ("chosen fell, rejected rose", "both fell", "both rose", "chosen rose, rejected fell")
MEASURES = {
    "chosen_change": "change of log π(y⁺)",
    "rejected_change": "change of log π(y⁻)",
    "margin_change": "change of the margin",
}
SHOWN = 20
"""Examples of each fate on the page, the lowest change of chosen first; changes.csv has all."""


def changes_between(rows: pd.DataFrame, before: str, after: str) -> pd.DataFrame:
    """One row for each example with numbers for chosen and rejected under both models; nats, sums over tokens.

    Columns: before, after (the models), split, example_id, ``<side>_before``, ``<side>_after`` and ``<side>_change``
    for chosen, rejected and margin (chosen - rejected), and fate, one of FATES; no change counts as a rise.
    """
    two = rows[rows["stage"].isin([before, after]) & rows["probe"].isin(PAIR)]
    table = two.pivot(index=["split", "example_id"], columns=["stage", "probe"], values="logp")
    if not all((stage, side) in table for side in PAIR for stage in (before, after)):
        return pd.DataFrame()
    table = table.dropna()
    first, last = (table[stage].assign(margin=lambda one: one["chosen"] - one["rejected"]) for stage in (before, after))
    sides, change = [*PAIR, "margin"], last - first
    found = pd.DataFrame({"before": before, "after": after}, index=table.index)
    for when, values in (("before", first), ("after", last), ("change", change)):
        found = found.join(values[sides].add_suffix(f"_{when}"))
    fates = {(True, False): FATES[0], (True, True): FATES[1], (False, False): FATES[2], (False, True): FATES[3]}
    fell = (change[list(PAIR)] < 0).itertuples(index=False, name=None)
    return found.assign(fate=[fates[one] for one in fell]).reset_index()


def summary(changes: pd.DataFrame) -> list[dict[str, Any]]:
    """For each fate: n, its share, and the mean changes in nats; fates without examples are not in it."""
    groups = changes.groupby("fate")
    return [
        {"fate": fate, "n": len(of), "share": len(of) / len(changes), **of[list(MEASURES)].mean()}
        for fate, of in ((fate, groups.get_group(fate)) for fate in FATES if fate in groups.groups)
    ]


def write_score_page(
    changes: pd.DataFrame, examples: Mapping[tuple[str, str], ProbeExample], source: str, path: Path
) -> None:
    """Write the page: counts, histograms and texts, one section for each two models."""
    pairs = changes.groupby(["before", "after"], sort=False)
    sections = [
        {
            "before": before,
            "after": after,
            "rows": summary(of),
            "picture": data_url(_histograms(of)),
            "fates": [
                (fate, len(some), list(_cards(some.sort_values("chosen_change"), examples)))
                for fate in FATES
                if len(some := of[of["fate"] == fate])
            ],
        }
        for (before, after), of in pairs
    ]
    write_atomically(path, render("score.html", source=source, sections=sections, shown=SHOWN).encode())


def _cards(changes: pd.DataFrame, examples: Mapping[tuple[str, str], ProbeExample]) -> Iterator[dict[str, Any]]:
    for row in changes.head(SHOWN).to_dict("records"):
        example = examples[row["split"], row["example_id"]]
        texts = {"prompt": example.prompt, **{side: example.responses[side].strip() for side in PAIR}}
        yield {**{str(name): value for name, value in row.items()}, **texts}


def _histograms(changes: pd.DataFrame) -> bytes:
    from matplotlib.figure import Figure

    from ldyn.report.figures import figure_settings

    with figure_settings():
        figure = Figure(figsize=(9, 2.6), layout="constrained")
        for axes, (name, label) in zip(figure.subplots(1, len(MEASURES)), MEASURES.items(), strict=True):
            axes.hist(changes[name], bins="auto", color="#8FB3D9", edgecolor="white")
            axes.axvline(0, color="#444444", linewidth=1)
            axes.set_ylabel("examples")
            axes.set_xlabel(f"{label} (nats)")
        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=150)
    return picture.getvalue()
