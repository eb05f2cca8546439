"""Compares the runs of a sweep: findings, curves, arms and win rates, by the swept values, over seeds.

Writes ``comparison.md``, ``comparison.html`` and the figures beside the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from ldyn.errors import RunDirectoryError
from ldyn.findings import depth_findings, findings_over_seeds
from ldyn.findings.claims_depth import differs_in_depth_alone, means_by_depth
from ldyn.findings.stages import AFTER_SFT, arms_of
from ldyn.findings.tables import MARKS, OVER_SEEDS_NOTE, finding_row, number
from ldyn.records import Finding, FindingOverSeeds
from ldyn.report.arms import QUANTITIES, SAMPLED, arm_changes, summarise_arms
from ldyn.report.curves import over_seeds, summarise
from ldyn.report.facets import Facet, facets_of
from ldyn.report.figures import Drawing, Material, figure_settings, png
from ldyn.report.figures.arms import draw_arms
from ldyn.report.figures.comparison import facet_curves
from ldyn.report.figures.curves import overview
from ldyn.report.figures.depth import dose_response
from ldyn.report.html import attempt, markdown_page, markdown_table
from ldyn.report.wins import rates_over_seeds, win_tables
from ldyn.store import PARTIAL_SUFFIX, Run, read_run
from ldyn.store.files import write_atomically
from ldyn.store.sweeps import SWEEP_FILE, job_states, run_directories, unfinished_lines

COMPARISON_FILE, COMPARISON_PAGE = "comparison.md", "comparison.html"
_ARM_HEADINGS = ("y⁺", "y⁻", "others", "greedy mass", "margin y⁺ − y⁻")
_ANSWERS = {"repeated_4grams": "repeated 4-grams", "is_right": "right facts", "stopped": "stops"}


def is_sweep(path: Path) -> bool:
    """Whether ``path`` is not a run itself but holds runs, or the plan of some."""
    return not (path / "manifest.json").exists() and bool(run_directories(path) or (path / SWEEP_FILE).exists())


def compare_sweep(path: Path) -> Path:
    """Compare the finished runs in ``path``; returns the path of the HTML page (of several experiments: the results).

    Unfinished jobs are listed with their errors and the command that continues them. Raises RunDirectoryError where
    the runs cannot be compared (``ldyn.report.facets``), or fewer than two of them have finished.
    """
    unfinished = unfinished_lines(path, job_states(path))
    runs = [read_run(directory) for directory in run_directories(path) if not directory.name.endswith(PARTIAL_SUFFIX)]
    if len(runs) < 2:
        few = f"{path} holds {len(runs)} finished runs, expected at least 2 to compare."
        raise RunDirectoryError("\n".join([few, *unfinished]))
    if len({run.manifest.get("name") for run in runs}) > 1:
        from ldyn.report.results import write_results  # which needs this module

        return write_results(path)[1]
    title = f"{runs[0].manifest.get('name')}: {len(runs)} runs"
    lines = [f"# {title}", "", *comparison_lines(facets_of(path, runs), path)]
    if unfinished:
        lines += ["", "## Not finished, and not in the tables above", "", *unfinished]
    text = "\n".join(lines) + "\n"
    write_atomically(path / COMPARISON_FILE, text.encode("utf-8", errors="replace"))
    page = markdown_page(text, path, title, "ldyn report")
    write_atomically(path / COMPARISON_PAGE, page.encode("utf-8", errors="replace"))
    return path / COMPARISON_PAGE


def comparison_lines(facets: Sequence[Facet], directory: Path, prefix: str = "") -> list[str]:
    """The sections of the page in Markdown; figures are written to ``directory`` with ``prefix`` before their names."""

    def figure(name: str, draw: Callable[[], Drawing | str]) -> list[str]:
        with figure_settings():
            drawing = attempt(draw)
            if isinstance(drawing, str):
                return [f"*{name} is not drawn: {drawing}.*", ""]
            write_atomically(directory / f"{prefix}{name}.png", png(drawing))
        return [f"![{name}]({prefix}{name}.png)", ""]

    sections: dict[str, Callable[[], list[str]]] = {
        "Curves": lambda: figure("curves", lambda: _curves(facets)),
        "Findings": lambda: _findings(facets),
        "Depth": lambda: _depth(facets, figure),
        "Arms": lambda: _arms(facets, figure),
        "Win rates": lambda: _wins(facets),
    }
    lines: list[str] = []
    for title, make in sections.items():
        found = attempt(make)
        found = [f"*Not shown: {found}.*"] if isinstance(found, str) else found
        lines += [f"## {title}", "", *found, ""] if found else []
    return lines


FigureLines = Callable[[str, Callable[[], Drawing | str]], list[str]]


def _curves(facets: Sequence[Facet]) -> Drawing | str:
    """Of one configuration all key probes over its seeds; of several y⁺, y⁻ and the greedy mass of each."""
    materials = {facet.name: facet_material(facet, facet.name) for facet in facets}
    return overview(materials[facets[0].name]) if len(facets) == 1 else facet_curves(materials)


def facet_material(facet: Facet, name: str) -> Material:
    """The curves of a facet: of several seeds the mean of the runs' means, with intervals over the runs."""
    each = [summarise(run.trajectories, ("logp",)) for run in facet.runs]
    curves = each[0] if len(each) == 1 else over_seeds(each)
    stages = [stage for stage in facet.runs[0].stages if stage.name in set(curves["stage"])]
    return Material(curves, stages, name=name, unit="seeds" if len(each) > 1 else "")


