"""Every command of the README runs, in its order, in one empty directory; what would take long is made small."""

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from ldyn.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)  # (language, content)
SHELL = [content for language, content in BLOCKS if not language]
COMMANDS = [line.split("  #")[0].strip() for block in SHELL for line in block.splitlines() if line.strip()]
OF_THE_TABLE = re.findall(r"\| `(ldyn [^`]+)` \|", README)  # paper figure or claim -> command
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
COMPOSED_BY_HYDRA = {
    "bench",
    "decompose",
    "generate",
    "images",
    "judge",
    "probes",
    "reproduce",
    "score",
    "toy",
    "train",
}
OF_THE_DOCS = sorted(
    {
        line.split("  #")[0].strip()
        for page in (ROOT / "docs").glob("*.md")
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        for line in block.replace("\\\n", " ").splitlines()
        if not language and line.startswith("ldyn ")
    }
)
CUT = "cut"  # the run that is stopped and gone on with
LDYN = ROOT / "ldyn" / "__main__.py"


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """Where the commands run: with probe files, pairs and logs of a few rows."""
    directory = tmp_path_factory.mktemp("readme")
    probes = directory / "DIR"
    probes.mkdir()
    for name, first in (("train", 0), ("test", 100)):
        rows = [row(first + number) for number in range(40)]
        (probes / f"probe_{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    pd.DataFrame([row(number) for number in range(200, 260)]).to_csv(directory / "PAIRS.csv", index=False)
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


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted({*OF_THE_TABLE, *OF_THE_DOCS}))
def test_every_command_of_the_table_and_the_docs_composes(command, directory, monkeypatch, capsys):
    """They name settings, options and experiments that exist; most of them run in tests of their own."""
    words = shlex.split(command)[1:]
    if words[0] in COMPOSED_BY_HYDRA and not {"--help", "--dry-run", "--config-dir"} & set(words):
        firsts = [re.sub(r"\],\[.*", "]", word) for word in words if word != "-m"]  # of several lists
        one_job = [word if {"[", "{"} & set(word) else word.split(",")[0] for word in firsts]
        monkeypatch.chdir(directory)
        assert main([*one_job, "--cfg", "job"]) == 0, f"{command}\n{capsys.readouterr().err}"


def made_small(words: list[str]) -> list[str]:
    """The same command with less to do; what needs a GPU or weights from the hub is composed only."""
    if NEEDS_A_GPU_AND_A_NETWORK in words or "+exp=hh" in words:
        return [*words, "--cfg", "job"]
    if words[0] in SMALL_STUDIES:
        return [*words, *SMALL_STUDIES[words[0]]]
    if words[0] != "train" or not any(word.startswith("+exp=") for word in words):
        return [word.replace("RUN", CUT) for word in words]
    is_named = any(word.startswith("hydra.sweep.dir=") for word in words)  # otherwise it is called by the time
    sweep = ["hydra.sweep.dir=outputs/sweeps/SWEEP"] if "-m" in words and not is_named else []
    own = SMALL_STUDIES["decompose"] if "+exp=decompose" in words else []
    return [*words, *SMALL, *sweep, *own, *SMALL_WORLD]


def cut_short(directory: Path, forked) -> None:
    """Make outputs/dpo_squeeze/CUT.partial: a run that is killed when its second stage begins."""
    words = ["train", "+exp=dpo_squeeze", f"run={CUT}", *SMALL, *SMALL_WORLD]
    when = {**os.environ, "KILL_AT": f"scored dpo 0 {int(signal.SIGKILL)}"}
    script = ROOT / "tests" / "run" / "kill_at.py"
    assert forked([script, *words], cwd=directory, env=when).returncode == -signal.SIGKILL
