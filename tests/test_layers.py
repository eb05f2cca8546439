"""Import only from a lower layer; siblings of one layer do not know each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ldyn

PACKAGE = Path(ldyn.__file__).parent
# Lowest first: what stands on each level, and what it is for.
LAYERS: tuple[dict[str, str], ...] = (
    {"records": "the dataclasses that travel between layers", "errors": "what a user can meet"},
    {"numerics": "statistics of next-token distributions", "processes": "several processes as one run"},
    {"data": "preference data and the one encoder"},
    {"models": "base models and their cache", "algorithms": "losses as functions of log-probs"},
    {"probes": "families, schedule, scoring engine"},
    {"store": "trajectories, run directories, importers", "tracking": "wandb, TensorBoard, console"},
    {"training": "one stage, on TRL's trainers"},
    {
        "answers": "generation, metrics, judges, win rates, API client",
        "bench": "what scoring and training cost",
        "findings": "statistics and claims",
        "theory": "A·K·G, decomposition, toy, digits",
    },
    {"report": "tables, figures, pages"},
    {"config": "schema, loading, faults"},
    {"run": "the experiment: run.py is its table of contents"},
    {"jobs": "what runs many runs: sweeps, reproductions, SLURM", "probe_sets": "build probe sets"},
    {"cli": "one file a command, and the Hydra glue"},
    {"__main__": "python -m ldyn"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def component(module: str) -> str:
    """`ldyn.data.encoder` -> `data`."""
    return module.split(".")[1]


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of ldyn that a module imports, inside functions and for type checkers as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("ldyn."))
        elif isinstance(node, ast.ImportFrom) and node.module == "ldyn":
            yield from (f"ldyn.{alias.name}" for alias in node.names if not alias.name.startswith("__"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ldyn."):
            yield str(node.module)


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_come_from_lower_layers(path: Path) -> None:
    own = component(".".join(("ldyn", *path.relative_to(PACKAGE).with_suffix("").parts)))
    others = {component(module) for module in imported(ast.parse(path.read_text(encoding="utf-8")))} - {own}
    wrong = sorted(other for other in others if LEVEL[other] >= LEVEL[own])
    assert not wrong, f"{own} (layer {LEVEL[own]}) imports {', '.join(wrong)}"
