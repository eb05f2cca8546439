"""Every command of the README runs, in its order, in one empty directory; what would take long is made small."""

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)  # (language, content)
SHELL = [content for language, content in BLOCKS if not language]
FILES = {
    content.split("\n")[0].lstrip("# "): content for language, content in BLOCKS if language
}  # by their first line
COMMANDS = [line.split("  #")[0].strip() for block in SHELL for line in block.splitlines() if line.strip()]
SMALL = [
    "logger=none",
    "report=false",
    "model.hidden_size=32",
    "model.layers=2",
    "model.heads=2",
    "model.steps=30",
    "model.warmup_steps=5",
    "probes.n_train=8",
    "probes.n_test=6",
    "probes.families=[chosen,rejected,irr_train,irr_test]",
    "probes.schedule.points=3",
    "samples.examples=2",
    "samples.max_new_tokens=8",
    "sft.max_steps=3",
    "preference.max_steps=3",
]
SMALL_WORLD = "dataset.people=40 dataset.test_people=12 dataset.pairs=32 dataset.train_probes=8 dataset.test_probes=6"
SMALL_WORLD = f"{SMALL_WORLD} dataset.documents=500".split()
SMALL_STUDIES = {
    "toy": ["seeds=1", "toy.labels=[12]", "toy.starts=8", "toy.steps=2"],
    "images": ["seeds=1", "images.steps=20", "images.observed=1", "images.measure_every=10"],
    "decompose": ["decompose.examples=2", "decompose.kernel_examples=1", "decompose.projections=2"],
}
NEEDS_A_GPU_AND_A_NETWORK = "model=pythia_410m"
STARTS_PROCESSES = "trainer.num_processes=2"  # such runs have tests of their own
CUT = "cut"  # the run that is stopped and gone on with
LDYN = ROOT / "ldyn" / "__main__.py"


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """Where the commands run: with the README's own files, and probe files of a few rows."""
    directory = tmp_path_factory.mktemp("readme")
    for name, content in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(content, encoding="utf-8")
    probes = directory / "DIR"
    probes.mkdir()
    for name, first in (("train", 0), ("test", 100)):
        rows = [row(first + number) for number in range(40)]
        (probes / f"probe_{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    for name, change in (("LOGS_SFT", 5.0), ("LOGS_DPO", -3.0)):
        (directory / name).mkdir()
        means = [{"logps_eval_prob_train/chosen": -40 + change * moment} for moment in range(3)]
        (directory / name / "prob_train_metrics.json").write_text("".join(json.dumps(one) + "\n" for one in means))
    return directory


def row(number: int) -> dict[str, str]:
    words = [f"word{(number * step) % 97}" for step in range(2, 14)]
    return {
        "prompt": f"\n\nHuman: What about {' '.join(words[:4])} number {number}?\n\nAssistant:",
        "chosen": f" I like {' '.join(words[4:9])} best.",
        "rejected": f" I never liked {' '.join(words[7:])} so much.",
    }


def test_the_readme_names_the_two_commands_that_do_all_set_up():
    assert [command for command in COMMANDS if command.startswith("make ")][:2] == ["make squeeze", "make test"]


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_knows_the_target(command):
    assert subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_every_ldyn_command_runs(directory, forked):
    for command in (command for command in COMMANDS if command.startswith("ldyn ")):
        words = made_small(shlex.split(command)[1:])
        if f"resume=outputs/dpo_squeeze/{CUT}" in words:
            cut_short(directory, forked)
        done = forked([LDYN, *words], cwd=directory)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert list((directory / "outputs/dpo_squeeze").glob("*/report.html"))


def made_small(words: list[str]) -> list[str]:
    """The same command with less to do; what needs a GPU and weights from the hub, or processes, is composed only."""
    if NEEDS_A_GPU_AND_A_NETWORK in words or STARTS_PROCESSES in words:
        return [*words, "--cfg", "job"]
    if words[0] in SMALL_STUDIES:
        return [*words, *SMALL_STUDIES[words[0]]]
    if words[0] != "train" or not any(word.startswith("+exp=") for word in words):
        return [word.replace("RUN", CUT) for word in words]
    is_named = any(word.startswith("hydra.sweep.dir=") for word in words)  # otherwise it is called by the time
    sweep = ["hydra.sweep.dir=outputs/sweeps/SWEEP"] if "-m" in words and not is_named else []
    own = SMALL_STUDIES["decompose"] if "+exp=decompose" in words else []
    return [*words, *SMALL, *sweep, *own, *([] if "+exp=hh_tiny" in words else SMALL_WORLD)]


def cut_short(directory: Path, forked) -> None:
    """Make outputs/dpo_squeeze/CUT.partial: a run that is killed when its second stage begins."""
    words = ["train", "+exp=dpo_squeeze", f"run={CUT}", *SMALL, *SMALL_WORLD]
    when = {**os.environ, "KILL_AT": f"scored dpo 0 {int(signal.SIGKILL)}"}
    script = ROOT / "tests" / "run" / "kill_at.py"
    assert forked([script, *words], cwd=directory, env=when).returncode == -signal.SIGKILL
