"""The results page: every claim over seeds from finished runs of several experiments, beside the paper's figures.

Writes ``RESULTS.md`` with its figures, and the same as ``results.html``.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from ldyn.errors import RunDirectoryError
from ldyn.findings import CLAIMS, findings_over_seeds
from ldyn.findings.tables import finding_row
from ldyn.records import HOLDS, FindingOverSeeds
from ldyn.report.facets import facets_of
from ldyn.report.figures import Material, figure_settings, png
from ldyn.report.figures.reference import beside_published
from ldyn.report.html import markdown_page
from ldyn.report.published import PublishedRun, published_runs
from ldyn.report.sweep import comparison_lines, facet_material, finding_cell, seconds_of
from ldyn.report.text import markdown_table
from ldyn.store import PARTIAL_SUFFIX, Run, read_run
from ldyn.store.files import write_atomically
from ldyn.store.sweeps import FINISHED, job_states

MARKDOWN_FILE, HTML_FILE = "RESULTS.md", "results.html"
FIGURES_DIR = Path("figures", "results")
IMPORTED = "import-logs"
ORDER = ("toy", "images", "decompose", "dpo_squeeze", "extend_wins", "extend", "sft_length", "on_policy", "mitigations")
"""Where several experiments measure a claim, the first of them decides; those not listed come last, by name."""
REAL = ("hh", "hh_extend")
"""The experiments on a real pretrained model and real text; all others are of a generated world, or studies."""
MICROWORLD, REAL_MODEL = "microworld", "real model"

Experiments = Mapping[str, Sequence[Run]]


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


@dataclass(frozen=True)
class Results:
    """worlds: REAL_MODEL and MICROWORLD -> experiments, that is name -> finished runs by seed; those that have any.

    logs: name -> published logs. unfinished: names of runs.
    """

    worlds: Mapping[str, Experiments]
    logs: Mapping[str, PublishedRun]
    unfinished: Sequence[str]

    @property
    def experiments(self) -> Experiments:
        """Those of all worlds."""
        return dict(chain.from_iterable(experiments.items() for experiments in self.worlds.values()))

    @cached_property
    def findings(self) -> Mapping[str, Mapping[str, FindingOverSeeds]]:
        """World -> claim -> its finding over seeds; the claims of a world are in one correction."""
        found = {world: findings_over_seeds(experiments) for world, experiments in self.worlds.items()}
        return {world: {one.id: one for one in findings} for world, findings in found.items()}


def read_results(directories: Sequence[Path], logs: Mapping[str, PublishedRun]) -> Results:
    """The runs at most three levels below ``directories``. Raises RunDirectoryError where none has finished."""
    patterns = [f"{depth}/manifest.json" for depth in ("*", "*/*", "*/*/*")]
    found = {path.parent for directory in directories for pattern in patterns for path in directory.glob(pattern)}
    paths = sorted(path for path in found if not any(part.is_symlink() for part in (path, path.parent)))
    runs = [read_run(path) for path in paths if not path.name.endswith(PARTIAL_SUFFIX)]
    ours = [run for run in runs if run.manifest.get("name") != IMPORTED]
    if not ours:
        where = ", ".join(map(str, directories))
        raise RunDirectoryError(f"{where} holds no finished run. Make some with `ldyn reproduce`.")
    worlds: dict[str, dict[str, list[Run]]] = {REAL_MODEL: {}, MICROWORLD: {}}
    for run in sorted(ours, key=lambda run: (_place(str(run.manifest.get("name"))), _seed(run))):
        name = str(run.manifest.get("name"))
        worlds[REAL_MODEL if name in REAL else MICROWORLD].setdefault(name, []).append(run)
    imported = {run.path.name: PublishedRun.of_run(run) for run in runs if run.manifest.get("name") == IMPORTED}
    jobs = [job.run for directory in directories for job in job_states(directory) if job.state != FINISHED]
    partial = [f"{path.parent.name}/{path.name}" for path in paths if path.name.endswith(PARTIAL_SUFFIX)]
    unfinished = [*jobs, *(name.removesuffix(PARTIAL_SUFFIX) for name in partial if Path(name).stem not in jobs)]
    return Results({world: of for world, of in worlds.items() if of}, {**logs, **imported}, unfinished)


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER)), name


def _seed(run: Run) -> int:
    return int(run.manifest.get("seed") or 0)


def _seeds(runs: Sequence[Run]) -> str:
    return ", ".join(str(_seed(run)) for run in runs)


def _head(results: Results) -> list[str]:
    about = (
        "Written by `ldyn reproduce` or `ldyn report --results`, never by hand. `docs/RULES.md` defines every claim's "
        "parts and rule."
    )
    lines = ["# Results", "", about]
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
        f"claimed, and the p-value, then corrected for the claim's family. {'; '.join(counted)}. Published logs: one "
        "run each, so estimates without a verdict; logs of means alone have no interval."
    )
    rows = []
    for name, claim in CLAIMS.items():
        own = [finding_cell(found.get(name)) for found in results.findings.values()]
        logs = [
            f"{log} {row['mark']} {row['estimate']} {row['interval']}".rstrip()
            for log, run in results.logs.items()
            for row in (finding_row(one) for one in run.findings if one.id == name)
        ]
        title = f"{claim.text} ({claim.parts[0].unit}, {claim.parts[0].quantity})"
        rows.append([f"**{name}**", title, *own, "; ".join(logs) or "–", claim.paper])
    head = ["", "claim", *results.findings, "published logs", "the paper"]
    return ["## All claims", "", about, "", *markdown_table(head, rows)]


def _verdicts(found: Mapping[str, FindingOverSeeds]) -> Counter[str]:
    return Counter(one.verdict for one in found.values())


def _misses(results: Results, explained: bool) -> list[str]:
    """Each claim that is not established: its computed reason, then the explanation that people wrote."""
    lines = ["## What did not come out as in the paper"]
    explanations: Mapping[str, str] = _yaml("explanations.yaml") if explained else {}
    for world, found in results.findings.items():
        lines += ["", f"### In the {world}"]
        for one in (one for one in found.values() if one.verdict != HOLDS):
            lines += ["", f"**{one.id}** ({one.verdict}). {one.reason}"]
            if world == MICROWORLD and one.id in explanations:
                lines += ["", f"> Likely: {explanations[one.id].strip()}"]
    return lines


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
            name = path.parent.name
            runs = results.experiments.get(name, ())
            figure = runs[0].path / "figures" / path.name if runs else None
            if figure is None or not figure.exists():
                lines += ["", f"*{path.stem}: not drawn, as no finished run of {name} measured it.*"]
                continue
            copy = pictures / f"{name}_{path.name}"
            if figure.resolve() != copy.resolve():
                shutil.copyfile(figure, copy)
            lines += ["", f"![{path.stem.replace('_', ' ')}]({(FIGURES_DIR / copy.name).as_posix()})"]
    return lines


def _beside_published(results: Results, kind: str, pictures: Path) -> str:
    """Draw the published logs, then the first experiment of each world that has such a stage, over its seeds."""
    materials = [log.material for log in results.logs.values()]
    for world, experiments in results.worlds.items():
        trained = [runs for runs in experiments.values() if any(stage.kind == kind for stage in runs[0].stages)]
        materials += [_material_over_seeds(trained[0], f"ours, {world}")] if trained else []
    with figure_settings():
        drawing = beside_published(kind, materials)
        if isinstance(drawing, str):
            return f"*Not drawn: {drawing}.*"
        name = f"published_{kind}.png"
        write_atomically(pictures / name, png(drawing))
    return f"![{drawing.title}]({(FIGURES_DIR / name).as_posix()})\n\n{drawing.caption}"


def _material_over_seeds(runs: Sequence[Run], name: str) -> Material:
    return facet_material(facets_of(runs[0].path.parent, runs)[0], name)


def _experiments(results: Results, pictures: Path) -> list[str]:
    """One part for each experiment: its command, and the comparison of its runs."""
    lines = ["## The experiments one by one"]
    for name, runs in results.experiments.items():
        lines += ["", f"### {name}", "", "```", _command(runs), "```", ""]
        if runs[0].is_study:
            lines.append(f"A study of its own seeds: {', '.join(map(str, runs[0].manifest['seeds']))}.")
        elif len(runs) < 2:
            lines.append(f"One run only, seed {_seeds(runs)}: nothing to compare.")
        else:
            sections = comparison_lines(facets_of(runs[0].path.parent, runs), pictures, f"{name}_over_seeds_")
            text = re.sub(r"^#", "###", "\n".join(sections), flags=re.MULTILINE)
            lines.append(re.sub(r"\]\(([\w.-]+\.png)\)", rf"]({FIGURES_DIR.as_posix()}/\1)", text).strip())
    return lines


def _command(runs: Sequence[Run]) -> str:
    """The command that makes all runs of an experiment, without settings that only say where files go."""
    words = shlex.split(str(runs[0].manifest.get("command", "")))
    where = ("paths.", "run=", "resume=", "hydra", "seed=")
    words = [word for word in words if not word.lstrip("+").startswith(where) and word not in ("-m", "--multirun")]
    command = shlex.join(["ldyn", *words[1:]])
    return command if runs[0].is_study or len(runs) < 2 else f"{command} -m seed={_seeds(runs).replace(' ', '')}"


def _logs(results: Results) -> list[str]:
    """What published logs show, judged by the same rules."""
    if not results.logs:
        return []
    lines = ["## Published logs", "", "As `ldyn import-logs` reads them, without what is known to be wrong in them."]
    for name, log in results.logs.items():
        rows = [[f"**{one.id}**", one.claim, finding_cell(one), one.reason] for one in log.findings]
        notes = [f"- {note}" for note in log.notes]
        lines += ["", f"### {name}", "", *markdown_table(["", "claim", "these logs", "why"], rows), "", *notes]
    return lines


def _provenance(results: Results) -> list[str]:
    """Code, machine, versions and wall time, from the manifests."""
    manifests = [run.manifest for runs in results.experiments.values() for run in runs]
    codes = dict.fromkeys(map(_code, manifests))
    versions = ", ".join(f"{name} {version}" for name, version in manifests[0].get("versions", {}).items())
    machines = dict.fromkeys(str(one.get("machine", {}).get("platform", "unknown")) for one in manifests)
    seconds = {name: list(map(seconds_of, runs)) for name, runs in results.experiments.items()}
    rows = [
        [name, _seeds(runs), ", ".join(f"{s / 60:.1f}" for s in seconds[name])]
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
