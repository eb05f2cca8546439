"""How repetitive an answer is, and means over the rows of samples.jsonl, for the report and a terminal."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd


def repeated_ngrams(units: Sequence[Hashable], n: int) -> float:
    """Share of n-grams that occurred before in ``units``, in [0, 1); 0 where there is none (n = 4: "repeated_4grams").

    1 less it are the distinct n-grams by all (n = 2: Li et al., 2016, "distinct-2").

    "a b a b a b": the 2-grams ab, ba, ab, ba, ab; three of five occurred before.
    """
    total = len(units) - n + 1
    distinct = {tuple(units[start : start + n]) for start in range(total)}
    return 1 - len(distinct) / total if total > 0 else 0.0


def longest_loop(units: Sequence[Hashable]) -> int:
    """Units covered by the longest stretch in which one block follows itself at least once; 0 where none does.

    "x a b a b a y" has the loop "a b a b a": 5 units of period 2. Takes quadratic time.
    """
    longest = 0
    for period in range(1, len(units) // 2 + 1):
        matches = 0  # how many units in a row, up to here, equal the one a period before
        for earlier, later in zip(units, units[period:], strict=False):
            matches = matches + 1 if earlier == later else 0
            if matches >= period:
                longest = max(longest, matches + period)
    return longest


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
