"""The experiments one by one: the command, and the comparison that `ldyn report` writes for a directory of runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ldyn.report.results.figures import AddPicture
from ldyn.report.results.reproduction import Reproduction
from ldyn.report.sweep import compare_sweep
from ldyn.store import Run


def experiment_sections(reproduction: Reproduction, add_picture: AddPicture) -> str:
    """One part for each experiment with at least two finished runs."""
    lines = ["## The experiments one by one"]
    for part, runs in reproduction.runs.items():
        if runs:
            lines += ["", f"### {part}", "", "```", _commands(reproduction, part, runs), "```", ""]
            lines.append(_comparison(part, runs, add_picture))
    return "\n".join(lines)


def _commands(reproduction: Reproduction, part: str, runs: Sequence[Run]) -> str:
    command = reproduction.command(part)
    if runs[0].is_study:
        return command
    seeds = ",".join(str(run.manifest["seed"]) for run in runs)
    return re.sub(r"^ldyn train (.*)seed=\d+", rf"ldyn train -m \1seed={seeds}", command)


def _comparison(part: str, runs: Sequence[Run], add_picture: AddPicture) -> str:
    """Of a study its title and seeds; of runs over seeds what `ldyn report` says of their directory, one level
    deeper.
    """
    if runs[0].is_study:
        return f"A study of its own seeds: {', '.join(map(str, runs[0].manifest['seeds']))}."
    if len(runs) < 2:
        return f"One run only, seed {runs[0].manifest['seed']}: nothing to compare."
    page = compare_sweep(runs[0].path.parent)
    text = page.read_text(encoding="utf-8").split("\n", 1)[1].strip()  # without its title
    text = re.sub(r"^#", "###", text, flags=re.MULTILINE)

    def moved(match: re.Match[str]) -> str:
        return f"]({add_picture(page.parent / match[1], f'{part}_over_seeds_{Path(match[1]).name}')})"

    return re.sub(r"\]\(([\w./-]+\.png)\)", moved, text)
