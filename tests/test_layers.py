"""Import only from a lower layer; siblings of one layer do not know each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ldyn

PACKAGE = Path(ldyn.__file__).parent
LAYERS = (
    ("records", "errors", "user_code"),
    ("numerics", "processes"),
    ("data",),
    ("models", "algorithms"),
    ("probes",),
    ("trajectories", "tracking"),
    ("training", "dynamics"),
    ("findings", "generation", "bench", "scoring", "decompose"),
    ("report",),
    ("config",),
    ("run",),
    ("reproduction",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
# Modules that run.py is divided into, and the main paths of other commands that read a run's configuration.
PARTS_OF_RUN = {
    "contests",
    "decomposing",
    "generate",
    "manifest",
    "preparation",
    "probe_sets",
    "respondents",
    "results",
    "samples",
    "session",
    "sharing",
    "stages",
    "studies",
    "training_pairs",
}
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def component(module: str) -> str:
    """`ldyn.data.encoder` -> `data`."""
    name = module.split(".")[1]
    return "run" if name in PARTS_OF_RUN else name


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
