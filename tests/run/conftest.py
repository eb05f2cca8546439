"""The smoke experiment with ever fewer steps, run in this process or in one of its own."""

from pathlib import Path

import pytest

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.config.loading import load_config
from ldyn.config.schema import RunConfig

FEW_PROBES = (
    "probes.families=[chosen,rejected,irr_train,irr_test]"  # not those that the model writes, which take longer
)


@pytest.fixture(scope="session")
def outputs(tmp_path_factory) -> Path:
    """One directory for the runs of all tests here, so that the tiny base is pretrained once for each seed."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="session")
def smoke(outputs):
    """Compose the smoke experiment: ``smoke("name", "key=value", ...)`` is the config of the run called ``name``."""

    def config(run: str, *overrides: str) -> RunConfig:
        return load_config(composed_settings("train", [*arguments(outputs, run), *overrides]))

    return config


def arguments(outputs: Path, run: str) -> list[str]:
    paths = [f"paths.outputs={outputs}", f"paths.cache={outputs}/cache"]
    return ["+exp=smoke", "logger=none", "report=false", FEW_PROBES, *paths, f"run={run}"]


@pytest.fixture(scope="session")
def words(outputs):
    """The same as the words of a command line, for a process of its own."""

    def line(run: str, *overrides: str) -> list[str]:
        return ["train", *arguments(outputs, run), *overrides]

    return line
