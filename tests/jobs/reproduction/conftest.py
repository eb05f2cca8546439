"""Plans of the smoke scale, composed in this process."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from ldyn.config.groups import config_directory
from ldyn.config.loading import load_study_config
from ldyn.jobs.reproduction.plan import make_plan
from ldyn.jobs.reproduction.settings import ReproduceConfig


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """``planned("scale=smoke", "seeds=2")`` -> the configuration and its jobs, below a directory that nobody writes
    to.
    """
    directory = tmp_path_factory.mktemp("planned")

    def plan(*overrides: str, speed: float = 1.0):
        places = [f"paths.outputs={directory}", f"paths.cache={directory}/cache"]
        with initialize_config_dir(str(Path(config_directory()).resolve()), version_base="1.3"):
            config = load_study_config(ReproduceConfig, compose("reproduce", [*places, *overrides]))
            return config, make_plan(config, speed)

    return plan
