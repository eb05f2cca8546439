"""The scripts of docs/examples run as docs/YOUR_SCRIPT.md says, on a tiny model made here; one on two processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from ldyn.models.settings import TinyConfig
from ldyn.models.tiny import build_tiny_model
from ldyn.models.tokenizers import build_tokenizer
from ldyn.processes.launcher import usable_cores
from ldyn.store import read_run

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
PAIRS = EXAMPLES / "pairs.csv"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    tokenizer = build_tokenizer("bpe", [PAIRS.read_text()], 400)
    build_tiny_model(TinyConfig(hidden_size=16, layers=1, heads=2), tokenizer, 0).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_leaves_a_run_with_a_report(script, model, forked, tmp_path):
    assert len(script.read_text().splitlines()) <= 40
    assert script.name in (EXAMPLES.parent / "YOUR_SCRIPT.md").read_text()
    done = forked([script, model, PAIRS, tmp_path / "run"])
    assert done.returncode == 0, done.stderr
    run = read_run(tmp_path / "run")
    assert run.trajectories["step"].min() == 0 < run.trajectories["step"].max()
    assert (run.path / "report.html").exists()


@pytest.mark.skipif(usable_cores() < 2, reason="two processes need two cores")
def test_two_processes_leave_one_run(model, tmp_path):
    words = [EXAMPLES / "trl_dpo.py", model, PAIRS, tmp_path / "run"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    done = subprocess.run([*launcher, *map(str, words)], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    run = read_run(tmp_path / "run")
    assert run.manifest["processes"]["number"] == 2
    assert not run.trajectories.duplicated(["step", "split", "example_id", "probe"]).any()
