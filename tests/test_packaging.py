"""The wheel carries everything that the package reads, and works where there is no checkout."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ldyn.config.groups import config_directory

ROOT = Path(__file__).resolve().parents[1]
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of a freshly built wheel, unpacked."""
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-c", BUILD, str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(directory / done.stdout.split()[-1]) as wheel:
        wheel.extractall(directory / "site")
    return directory / "site"


def test_every_config_and_every_file_of_the_package_is_in_the_wheel(installed: Path) -> None:
    configs = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")}
    assert {
        path.relative_to(installed / "ldyn/configs") for path in (installed / "ldyn/configs").rglob("*.yaml")
    } == configs
    ours = {
        path.relative_to(ROOT)
        for path in (ROOT / "ldyn").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours <= {path.relative_to(installed) for path in installed.rglob("*")}


def test_an_installed_package_finds_its_own_configs(installed: Path, tmp_path: Path) -> None:
    code = "from ldyn.cli.main import main; main(['train', '+exp=dpo_squeeze', '--cfg', 'job'])"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", f"import ldyn; assert {str(installed)!r} in ldyn.__file__; {code}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert yaml.safe_load(done.stdout)["name"] == "dpo_squeeze"
    assert config_directory() == ROOT / "configs"


def imported(directory: str) -> set[str]:
    """The packages that the code in a directory imports."""
    names = set()
    for path in (ROOT / directory).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(str(node.module).partition(".")[0])
    own = {path.stem for path in (*(ROOT / directory).rglob("*.py"), *(ROOT / "scripts").glob("*.py"))}
    return names - set(sys.stdlib_module_names) - {"ldyn", *own}


@pytest.mark.parametrize(("directory", "extras"), [("ldyn", []), ("tests", ["dev"])])
def test_what_is_imported_is_declared(directory: str, extras: list[str]) -> None:
    """And not only there because some other package happens to need it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = project["dependencies"] + [text for extra in extras for text in project["optional-dependencies"][extra]]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    owners = packages_distributions()
    missing = {name for name in imported(directory) if not {canonicalize_name(o) for o in owners[name]} & declared}
    assert not missing


def test_torch_is_pinned_at_both_ends_and_constraints_fit_the_ranges() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["dev"]]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    for requirement in requirements:
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} does not admit {version}"
        if requirement.name == "torch":
            assert {clause.operator for clause in requirement.specifier} == {">=", "<"}