def draw_seeds(paths: Sequence[Path], target: Path) -> Path:
    """Draw the key probes over the seeds of runs, unfinished ones too, up to where all of them have come, as a PNG.

    Raises RunDirectoryError where the runs differ in more than their seed, or none has scored a probe.
    """
    facets = facets_of(paths[0].parent, [read_run(path) for path in paths])
    if len(facets) > 1:
        settings = "; ".join(facet.name for facet in facets)
        raise RunDirectoryError(f"The runs differ in {settings}; expected runs that differ in their seed only.")
    with figure_settings():
        drawing = overview(facet_material(facets[0], ""))
        if isinstance(drawing, str):
            raise RunDirectoryError(f"There is nothing to draw: {drawing}. Wait for the first probe steps.")
        write_atomically(target, png(drawing))
    return target


def _findings(facets: Sequence[Facet]) -> list[str]:
    """One row a claim. One facet: its seeds, then all together. Several: a column each, what is equal in all once.

    Equal are the claims on a stage that all facets share, as the SFT before several kinds of DPO.
    """
    several = any(len(facet.runs) > 1 for facet in facets)
    name = str(facets[0].runs[0].manifest.get("name"))
    each = [facet.runs for facet in facets]
    together = [findings_over_seeds({name: runs}) if len(runs) > 1 else runs[0].findings for runs in each]
    if len(facets) == 1:
        runs = {f"seed {run.manifest.get('seed')}": run.findings for run in facets[0].runs}
        columns = [*runs.items(), ("over seeds", together[0])]
    else:
        columns = [(facet.name, found) for facet, found in zip(facets, together, strict=True)]
    found = [{one.id: one for one in findings} for _, findings in columns]
    shared: list[list[str]] = []
    rows: list[list[str]] = []
    for claim in dict.fromkeys(claim for findings in found for claim in findings):
        own = [findings.get(claim) for findings in found]
        first = next(one for one in own if one)
        cells = list(map(finding_cell, own))
        same = len(facets) > 1 and len(set(cells)) == 1
        (shared if same else rows).append(
            [f"**{first.id}** {first.claim} ({first.unit})", *cells[: 1 if same else None]]
        )
    lines = markdown_table(["claim", *(name for name, _ in columns)], rows) if rows else []
    if shared:
        lines += ["", "The same in all of them:", "", *markdown_table(["claim", "all"], shared)]
    marks = ", ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items())
    meaning = OVER_SEEDS_NOTE if several else "Intervals over the probe examples of each run"
    costs = [f"{facet.name} {', '.join(f'{seconds_of(run):.0f} s' for run in facet.runs)}".strip() for facet in facets]
    return [*lines, "", f"{marks}. {meaning}. The reasons: `ldyn verify`. Wall times: {'; '.join(costs)}."]


def _depth(facets: Sequence[Facet], figure: FigureLines) -> list[str]:
    """D5 and its figure; empty where the runs differ in other settings than the depth of y⁻."""
    if not differs_in_depth_alone([facet.runs[0] for facet in facets]):
        return []
    runs = [run for facet in facets for run in facet.runs]
    found = [f"**{one.id}** {one.claim}: {finding_cell(one)}. {one.reason}" for one in depth_findings(runs)]
    return [*found, "", *figure("squeeze_by_depth", lambda: dose_response(means_by_depth(runs)))]


