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
from pathlib import Path
from typing import Any

import yaml

from ldyn.errors import RunDirectoryError
from ldyn.findings import CLAIMS
from ldyn.findings.over_seeds import findings_over_seeds
from ldyn.findings.tables import finding_row
from ldyn.records import HOLDS, FindingOverSeeds
from ldyn.report.facets import facets_of
from ldyn.report.html import markdown_page
from ldyn.report.run_page import build_report
from ldyn.report.sweep import comparison_lines, seconds_of
from ldyn.report.text import markdown_table
from ldyn.store import PARTIAL_SUFFIX, Run, read_run
from ldyn.store.files import write_atomically
from ldyn.store.sweeps import FINISHED, job_states

MARKDOWN_FILE, HTML_FILE = "RESULTS.md", "results.html"
FIGURES_DIR = Path("figures", "results")
IMPORTED = "import-logs"
ORDER = ("toy", "images", "decompose", "dpo_squeeze", "extend_wins", "extend", "sft_length", "on_policy", "mitigations")
"""Where several experiments measure a claim, the first of them decides; those not listed come last, by name."""


def write_results(directory: Path, target: Path | None = None, *, explained: bool = False) -> tuple[Path, Path]:
    """Write the page of the finished runs below ``directory`` into ``target``; returns the Markdown and HTML files.

    Reads run directories only. Unfinished runs are named. explained: whether to add the explanations that were written
    for the default scale, where a claim does not hold.
    """
    target = target or directory
    results = read_results(directory)
    pictures = target / FIGURES_DIR
    pictures.mkdir(parents=True, exist_ok=True)
    sections = [
        _head(results),
        _claims(results),
        _misses(results, explained),
        _paper_figures(results, pictures),
        _experiments(results, pictures),
        _logs(results, pictures),
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
    """experiments: name -> its finished runs by seed; logs: name -> run of imported logs; unfinished: their names."""

    directory: Path
    experiments: Mapping[str, Sequence[Run]]
    logs: Mapping[str, Run]
    unfinished: Sequence[str]

    @cached_property
    def findings(self) -> Sequence[FindingOverSeeds]:
        """Every claim over seeds, all of them in one correction."""
        return findings_over_seeds(self.experiments)


def read_results(directory: Path) -> Results:
    """The runs at most three levels below ``directory``. Raises RunDirectoryError where none has finished."""
    found = {path.parent for depth in ("*", "*/*", "*/*/*") for path in directory.glob(f"{depth}/manifest.json")}
    paths = sorted(path for path in found if not any(part.is_symlink() for part in (path, path.parent)))
    runs = [read_run(path) for path in paths if not path.name.endswith(PARTIAL_SUFFIX)]
    ours = [run for run in runs if run.manifest.get("name") != IMPORTED]
    if not ours:
        raise RunDirectoryError(f"{directory} holds no finished run. Make some with `ldyn reproduce`.")
    experiments: dict[str, list[Run]] = {}
    for run in sorted(ours, key=lambda run: (_place(str(run.manifest.get("name"))), _seed(run))):
        experiments.setdefault(str(run.manifest.get("name")), []).append(run)
    logs = {run.path.name: run for run in runs if run.manifest.get("name") == IMPORTED}
    jobs = [job.run for job in job_states(directory) if job.state != FINISHED]
    partial = [str(path.relative_to(directory)) for path in paths if path.name.endswith(PARTIAL_SUFFIX)]
    unfinished = dict.fromkeys([*jobs, *(name.removesuffix(PARTIAL_SUFFIX) for name in partial)])
    return Results(directory, experiments, logs, list(unfinished))


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER)), name


def _seed(run: Run) -> int:
    return int(run.manifest.get("seed") or 0)


def _seeds(runs: Sequence[Run]) -> str:
    return ", ".join(str(_seed(run)) for run in runs)


def _head(results: Results) -> list[str]:
    about = (
        "Written by `ldyn reproduce`, never by hand. The docstring of each claim's function in `ldyn/findings` defines "
        "its statistic and decision rule; `ldyn/findings/over_seeds.py` how several seeds become one verdict."
    )
    lines = ["# Results", "", about]
    if results.unfinished:
        lines += ["", f"**Not finished, and not in what follows:** {', '.join(results.unfinished)}."]
    return lines


