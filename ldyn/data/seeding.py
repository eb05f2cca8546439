"""One seed, many independent streams of randomness."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

Item = TypeVar("Item")


def seeded_random(seed: int, *purpose: str) -> Random:
    """A generator for one purpose: what is drawn for one purpose never shifts what is drawn for another."""
    return Random(" ".join([str(seed), *purpose]))


def draw(items: Sequence[Item], number: int | None, random: Random) -> tuple[list[Item], list[Item]]:
    """A draw without replacement (None: everything), and the rest; both in the order of ``items``."""
    if number is None or number >= len(items):
        return list(items), []
    drawn = set(random.sample(range(len(items)), number))
    return [items[i] for i in sorted(drawn)], [item for i, item in enumerate(items) if i not in drawn]
