"""Compares the runs of a sweep: findings, curves, arms and win rates, by the swept values, over seeds.

Writes ``comparison.md``, ``comparison.html`` and the figures beside the runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ldyn.errors import RunDirectoryError
from ldyn.findings.over_seeds import findings_over_seeds
from ldyn.findings.stages import arms_of
from ldyn.findings.tables import MARKS, OVER_SEEDS_NOTE, finding_row, number
from ldyn.records import Finding
from ldyn.report.arms import QUANTITIES, arm_changes, summarise_arms
from ldyn.report.curves import summarise
from ldyn.report.facets import Facet, facets_of
from ldyn.report.figures import Drawing, Material, figure_settings, write_drawing
from ldyn.report.figures.arms import draw_arms, draw_wins
from ldyn.report.figures.comparison import facet_curves
from ldyn.report.html import markdown_page
from ldyn.report.text import markdown_table
from ldyn.report.wins import WinCell, rates_over_seeds, win_table_rows
from ldyn.store import PARTIAL_SUFFIX, Run, read_run
from ldyn.store.files import write_atomically
from ldyn.store.sweeps import SWEEP_FILE, job_states, run_directories, unfinished_lines

COMPARISON_FILE, COMPARISON_PAGE = "comparison.md", "comparison.html"
_ARM_HEADINGS = ("y⁺", "y⁻", "others", "greedy mass", "margin y⁺ − y⁻")


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
    if len({run.manifest["name"] for run in runs}) > 1:
        from ldyn.report.results import write_results  # which needs this module

        return write_results(path)[1]
    title = f"{runs[0].manifest['name']}: {len(runs)} runs"
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
    figures = _Figures(directory, prefix)
    lines = [*_curves(facets, figures), "## Findings", "", *_findings(facets), ""]
    lines += [*_over_seeds(facets), *_arms(facets, figures)]
    return [*lines, *(_wins(facets[0].runs, figures) if len(facets) == 1 else [])]


class _Figures:
    """Writes figures beside the page; returns the lines that show them."""

    def __init__(self, directory: Path, prefix: str):
        self._directory, self._prefix = directory, prefix

    def lines(self, drawing: Drawing | str, name: str) -> list[str]:
        if isinstance(drawing, str):
            return [f"*{name} is not drawn: {drawing}.*", ""]
        write_drawing(drawing, self._directory / f"{self._prefix}{name}.png")
        return [f"![{name}]({self._prefix}{name}.png)", ""]


# ----------------------------------------------------------------------------------------------------
# Curves


def _curves(facets: Sequence[Facet], figures: _Figures) -> list[str]:
    """The curves of y⁺, y⁻ and the greedy mass, one line for each facet, over the probe examples of all its seeds."""
    with figure_settings():
        drawing = facet_curves({facet.name: _material(facet) for facet in facets})
        return ["## Curves", "", *figures.lines(drawing, "curves")]


def _material(facet: Facet) -> Material:
    tables = [
        run.trajectories.assign(example_id=run.trajectories["example_id"].astype(str) + f" of {run.path.name}")
        for run in facet.runs
    ]
    curves = summarise(pd.concat(tables, ignore_index=True), ("logp",))
    return Material(curves, facet.runs[0].stages, name=facet.name)


# ----------------------------------------------------------------------------------------------------
# Findings


def _findings(facets: Sequence[Facet]) -> list[str]:
    """The findings of each facet over its seeds; of several facets, first all of them side by side."""
    if len(facets) == 1:
        return _findings_by_seed(facets[0].runs)
    lines = _findings_by_facet(facets)
    for facet in facets:
        if len(facet.runs) > 1:
            lines += ["", f"### {facet.name}", "", *_findings_by_seed(facet.runs)]
    return lines


def _findings_by_seed(runs: Sequence[Run]) -> list[str]:
    found = [{finding.id: finding for finding in run.findings} for run in runs]
    rows = []
    for name in dict.fromkeys(name for one in found for name in one):
        findings = [one[name] for one in found if name in one]
        cells = [_cell([one[name]] if name in one else [], 1) for one in found]
        counts = Counter(finding.verdict for finding in findings).most_common()
        verdicts = ", ".join(f"{verdict} in {count} of {len(runs)}" for verdict, count in counts)
        rows.append([_title(findings[0]), *cells, verdicts])
    head = ["claim", *(f"seed {run.manifest['seed']}" for run in runs), "verdicts"]
    seconds = [sum(s for part, s in run.manifest["seconds"].items() if part != "probing") for run in runs]
    memory = max(run.manifest["peak_memory_mib"] for run in runs)
    cost = f"Wall time {', '.join(f'{s:.0f} s' for s in seconds)}, peak memory at most {memory} MiB"
    return [*markdown_table(head, rows), "", f"{_marks()}; intervals over probe examples. {cost}."]


def _findings_by_facet(facets: Sequence[Facet]) -> list[str]:
    """Of one run a cell has estimate and interval; of several, how many gave which verdict, and the mean estimate.

    Claims with the same numbers in all facets, as those on a stage that all share, are listed once.
    """
    found = [[{finding.id: finding for finding in run.findings} for run in facet.runs] for facet in facets]
    shared, rows = [], []
    for name in dict.fromkeys(name for runs in found for findings in runs for name in findings):
        of_facets = [[findings[name] for findings in runs if name in findings] for runs in found]
        title = _title(next(one for findings in of_facets for one in findings))
        cells = [_cell(findings, len(facet.runs)) for findings, facet in zip(of_facets, facets, strict=True)]
        numbers = {tuple(sorted((one.estimate, one.ci_low, one.ci_high) for one in own)) for own in of_facets}
        if len(numbers) == 1:
            shared.append([title, cells[0]])
        else:
            rows.append([title, *cells])
    lines = markdown_table(["claim", *(facet.name for facet in facets)], rows) if rows else []
    if shared:
        lines += ["", "The same in all of them:", "", *markdown_table(["claim", "all"], shared)]
    single = all(len(facet.runs) == 1 for facet in facets)
    meaning = (
        "the estimate of each run and its interval over probe examples" if single else "verdicts and mean estimate"
    )
    return [*lines, "", f"{_marks()}. In each cell: {meaning}."]


def _title(finding: Finding) -> str:
    return f"**{finding.id}** {finding.claim} ({finding.unit})"


def _cell(findings: Sequence[Finding], runs: int) -> str:
    if not findings:
        return "–"
    if runs == 1:
        row = finding_row(findings[0])
        return f"{row['mark']} {row['estimate']} {row['interval']}".rstrip()
    counts = Counter(finding.verdict for finding in findings)
    verdicts = ", ".join(f"{MARKS[verdict]} {counts[verdict]} of {runs}" for verdict in MARKS if counts[verdict])
    return f"{verdicts}; {number(sum(finding.estimate for finding in findings) / len(findings), sign=True)}"


def _marks() -> str:
    return ", ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items())


def _over_seeds(facets: Sequence[Facet]) -> list[str]:
    """A table for each facet that has several seeds."""
    several = [facet for facet in facets if len(facet.runs) > 1]
    if not several:
        return []
    lines = ["## Findings over seeds"]
    for facet in several:
        rows = map(finding_row, findings_over_seeds({str(facet.runs[0].manifest["name"]): facet.runs}))
        cells = [
            [
                f"**{row['id']}** {row['claim']} ({row['unit']})",
                f"{row['estimate']} {row['interval']} ({row['n']})",
                row["alone"],
                row["p"],
                f"{row['mark']} {row['verdict']}",
            ]
            for row in rows
        ]
        head = ["claim", "over seeds", "single seeds", "p, corrected", "verdict"]
        lines += ["", *([f"### {facet.name}", ""] if facet.name else []), *markdown_table(head, cells)]
    return [*lines, "", f"{OVER_SEEDS_NOTE}. The reasons: `ldyn verify` of this directory."]


# ----------------------------------------------------------------------------------------------------
# Arms and win rates


def _arms(facets: Sequence[Facet], figures: _Figures) -> list[str]:
    """Changes of each arm; empty where no arm has ended in all runs."""
    over_seeds = any(len(facet.runs) > 1 for facet in facets)
    summary = _by_arm([_summary(facet, over_seeds=over_seeds) for facet in facets])
    if summary.empty:
        return []
    with figure_settings():
        shown = figures.lines(draw_arms(summary, "seeds" if over_seeds else "probe examples"), "arms")
    answers = pd.concat([_answers(facet) for facet in facets])
    unit = "the seeds" if over_seeds else "the probe examples of one run"
    note = f"Change of log π in nats: mean over {unit} ± half of the 95 % t-interval; shares of greedy answers."
    return ["", "## Arms", "", *shown, *_arms_table(summary, answers), "", note]


def _summary(facet: Facet, *, over_seeds: bool) -> pd.DataFrame:
    """``summarise_arms`` of the facet's runs, with the swept values in the name of each arm."""
    changes = {str(run.manifest["seed"]): arm_changes(run.trajectories, run.stages) for run in facet.runs}
    if not all(len(frame) for frame in changes.values()):
        return pd.DataFrame()
    summary = summarise_arms(changes, over_runs=over_seeds)
    return summary.assign(of=summary["arm"], arm=[_row_name(arm, facet) for arm in summary["arm"]])