def _claims(results: Results) -> list[str]:
    """Every claim that ldyn knows has a row, measured or not."""
    found = {one.id: one for one in results.findings}
    counts = Counter(one.verdict for one in found.values())
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    about = (
        "Here: the mean over the seeds (of a study: over its own) with its 95 % interval; the verdict is corrected "
        f"for all {len(found)} claims that were measured. {counted}."
    )
    head = ["", "claim", "verdict", "here", *results.logs, "single seeds", "p, corrected", "the paper"]
    rows = [_claim_row(name, results, found.get(name)) for name in CLAIMS]
    return ["## All claims", "", about, "", *markdown_table(head, rows)]


def _claim_row(name: str, results: Results, one: FindingOverSeeds | None) -> list[str]:
    claim = CLAIMS[name]
    row = {} if one is None else finding_row(one)
    verdict = f"{row['mark']} {row['verdict']}" if row else "not measured"
    here = f"{row['estimate']} {row['interval']}" if row else "–"
    logs = [_of_log(name, run) for run in results.logs.values()]
    title = f"{claim.text} ({claim.number})"
    return [f"**{name}**", title, verdict, here, *logs, row.get("alone", "–"), row.get("p", "–"), claim.paper]


def _of_log(name: str, run: Run) -> str:
    row = next((finding_row(one) for one in run.findings if one.id == name), None)
    return f"{row['mark']} {row['estimate']} {row['interval']}".rstrip() if row else "–"


def _misses(results: Results, explained: bool) -> list[str]:
    """Each claim that is not established: its computed reason, then the explanation that people wrote."""
    lines = ["## What did not come out as in the paper"]
    explanations: Mapping[str, str] = _yaml("explanations.yaml") if explained else {}
    for one in results.findings:
        if one.verdict != HOLDS:
            lines += ["", f"**{one.id}** ({one.verdict}). {one.reason}"]
            if one.id in explanations:
                lines += ["", f"> Likely: {explanations[one.id].strip()}"]
    return lines


def _yaml(name: str) -> Any:
    return yaml.safe_load(files("ldyn.report").joinpath("texts", name).read_text(encoding="utf-8"))


def _paper_figures(results: Results, pictures: Path) -> list[str]:
    """One part for each figure of the paper; a figure that was not drawn is named."""
    lines = ["## The paper's figures, and ours", "", "Ours are of the first seed, where they are of one run."]
    for entry in _yaml("paper.yaml"):
        lines += ["", f"### {entry['figure']}", "", entry["shows"]]
        for path in map(Path, entry["ours"]):
            name = path.parent.name
            runs = results.experiments.get(name, ())
            figure = runs[0].path / "figures" / path.name if runs else None
            missing = f"*{path.stem}: not drawn, as no finished run of {name} measured it.*"
            known = figure is not None and figure.exists()
            lines += ["", _picture(figure, pictures, f"{name}_{path.name}", path.stem) if known else missing]
    return lines


def _picture(source: Path | None, pictures: Path, name: str, title: str) -> str:
    """Copy a figure beside the page; returns the Markdown that shows it."""
    assert source is not None
    if source.resolve() != (pictures / name).resolve():
        shutil.copyfile(source, pictures / name)
    return f"![{title.replace('_', ' ')}]({(FIGURES_DIR / name).as_posix()})"


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
            sections = comparison_lines(facets_of(results.directory, runs), pictures, f"{name}_over_seeds_")
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


def _logs(results: Results, pictures: Path) -> list[str]:
    """What imported logs show, judged by the same rules, and their curves compared with ours."""
    if not results.logs:
        return []
    ours = next((runs[0] for runs in results.experiments.values() if not runs[0].is_study), None)
    lines = ["## Imported logs", "", "Imported by `ldyn import-logs`, without what is known to be wrong in them."]
    for name, run in results.logs.items():
        rows = [
            [f"**{row['id']}**", row["claim"], f"{row['mark']} {row['estimate']} {row['interval']}", row["reason"]]
            for row in map(finding_row, run.findings)
        ]
        notes = [f"- {note}" for note in run.manifest.get("notes", [])]
        lines += ["", f"### {name}", "", *markdown_table(["", "claim", "these logs", "why"], rows), "", *notes]
        if ours is not None:
            build_report(run.path, ours.path)
            overlay = run.path / "figures" / "reference_overlay.png"
            if overlay.exists():
                title = f"The curves of {name} and ours, each in units of its own range"
                lines += ["", _picture(overlay, pictures, f"logs_{name}_overlay.png", title)]
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
