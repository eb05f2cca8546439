"""The results page: every claim over seeds from finished runs of several experiments, beside the paper's figures.

Writes ``RESULTS.md`` with its figures, and the same as ``results.html``.
"""

from __future__ import annotations

import math
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ldyn.findings import CLAIMS
from ldyn.findings.claims_depth import means_by_depth
from ldyn.findings.sources import DEPTHS
from ldyn.findings.tables import VARIANCE_HEAD, VARIANCE_NOTE, finding_row, variance_rows
from ldyn.findings.variance import variance_components
from ldyn.records import HOLDS, NOT_JUDGED, FindingOverSeeds
from ldyn.report.abstract import abstract
from ldyn.report.collection import MICROWORLD, Results, read_results, seeds_of
from ldyn.report.facets import facets_of
from ldyn.report.figures import Drawing, Material, figure_settings, png
from ldyn.report.figures.comparison import beside_published
from ldyn.report.figures.depth import dose_response
from ldyn.report.html import markdown_page, markdown_table
from ldyn.report.published import published_runs
from ldyn.report.sweep import comparison_lines, facet_material, finding_cell, seconds_of
from ldyn.store import Run
from ldyn.store.files import write_atomically
from ldyn.store.sweeps import read_sweep

MARKDOWN_FILE, HTML_FILE = "RESULTS.md", "results.html"
FIGURES_DIR = Path("figures", "results")


def write_results(
    *directories: Path, target: Path | None = None, explained: bool = False, published: bool = True
) -> tuple[Path, Path]:
    """Write the page of the finished runs below ``directories`` into ``target``; returns the Markdown and HTML files.

    target: the first directory unless given. Reads run directories only. Unfinished runs are named.
    explained: add the explanations that were written for the default scale, where a claim does not hold.
    published: add the logs that the paper's authors published, which come with the package.
    """
    target = target or directories[0]
    results = read_results(directories, published_runs() if published else {})
    pictures = target / FIGURES_DIR
    pictures.mkdir(parents=True, exist_ok=True)
    sections = [
        _head(results),
        _claims(results),
        _misses(results, explained),
        _depths(results, pictures),
        _variance(results),
        _paper_figures(results, pictures),
        _experiments(results, pictures),
        _logs(results),
        _provenance(results),
    ]
    text = "\n\n".join("\n".join(section) for section in sections if section) + "\n"
    markdown, page = target / MARKDOWN_FILE, target / HTML_FILE
    write_atomically(markdown, text.encode("utf-8", errors="replace"))
    html = markdown_page(text, target, "The paper's claims over seeds", "ldyn reproduce")
    write_atomically(page, html.encode("utf-8", errors="replace"))
    return markdown, page


def _head(results: Results) -> list[str]:
    about = (
        "Written by `ldyn reproduce` or `ldyn report --results`, never by hand. `docs/RULES.md` defines every claim's "
        "parts and rule."
    )
    lines = ["# Results", "", abstract(results.findings, results.logs), "", about]
    if results.unfinished:
        lines += ["", f"**Not finished, and not in what follows:** {', '.join(results.unfinished)}."]
    return lines


def _claims(results: Results) -> list[str]:
    """Every claim that ldyn knows has a row, measured or not."""
    counted = [
        f"{world}: {', '.join(f'{count} {verdict}' for verdict, count in _verdicts(found).items())}"
        for world, found in results.findings.items()
    ]
    about = (
        "Ours: the mean over the seeds (of a study: over its own) with its 95 % interval, in how many seeds it is as "
        "claimed, the p-value, then corrected for the claim's family, and the experiment that decides. "
        f"{'; '.join(counted)}. Published logs: one run each, so estimates without a verdict; logs of means alone have "
        "no interval."
    )
    rows = []
    for name, claim in CLAIMS.items():
        own = [_judged_cell(found.get(name)) for found in results.findings.values()]
        logs = [
            f"{log} {row['mark']} {row['estimate']} {row['interval']}".rstrip()
            for log, run in results.logs.items()
            for row in (finding_row(one) for one in run.findings if one.id == name and one.verdict != NOT_JUDGED)
        ]
        title = f"{claim.text} ({claim.parts[0].unit}, {claim.parts[0].quantity})"
        rows.append([f"**{name}**", title, *own, "; ".join(logs) or "–", claim.paper])
    head = ["", "claim", *results.findings, "published logs", "the paper"]
    return ["## All claims", "", about, "", *markdown_table(head, rows)]


