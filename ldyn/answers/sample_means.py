"""Means over the rows of samples.jsonl, for the report, JSON and a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

Means = dict[str, Any]
COLUMNS = {
    "n_tokens": "tokens",
    "endless": "never stops",
    "distinct_2": "distinct-2",
    "repeated_4grams": "repeated 4-grams",
    "longest_loop": "longest loop",
    "is_right": "right",
    "borrowed": "borrowed",
}
"""Name -> its label. n_tokens, longest_loop (words): means. All others are shares in [0, 1]; endless: answers cut by
the limit; borrowed: answers that state the fact of another training question.
"""


def summarise_samples(samples: Iterable[Mapping[str, Any]], by: Sequence[str] = ("stage", "mode")) -> list[Means]:
    """One mapping for each group of samples with equal columns ``by``, in order of appearance.

    Keys: those of ``by``, n (answers), and COLUMNS; None where nothing is known.
    """
    rows = pd.DataFrame(
        list(samples), columns=[*by, "stopped", "borrowed_from", *COLUMNS]
    )  # no text: half an emoji fails
    rows["endless"] = 1 - rows["stopped"].astype(float)
    rows["borrowed"] = rows["borrowed_from"].notna().where(rows["is_right"].notna())
    rows[list(COLUMNS)] = rows[list(COLUMNS)].astype(float)
    groups = rows.groupby(list(by), sort=False)
    means = groups[list(COLUMNS)].mean()
    means.insert(0, "n", groups.size())
    rows_of_groups = means.reset_index().to_dict("records")
    return [{str(key): None if value != value else value for key, value in row.items()} for row in rows_of_groups]
