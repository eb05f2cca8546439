"""Print the size of the code: lines and files of each package, and what is longer than it should be. `make sizes`."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE, LONGEST_FUNCTION = 350, 60


def count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(path: Path) -> list[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    where = path.relative_to(ROOT).as_posix()
    return [((node.end_lineno or 0) - node.lineno + 1, f"{where}:{node.lineno} {node.name}") for node in nodes]


def main() -> None:
    for top in ("ldyn", "tests"):
        files = sorted((ROOT / top).rglob("*.py"))
        lines: Counter[str] = Counter()
        number: Counter[str] = Counter()
        for path in files:
            package = path.relative_to(ROOT / top).parts[0].removesuffix(".py")
            lines[package] += count(path)
            number[package] += 1
        print(f"{top}: {lines.total():,} lines in {len(files)} files")
        for package, total in lines.most_common():
            print(f"  {package:<12} {total:6,} lines {number[package]:4} files")
        long = [f"{path.relative_to(ROOT)} ({count(path)})" for path in files if count(path) > LONGEST_FILE]
        print(f"  files over {LONGEST_FILE} lines: {', '.join(long) or 'none'}")
        named = [found for path in files for found in functions(path) if found[0] > LONGEST_FUNCTION]
        shown = ", ".join(f"{name} ({size})" for size, name in sorted(named, reverse=True))
        print(f"  functions over {LONGEST_FUNCTION} lines: {shown or 'none'}")


if __name__ == "__main__":
    main()