def _judged_cell(one: FindingOverSeeds | None) -> str:
    return finding_cell(one) + (f" from {one.source}" if one else "")


def _verdicts(found: Mapping[str, FindingOverSeeds]) -> Counter[str]:
    return Counter(one.verdict for one in found.values())


def _misses(results: Results, explained: bool) -> list[str]:
    lines = ["## What did not come out as in the paper"]
    explanations: Mapping[str, str] = _yaml("explanations.yaml") if explained else {}
    for world, found in results.findings.items():
        lines += ["", f"### In the {world}"]
        for one in (one for one in found.values() if one.verdict != HOLDS):
            needed = "" if math.isnan(one.seeds_needed) else f" At this effect it takes {one.seeds_needed:.0f} seeds."
            lines += ["", f"**{one.id}** ({one.verdict}). {one.reason}{needed}"]
            if world == MICROWORLD and one.id in explanations:
                lines += ["", f"> Likely: {explanations[one.id].strip()}"]
    return lines


def _depths(results: Results, pictures: Path) -> list[str]:
    lines = ["## The squeeze by the depth of y⁻", "", "D5, the theory's own prediction; not in the paper.", ""]
    missing = [name for name in DEPTHS if name not in results.experiments]
    if missing:
        return [*lines, f"*Not drawn, as no run of {', '.join(missing)} has finished.*"]
    runs = [run for name in DEPTHS for run in results.experiments[name]]
    return [*lines, _drawn(lambda: dose_response(means_by_depth(runs)), pictures / "squeeze_by_depth.png")]


def _variance(results: Results) -> list[str]:
    found = variance_components([run for runs in results.experiments.values() for run in runs])
    if not found:
        return []
    about = f"{found[0].runs} runs in {found[0].worlds} worlds. {VARIANCE_NOTE}."
    return ["## Where the variance comes from", "", about, "", *markdown_table(VARIANCE_HEAD, variance_rows(found))]


def _yaml(name: str) -> Any:
    return yaml.safe_load(files("ldyn.report").joinpath("texts", name).read_text(encoding="utf-8"))


def _paper_figures(results: Results, pictures: Path) -> list[str]:
    """One part for each figure of the paper: published curves and ours on one axis, then ours; gaps are named."""
    about = "Figures of one run are of the first seed. Curves beside published ones are over all seeds."
    lines = ["## The paper's figures, and ours", "", about]
    for entry in _yaml("paper.yaml"):
        lines += ["", f"### {entry['figure']}", "", entry["shows"]]
        if kind := entry.get("beside_published"):
            lines += ["", _beside_published(results, kind, pictures)]
        for path in map(Path, entry["ours"]):
            lines += ["", _copied(results, path.parent.name.split(" or "), path.name, pictures)]
    return lines


def _copied(results: Results, experiments: Sequence[str], file: str, pictures: Path) -> str:
    """The figure of the first seed of the first of ``experiments`` that has it."""
    for name in (name for name in experiments if name in results.experiments):
        figure, copy = results.experiments[name][0].path / "figures" / file, pictures / f"{name}_{file}"
        if figure.exists():
            if figure.resolve() != copy.resolve():
                shutil.copyfile(figure, copy)
            return f"![{Path(file).stem.replace('_', ' ')}]({(FIGURES_DIR / copy.name).as_posix()})"
    return f"*{Path(file).stem}: not drawn, as no finished run of {' or '.join(experiments)} measured it.*"


def _beside_published(results: Results, kind: str, pictures: Path) -> str:
    """Draw the published logs, then the first experiment of each world that has such a stage, over its seeds."""
    materials = [log.material for log in results.logs.values()]
    for world, experiments in results.worlds.items():
        trained = [runs for runs in experiments.values() if any(stage.kind == kind for stage in runs[0].stages)]
        materials += [_material_over_seeds(trained[0], f"ours, {world}")] if trained else []
    return _drawn(lambda: beside_published(kind, materials), pictures / f"published_{kind}.png")


