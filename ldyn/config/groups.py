"""Where the YAML files are, and what a newcomer needs to know of them: groups, options, first comment lines."""

from __future__ import annotations

from pathlib import Path

from ldyn.errors import RunDirectoryError

PRIMARY = "train.yaml"
OF_OTHER_COMMANDS = ("scale", "commands")
"""Directories that `ldyn train` has nothing to do with."""


def config_directory() -> Path:
    """The directory of the YAML files: `ldyn/configs` in an installed package, `configs` in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for directory in (package / "configs", package.parent / "configs"):
        if (directory / PRIMARY).is_file():
            return directory
    raise RunDirectoryError(
        f"Found no {PRIMARY} in {package / 'configs'} nor in {package.parent / 'configs'}; "
        "the installation is incomplete: install ldyn again."
    )


def groups(directories: list[Path]) -> dict[str, list[str]]:
    """Config group -> its options, from every directory given; Hydra's own groups are excluded but for the launcher."""
    found: dict[str, set[str]] = {}
    for directory in directories:
        for path in directory.rglob("*.yaml"):
            group = path.parent.relative_to(directory).as_posix()
            if group not in (".", *OF_OTHER_COMMANDS) and (not group.startswith("hydra") or group == "hydra/launcher"):
                found.setdefault(group, set()).add(path.stem)
    return {group: sorted(found[group]) for group in sorted(found)}


def options_of(group: str) -> dict[str, str]:
    """The options of one of our groups, each with its description."""
    return {path.stem: description(path) for path in sorted((config_directory() / group).glob("*.yaml"))}


def experiments(directories: list[Path]) -> dict[str, str]:
    """Experiment -> its description, the first comment line of its YAML that is not a Hydra directive."""
    paths = {path.stem: path for directory in directories for path in sorted((directory / "exp").glob("*.yaml"))}
    return {name: description(path) for name, path in sorted(paths.items())}


def description(path: Path) -> str:
    """The first comment line of a YAML file that is not Hydra's `# @package`; empty if there is none."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            return ""
        text = line.lstrip("# ").strip()
        if text and not text.startswith("@package"):
            return text
    return ""


def quoted(value: str) -> str:
    """A text for Hydra: in single quotes everything stands for itself but the quote, which gets a backslash."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
