"""What the sections of a run's page show, as plain rows for the templates: findings, changes, samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ldyn.answers.measures import Means, summarise_samples
from ldyn.findings.tables import MARKS, finding_row, number
from ldyn.records import NOT_JUDGED, Finding
from ldyn.report.figures.material import Material
from ldyn.report.stages import stage_title
from ldyn.report.style import family_of, order_probes
from ldyn.store import Run

SHOWN_PROMPTS, OPEN_CARDS = 60, 6
"""Prompts on the page (more would make it heavy, samples.jsonl has all), and how many are not folded away."""
REPEATS = 0.2
"""Share of repeated 4-grams from which an answer is marked."""

Row = dict[str, Any]
Sample = Mapping[str, Any]


def finding_rows(findings: Sequence[Finding]) -> list[Row]:
    """The findings in the order of the file; ``style`` is a known verdict or "unknown"."""
    styles = {verdict: verdict.replace(" ", "-") for verdict in (*MARKS, NOT_JUDGED)}
    return [{**finding_row(one), "style": styles.get(one.verdict, "unknown")} for one in findings]


def verdict_counts(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """The verdicts that occur, in the order of MARKS, each with its count: ("holds", "3 hold")."""
    counts = Counter(finding.verdict for finding in findings)
    order = (*MARKS, NOT_JUDGED)
    plural = {"holds": "hold", "fails": "fail"}
    words = {verdict: plural.get(verdict, verdict) if counts[verdict] > 1 else verdict for verdict in order}
    return [(verdict.replace(" ", "-"), f"{counts[verdict]} {words[verdict]}") for verdict in words if counts[verdict]]


def change_tables(material: Material) -> list[Row]:
    """One table for each stage, of log π summed over tokens: level at the first and last evaluation, paired change."""
    tables = []
    for stage in material.stages:
        curves = {probe: material.curve(stage, probe) for probe in order_probes(material.probes(stage))}
        seen = max((int(curve["examples_seen"].iloc[-1]) for curve in curves.values()), default=0)
        lines = [_change_row(probe, curve) for probe, curve in curves.items()]
        tables.append({"title": stage_title(stage), "stage": stage.name, "examples_seen": f"{seen:,}", "rows": lines})
    return [table | {"split": material.split} for table in tables]


def _change_row(probe: str, curve: pd.DataFrame) -> Row:
    last = curve.iloc[-1]
    low, high = (number(last["change"] + sign * last["change_half"], sign=True) for sign in (-1, 1))
    return {
        "probe": probe,
        "family": family_of(probe),
        "first": number(curve["level"].iloc[0]),
        "last": number(last["level"]),
        "change": number(last["change"], sign=True),
        "interval": f"[{low}, {high}]",
        "n": int(last["change_n"]) or "mean only",
    }


def percent(share: float | None) -> str:
    """A share in whole percent; "–" for what is not known."""
    return "–" if share is None else f"{100 * share:.0f} %"


def sample_section(run: Run) -> Row:
    """Generated answers: one card for each prompt, one row for each mode, one column for each stage."""
    order = ["base", *(stage.name for stage in run.stages)]
    found = {str(row["stage"]) for row in run.samples}
    stages = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    by_prompt: dict[tuple[str, str], list[Sample]] = {}
    for row in run.samples:
        by_prompt.setdefault((str(row["split"]), str(row["example_id"])), []).append(row)
    means = sorted(summarise_samples(run.samples), key=lambda one: (stages.index(one["stage"]), one["mode"]))
    return {
        "cards": [_card(*key, rows, stages) for key, rows in list(by_prompt.items())[:SHOWN_PROMPTS]],
        "summary": [_summary(one) for one in means],
        "n_prompts": len(by_prompt),
        "open_cards": OPEN_CARDS,
        "knows_facts": any(row.get("is_right") is not None for row in run.samples),
    }


def _card(split: str, example_id: str, rows: Sequence[Sample], stages: Sequence[str]) -> Row:
    def answers(mode: str, stage: str) -> list[Row]:
        own = (row for row in rows if (row["mode"], row["stage"]) == (mode, stage))
        return [{"text": str(row["text"]), "marks": list(_marks(row))} for row in own]

    modes = {
        mode: [(stage, answers(mode, stage)) for stage in stages] for mode in sorted({row["mode"] for row in rows})
    }
    return {"split": split, "example_id": example_id, "prompt": str(rows[0]["prompt"]), "modes": modes}


def _marks(sample: Sample) -> Iterator[tuple[str, str]]:
    if sample.get("is_right") or sample.get("states_a_fact") is not None:
        right, stated = sample.get("is_right"), sample.get("states_a_fact")
        yield ("right", "✓ right") if right else ("wrong", "✗ wrong fact") if stated else ("", "no fact stated")
    if sample.get("borrowed_from") is not None:
        yield "borrowed", f"⇄ the fact of {sample['borrowed_from']}"
    if (share := sample.get("repeated_4grams")) is not None:
        yield "repeats" if share >= REPEATS else "", f"{percent(share)} repeated 4-grams"
    if sample.get("stopped") is False:
        yield "", f"cut at {sample.get('n_tokens')} tokens"


def _summary(means: Means) -> Row:
    endless = means["endless"]
    return {
        **{name: means[name] for name in ("stage", "mode", "n")},
        "n_tokens": number(means["n_tokens"]),
        "stopped": percent(None if endless is None else 1 - endless),
        **{name: percent(means[name]) for name in ("repeated_4grams", "is_right", "borrowed")},
    }
