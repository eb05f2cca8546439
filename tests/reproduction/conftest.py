"""Plans of the smoke scale, composed in this process."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from ldyn.commands.configs import config_folder
from ldyn.config import load_study_config
from ldyn.reproduction.plan import make_plan
from ldyn.reproduction.settings import ReproduceConfig


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """``planned("scale=smoke", "seeds=2")`` -> the configuration and its jobs, below a folder that nobody writes to."""
    folder = tmp_path_factory.mktemp("planned")

    def plan(*overrides: str, speed: float = 1.0):
        places = [f"paths.outputs={folder}", f"paths.cache={folder}/cache"]
        with initialize_config_dir(str(Path(config_folder()).resolve()), version_base="1.3"):
            config = load_study_config(ReproduceConfig, compose("reproduce", [*places, *overrides]))
            return config, make_plan(config, speed)

    return plan