def _row_name(arm: str, facet: Facet) -> str:
    return f"{arm}, {facet.name}" if facet.name else arm


def _by_arm(summaries: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Below each other what one arm did with each of the swept values."""
    whole = pd.concat(summaries, ignore_index=True)
    if whole.empty:
        return whole
    order = {arm: place for place, arm in enumerate(dict.fromkeys(whole["of"]))}
    return whole.sort_values("of", key=lambda arms: arms.map(order), kind="stable", ignore_index=True)


def _arms_table(summary: pd.DataFrame, answers: pd.DataFrame) -> list[str]:
    """Changes of each arm, and what its last weights answer greedily to the prompts of samples.jsonl."""
    words = [name for name in ("repeated 4-grams", "right facts", "stops") if name in answers]
    by_arm = summary.set_index(["arm", "quantity"])
    rows = []
    for arm in dict.fromkeys(summary["arm"]):
        changes = [by_arm.loc[(arm, quantity)] for quantity in QUANTITIES]
        cells = [
            number(row["mean"], sign=True) + (f" ± {number(row['half'])}" if pd.notna(row["half"]) else "")
            for row in changes
        ]
        rows.append([arm, *cells, *(f"{answers.loc[arm, name]:.1%}" for name in words)])
    return markdown_table(["arm", *_ARM_HEADINGS, *words], rows)


def _answers(facet: Facet) -> pd.DataFrame:
    """Arm × shares of the greedy answers of its last round, mean over answers and runs."""
    frames = []
    for run in facet.runs:
        last = {arm.last.name: arm.name for arm in arms_of(run.stages)}
        rows = pd.DataFrame([row for row in run.samples if row["mode"] == "greedy" and row["stage"] in last])
        if len(rows):
            frames.append(rows.assign(arm=[_row_name(last[stage], facet) for stage in rows["stage"]]))
    if not frames:
        return pd.DataFrame()
    rows = pd.concat(frames)
    columns = {"repeated_4grams": "repeated 4-grams", "is_right": "right facts", "stopped": "stops"}
    known = {name: words for name, words in columns.items() if rows[name].notna().all()}
    return rows.astype(dict.fromkeys(known, float)).groupby("arm")[list(known)].mean().rename(columns=known)


def _wins(runs: Sequence[Run], figures: _Figures) -> list[str]:
    """Win rates over the runs of several seeds; empty where a run has none."""
    tables = {run.path.name: run.tables["wins"] for run in runs if "wins" in run.tables}
    if len(tables) < len(runs):
        return []
    rates = rates_over_seeds(tables)
    with figure_settings():
        lines = [
            "",
            "## Win rates",
            "",
            *figures.lines(draw_wins(rates[rates["judge"] == rates["judge"].iloc[0]], "seeds"), "wins"),
        ]
    for table in win_table_rows(rates, runs[0].stages, runs[0].manifest["stages"]):
        rows = [
            [f"{row.name} ({row.about})" if row.about else row.name, *map(_win_cell, row.cells)] for row in table.rows
        ]
        of = f"Over {table.baseline} on {table.split} questions, judged by {table.judge}, {table.n} seeds:"
        lines += [of, "", *markdown_table(["arm", *table.columns], rows), ""]
    note = "Win rate by epochs of preference training: mean over the seeds ± half of the 95 % t-interval over them"
    return [*lines, f"{note}; in brackets won–tied–lost. For the paper the interval over about 500 answers (Wilson)."]


def _win_cell(cell: WinCell) -> str:
    shares = f" ({cell.details[0].removesuffix(' won–tied–lost')})" if cell.details else ""
    return f"{cell.rate} {cell.interval}{shares}".rstrip()