def finding_cell(one: Finding | FindingOverSeeds | None) -> str:
    """Verdict, estimate and interval; over seeds also the seeds that are as claimed, and p, also corrected."""
    if one is None:
        return "–"
    row = finding_row(one)
    p = "" if row.get("p", "–") == "–" else f"p {row['p']}"
    more = "; ".join(filter(None, (row.get("alone"), p)))
    words = (row["mark"], row["verdict"], row["estimate"], row["interval"], f"({more})" if more else "")
    return " ".join(filter(None, words))


def seconds_of(run: Run) -> float:
    """Wall time of a run. Probing happens inside the stages and is counted in them."""
    return sum(float(s) for part, s in run.manifest.get("seconds", {}).items() if part != "probing")


def _arms(facets: Sequence[Facet], figure: FigureLines) -> list[str]:
    """Changes of each arm, and shares of its greedy answers; empty where no arm has ended in all runs."""
    several = any(len(facet.runs) > 1 for facet in facets)
    summaries = [_summary(facet, several) for facet in facets]
    summary = pd.concat(summaries, ignore_index=True)
    if summary.empty:
        return []
    order = list(dict.fromkeys(summary["of"]))  # below each other what one arm did with each of the swept values
    summary = summary.sort_values("of", key=lambda arms: arms.map(order.index), kind="stable", ignore_index=True)
    answers = pd.concat([_answers(facet) for facet in facets])
    words = [name for name in _ANSWERS.values() if name in answers]
    sampled = [name for name in SAMPLED if name in set(summary["quantity"])]
    rows = []
    halves = summary["half"].map(lambda half: f" ± {number(half)}" if pd.notna(half) else "")
    changes = summary["mean"].map(lambda mean: number(mean, sign=True)) + halves
    texts = summary.assign(text=changes).pivot(index="arm", columns="quantity", values="text").fillna("–")
    for arm in dict.fromkeys(summary["arm"]):
        cells = texts.loc[arm].reindex([*QUANTITIES, *sampled], fill_value="–")
        rows.append([arm, *cells, *(f"{answers.loc[arm, name]:.1%}" for name in words)])
    unit = "seeds" if several else "probe examples"
    note = (
        f"Change of log π in nats: mean over the {unit}{'' if several else ' of one run'} ± half of the 95 % t-interval"
    )
    if sampled:
        note += "; pass@k: change of the share, entropy: nats per token of sampled answers"
    table = markdown_table(["arm", *_ARM_HEADINGS, *sampled, *words], rows)
    return [*figure("arms", partial(draw_arms, summary, unit)), *table, "", f"{note}; shares of greedy answers."]


def _summary(facet: Facet, several: bool) -> pd.DataFrame:
    changes = {
        str(run.manifest.get("seed")): arm_changes(run.trajectories, run.stages, run.tables.get("passes"))
        for run in facet.runs
    }
    if not all(len(frame) for frame in changes.values()):
        return pd.DataFrame()
    summary = summarise_arms(changes, over_runs=several)
    return summary.assign(of=summary["arm"], arm=[_row_name(arm, facet) for arm in summary["arm"]])


def _row_name(arm: str, facet: Facet) -> str:
    return f"{arm}, {facet.name}" if facet.name else arm


def _answers(facet: Facet) -> pd.DataFrame:
    """Arm × shares of the greedy answers of its last round, mean over answers and runs."""
    last: Mapping[str, str] = {arm.last.name: arm.name for run in facet.runs for arm in arms_of(run.stages, AFTER_SFT)}
    samples = [row for run in facet.runs for row in run.samples if row["mode"] == "greedy" and row["stage"] in last]
    if not samples:
        return pd.DataFrame()
    rows = pd.DataFrame(samples, columns=["stage", *_ANSWERS])
    arms = rows["stage"].map(lambda stage: _row_name(last[stage], facet))
    known = {name: words for name, words in _ANSWERS.items() if rows[name].notna().all()}
    return rows[list(known)].astype(float).groupby(arms).mean().rename(columns=known)


def _wins(facets: Sequence[Facet]) -> list[str]:
    """Win rates over the runs of several seeds; empty where a run has none, or the runs differ in their settings."""
    runs = facets[0].runs
    tables = {run.path.name: run.tables["wins"] for run in runs if "wins" in run.tables}
    if len(tables) < len(runs) or len(facets) > 1:
        return []
    lines: list[str] = []
    for table in win_tables(rates_over_seeds(tables)):
        lines += [f"{table.title}:", "", *markdown_table(table.head, table.rows), ""]
    note = "Win rate by epochs of preference training: mean over the seeds ± half of the 95 % t-interval over them"
    return [*lines, f"{note}; in brackets won–tied–lost."]