def _drawn(draw: Callable[[], Drawing | str], target: Path) -> str:
    """The figure with its caption, written to ``target``; or why there is none."""
    with figure_settings():
        drawing = draw()
        if isinstance(drawing, str):
            return f"*Not drawn: {drawing}.*"
        write_atomically(target, png(drawing))
    return f"![{drawing.title}]({(FIGURES_DIR / target.name).as_posix()})\n\n{drawing.caption}"


def _material_over_seeds(runs: Sequence[Run], name: str) -> Material:
    return facet_material(facets_of(runs[0].path.parent, runs)[0], name)


def _experiments(results: Results, pictures: Path) -> list[str]:
    lines = ["## The experiments one by one"]
    for name, runs in results.experiments.items():
        lines += ["", f"### {name}", "", "```", _command(runs), "```", ""]
        if runs[0].is_study:
            lines.append(f"A study of its own seeds: {', '.join(map(str, runs[0].manifest['seeds']))}.")
        elif len(runs) < 2:
            lines.append(f"One run only, seed {seeds_of(runs)}: nothing to compare.")
        else:
            sections = comparison_lines(facets_of(runs[0].path.parent, runs), pictures, f"{name}_over_seeds_")
            text = re.sub(r"^#", "###", "\n".join(sections), flags=re.MULTILINE)
            lines.append(re.sub(r"\]\(([\w.-]+\.png)\)", rf"]({FIGURES_DIR.as_posix()}/\1)", text).strip())
    return lines


def _command(runs: Sequence[Run]) -> str:
    """The command that makes all runs of an experiment, without settings that only say where files go."""
    words = shlex.split(str(runs[0].manifest.get("command", "")))
    listed = {job.run: job.overrides for job in read_sweep(runs[0].path.parent).jobs}
    if overrides := listed.get(runs[0].path.name):  # of a sweep the manifest has the words for all its jobs
        words = ["ldyn", "train", *overrides]
    where = ("paths.", "run=", "resume=", "hydra", "seed=")
    words = [word for word in words if not word.lstrip("+").startswith(where) and word not in ("-m", "--multirun")]
    command = shlex.join(["ldyn", *words[1:]])
    return command if runs[0].is_study or len(runs) < 2 else f"{command} -m seed={seeds_of(runs).replace(' ', '')}"


def _logs(results: Results) -> list[str]:
    if not results.logs:
        return []
    lines = ["## Published logs", "", "As `ldyn import-logs` reads them, without what is known to be wrong in them."]
    for name, log in results.logs.items():
        rows = [[f"**{one.id}**", one.claim, finding_cell(one), one.reason] for one in log.findings]
        notes = [f"- {note}" for note in log.notes]
        lines += ["", f"### {name}", "", *markdown_table(["", "claim", "these logs", "why"], rows), "", *notes]
    return lines


def _provenance(results: Results) -> list[str]:
    manifests = [run.manifest for runs in results.experiments.values() for run in runs]
    codes = dict.fromkeys(map(_code, manifests))
    versions = ", ".join(f"{name} {version}" for name, version in manifests[0].get("versions", {}).items())
    machines = dict.fromkeys(str(one.get("machine", {}).get("platform", "unknown")) for one in manifests)
    seconds = {name: list(map(seconds_of, runs)) for name, runs in results.experiments.items()}
    rows = [
        [name, seeds_of(runs), ", ".join(f"{s / 60:.1f}" for s in seconds[name])]
        for name, runs in results.experiments.items()
    ]
    return [
        "## How this was made",
        "",
        f"- Code: {', '.join(codes)}; {versions}",
        f"- Machine: {', '.join(machines)}",
        f"- Wall time of all runs: {sum(map(sum, seconds.values())) / 60:.0f} min",
        "",
        *markdown_table(["experiment", "seeds", "minutes"], rows),
    ]


def _code(manifest: Mapping[str, Any]) -> str:
    git = manifest.get("git") or {}
    return f"{(git.get('commit') or 'unknown')[:12]}{' with uncommitted changes' if git.get('dirty') else ''}"
