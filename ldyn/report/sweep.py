"""Several runs of one experiment that differ in their seed: arms and findings side by side.

Reads run folders only and needs no torch. Writes ``arms.png`` and ``comparison.md`` beside the runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd

from ldyn.errors import RunFolderError
from ldyn.findings.arms import arms_of
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, Finding
from ldyn.report.arms import QUANTITIES, arm_changes, summarise_arms
from ldyn.report.figures.arms import draw_arms
from ldyn.report.figures.gallery import write_drawing
from ldyn.report.over_seeds import over_seeds_lines
from ldyn.report.style import FIGURE_RC
from ldyn.report.wins_over_seeds import wins_over_seeds
from ldyn.trajectories import Run, read_run
from ldyn.trajectories.files import write_atomically
from ldyn.trajectories.folder import PARTIAL_SUFFIX

MARKS = {HOLDS: "✓", FAILS: "✗", INCONCLUSIVE: "?"}
COMPARISON_FILE = "comparison.md"


def is_sweep(path: Path) -> bool:
    """Whether ``path`` is no run itself but holds runs."""
    return not (path / "manifest.json").exists() and bool(_run_folders(path))


def compare_sweep(path: Path) -> Path:
    """Compare the finished runs in ``path``; returns the path of the page that was written.

    Raises RunFolderError where the runs are not of one experiment, or fewer than two of them have finished.
    """
    folders = _run_folders(path)
    runs = [read_run(folder) for folder in folders if not folder.name.endswith(PARTIAL_SUFFIX)]
    unfinished = [folder.name for folder in folders if folder.name.endswith(PARTIAL_SUFFIX)]
    _check_alike(path, runs)
    lines = [f"# {runs[0].manifest['name']}: {len(runs)} runs", "", *_findings_table(runs), "", *over_seeds_lines(runs)]
    changes = {_seed(run): arm_changes(run.trajectories, run.stages) for run in runs}
    if all(len(frame) for frame in changes.values()):
        summary = summarise_arms(changes)
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(FIGURE_RC)  # type: ignore[arg-type]  # stubs list every key
            write_drawing(draw_arms(summary, "seeds"), path / "arms.png")
        lines += ["", "## Arms", "", "![arms](arms.png)", "", *_arms_table(summary, runs)]
    lines += wins_over_seeds(runs, path)
    if unfinished:
        lines += ["", f"Not finished, and left out: {', '.join(unfinished)}."]
    target = path / COMPARISON_FILE
    write_atomically(target, ("\n".join(lines) + "\n").encode())
    return target


def _run_folders(path: Path) -> list[Path]:
    found = {manifest.parent for manifest in path.glob("*/manifest.json") if not manifest.parent.is_symlink()}
    return sorted(found, key=lambda folder: (len(folder.name), folder.name))  # 2 before 10


def _check_alike(path: Path, runs: Sequence[Run]) -> None:
    if len(runs) < 2:
        raise RunFolderError(f"{path} holds {len(runs)} finished runs, expected at least 2 to compare.")
    names = sorted({str(run.manifest["name"]) for run in runs})
    if len(names) > 1:
        raise RunFolderError(f"{path} holds runs of {', '.join(names)}; runs of one experiment can be compared.")
    seeds = Counter(_seed(run) for run in runs)
    twice = [seed for seed, count in seeds.items() if count > 1]
    if twice:
        raise RunFolderError(f"{path} holds more than one run of {', '.join(twice)}; keep one run of each seed in it.")


def _seed(run: Run) -> str:
    return f"seed {run.manifest['seed']}"


def _findings_table(runs: Sequence[Run]) -> list[str]:
    found = [{finding.id: finding for finding in run.findings} for run in runs]
    ids = list(dict.fromkeys(name for one in found for name in one))
    lines = [f"| claim | {' | '.join(map(_seed, runs))} | verdicts |", "|---" * (len(runs) + 2) + "|"]
    for name in ids:
        findings = [one[name] for one in found if name in one]
        title = f"**{name}** {findings[0].claim} ({findings[0].unit})"
        cells = [_cell(one[name]) if name in one else "–" for one in found]
        counts = Counter(finding.verdict for finding in findings).most_common()
        verdicts = ", ".join(f"{verdict} in {count} of {len(runs)}" for verdict, count in counts)
        lines.append(f"| {title} | {' | '.join(cells)} | {verdicts} |")
    marks = ", ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items())
    return [*lines, "", f"{marks}; intervals over probe examples. {_wall_times(runs)}."]


def _cell(finding: Finding) -> str:
    return f"{MARKS[finding.verdict]} {finding.estimate:+.2f} [{finding.ci_low:+.2f}, {finding.ci_high:+.2f}]"


def _wall_times(runs: Sequence[Run]) -> str:
    seconds = [sum(s for part, s in run.manifest["seconds"].items() if part != "probing") for run in runs]
    memory = max(run.manifest["peak_memory_mib"] for run in runs)
    return f"Wall time {', '.join(f'{s:.0f} s' for s in seconds)}, peak memory at most {memory} MiB"


_HEADINGS = ("y⁺", "y⁻", "others", "greedy mass", "margin y⁺ − y⁻")


def _arms_table(summary: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """Changes of each arm over the seeds, and what its last weights answer greedily to the prompts of samples.jsonl."""
    answers = _answers(runs)
    words = [name for name in ("repeated 4-grams", "right facts", "stops") if name in answers]
    lines = [f"| arm | {' | '.join([*_HEADINGS, *words])} |", "|---" * (len(_HEADINGS) + len(words) + 1) + "|"]
    by_arm = summary.set_index(["arm", "quantity"])
    for arm in dict.fromkeys(summary["arm"]):
        rows = [by_arm.loc[(arm, quantity)] for quantity in QUANTITIES]
        cells = [f"{row['mean']:+.2f} ± {row['half']:.2f}" for row in rows]
        cells += [f"{answers.loc[arm, name]:.1%}" for name in words]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    note = f"Change of log π in nats, mean over {len(runs)} seeds ± half of the 95 % t-interval over them"
    return [*lines, "", f"{note}; shares of greedy answers, mean over the seeds."]


def _answers(runs: Sequence[Run]) -> pd.DataFrame:
    """Arm × shares of the greedy answers of its last round, mean over answers and runs."""
    frames = []
    for run in runs:
        last = {arm.last.name: arm.name for arm in arms_of(run.stages)}
        rows = pd.DataFrame([row for row in run.samples if row["mode"] == "greedy" and row["stage"] in last])
        if len(rows):
            frames.append(rows.assign(arm=rows["stage"].map(last)))
    if not frames:
        return pd.DataFrame()
    rows = pd.concat(frames)
    columns = {"repeated_4grams": "repeated 4-grams", "is_right": "right facts", "stopped": "stops"}
    known = {name: words for name, words in columns.items() if rows[name].notna().all()}
    return rows.astype(dict.fromkeys(known, float)).groupby("arm")[list(known)].mean().rename(columns=known)
