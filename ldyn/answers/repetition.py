"""How repetitive an answer is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


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
