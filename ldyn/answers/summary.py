"""Means over the rows of samples.jsonl, for a terminal, a page and JSON. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SampleMeans:
    """Means over ``n`` answers that share the values ``of`` (a stage, a mode …); None where nothing is known.

    n_tokens, longest_loop (words): means. All others are shares in [0, 1] or likenesses (``ldyn.answers.overlap``):
    endless: answers that did not stop by themselves; borrowed: answers that state the fact of another training
    question; nearer_another: answers that are more like another question's training answer than like their own.
    """

    of: tuple[str, ...]
    n: int
    n_tokens: float | None
    distinct_1: float | None
    distinct_2: float | None
    distinct_3: float | None
    repeated_4grams: float | None
    longest_loop: float | None
    endless: float | None
    is_right: float | None
    borrowed: float | None
    likeness_own: float | None
    likeness_other: float | None
    nearer_another: float | None
    foreign_4grams: float | None


def summarise_samples(samples: Iterable[Sample], by: Sequence[str] = ("stage", "mode")) -> list[SampleMeans]:
    """Means of each group of samples that agree in the columns ``by``, in the order in which groups come."""
    groups: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        groups.setdefault(tuple(str(sample[column]) for column in by), []).append(sample)
    return [_means(of, members) for of, members in groups.items()]


def as_object(means: SampleMeans, by: Sequence[str]) -> dict[str, Any]:
    """The means with the columns ``by`` that they were grouped by, as JSON knows them."""
    numbers = asdict(means)
    return dict(zip(by, numbers.pop("of"), strict=True)) | numbers


def _means(of: tuple[str, ...], samples: Sequence[Sample]) -> SampleMeans:
    def mean(value: Callable[[Sample], Any]) -> float | None:
        known = [float(found) for found in map(value, samples) if found is not None]
        return fmean(known) if known else None

    def of_column(name: str) -> float | None:
        return mean(lambda sample: sample.get(name))

    stopped = of_column("stopped")
    return SampleMeans(
        of=of,
        n=len(samples),
        n_tokens=of_column("n_tokens"),
        distinct_1=of_column("distinct_1"),
        distinct_2=of_column("distinct_2"),
        distinct_3=of_column("distinct_3"),
        repeated_4grams=of_column("repeated_4grams"),
        longest_loop=of_column("longest_loop"),
        endless=None if stopped is None else 1 - stopped,
        is_right=of_column("is_right"),
        borrowed=mean(_borrowed),
        likeness_own=of_column("likeness_own"),
        likeness_other=of_column("likeness_other"),
        nearer_another=mean(_nearer_another),
        foreign_4grams=of_column("foreign_4grams"),
    )


def _borrowed(sample: Sample) -> bool | None:
    return None if sample.get("is_right") is None else sample.get("borrowed_from") is not None


def _nearer_another(sample: Sample) -> bool | None:
    own, other = sample.get("likeness_own"), sample.get("likeness_other")
    return None if own is None or other is None else other > own
