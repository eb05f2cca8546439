"""The paper's figures, each with what it shows and ours beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ldyn.report.results.reproduction import Reproduction

AddPicture = Callable[[Path, str], str]


def figure_sections(reproduction: Reproduction, add_picture: AddPicture) -> str:
    """One part for each figure of the paper; a figure that was not drawn is named."""
    text = files("ldyn.report.results").joinpath("paper.yaml").read_text(encoding="utf-8")
    lines = ["## The paper's figures, and ours", "", _which_seed(reproduction)]
    for entry in yaml.safe_load(text):
        lines += ["", *_figure(entry, reproduction, add_picture)]
    return "\n".join(lines)


def _which_seed(reproduction: Reproduction) -> str:
    seed = reproduction.state["seeds"][0]
    return f"Ours are of seed {seed}, where they are of one run; the experiments below have those over all seeds."


def _figure(entry: Mapping[str, Any], reproduction: Reproduction, add_picture: AddPicture) -> Iterator[str]:
    yield f"### {entry['figure']}"
    yield ""
    yield entry["shows"]
    yield from _pictures(entry["ours"], reproduction, add_picture)


def _pictures(ours: Sequence[str], reproduction: Reproduction, add_picture: AddPicture) -> Iterator[str]:
    for path in map(Path, ours):
        part, name = path.parent.name, path.name
        directories = reproduction.directories(part) if part in reproduction.state["parts"] else []
        figure = directories[0] / "figures" / name if directories else None
        yield ""
        if figure is None or not figure.exists():
            yield f"*{path.stem}: not drawn, as {part} has no finished run that measured it.*"
        else:
            yield f"![{path.stem.replace('_', ' ')}]({add_picture(figure, f'{part}_{name}')})"
