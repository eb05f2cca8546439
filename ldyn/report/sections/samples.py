"""Generated answers side by side: one card for each prompt, one row for each mode, one column for each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ldyn.answers.summary import SampleMeans, summarise_samples
from ldyn.report.sections.text import number, percent
from ldyn.store import Run

SHOWN_PROMPTS = 60
"""More would make the page heavy; the rest stays in samples.jsonl."""

OPEN_CARDS = 6
"""The rest is folded away."""

Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StageCell:
    """The answers of one stage, in one mode, to one prompt."""

    stage: str
    samples: list[Sample]


@dataclass(frozen=True, slots=True)
class ModeRow:
    """All stages' answers in one mode. ``cells`` has one entry for each stage of the section, in the same order."""

    mode: str
    cells: list[StageCell]


@dataclass(frozen=True, slots=True)
class SampleCard:
    """The answers to one prompt."""

    split: str
    example_id: str
    prompt: str
    rows: list[ModeRow]


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """Means over the answers of one stage and mode; "–" where nothing is known."""

    stage: str
    mode: str
    n: int
    n_tokens: str
    repeated_4grams: str
    stopped: str
    is_right: str
    borrowed: str


@dataclass(frozen=True, slots=True)
class SampleSection:
    cards: list[SampleCard]
    summary: list[SampleSummary]
    n_prompts: int
    open_cards: int
    knows_facts: bool


def sample_section(run: Run) -> SampleSection:
    """All that the samples' section shows; without samples it is empty."""
    order = ["base", *(stage.name for stage in run.stages)]
    stages = sorted({str(row["stage"]) for row in run.samples}, key=lambda name: _place(order, name))
    by_prompt: dict[tuple[str, str], list[Sample]] = {}
    for row in run.samples:
        by_prompt.setdefault((str(row["split"]), str(row["example_id"])), []).append(row)
    cards = [_card(*key, rows, stages) for key, rows in list(by_prompt.items())[:SHOWN_PROMPTS]]
    facts = any(row.get("is_right") is not None for row in run.samples)
    return SampleSection(cards, _summary(run.samples, stages), len(by_prompt), OPEN_CARDS, facts)


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _card(split: str, example_id: str, rows: Sequence[Sample], stages: Sequence[str]) -> SampleCard:
    modes = sorted({str(row["mode"]) for row in rows})
    return SampleCard(split, example_id, str(rows[0]["prompt"]), [_mode_row(mode, rows, stages) for mode in modes])


def _mode_row(mode: str, rows: Sequence[Sample], stages: Sequence[str]) -> ModeRow:
    own = [row for row in rows if row["mode"] == mode]
    return ModeRow(mode, [StageCell(stage, [row for row in own if row["stage"] == stage]) for stage in stages])


def _summary(samples: Sequence[Sample], stages: Sequence[str]) -> list[SampleSummary]:
    means = summarise_samples(samples)
    ordered = sorted(means, key=lambda one: (stages.index(one.of[0]), one.of[1]))
    return [_summary_of(one) for one in ordered]


def _summary_of(means: SampleMeans) -> SampleSummary:
    stage, mode = means.of
    return SampleSummary(
        stage=stage,
        mode=mode,
        n=means.n,
        n_tokens=number(means.n_tokens),
        repeated_4grams=percent(means.repeated_4grams),
        stopped=percent(None if means.endless is None else 1 - means.endless),
        is_right=percent(means.is_right),
        borrowed=percent(means.borrowed),
    )
