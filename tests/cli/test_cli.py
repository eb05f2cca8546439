"""The command line: pages that answer at once, errors in words, tab completion, the user's own YAML files."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ldyn import __version__
from ldyn.cli.main import COMMANDS, main
from ldyn.config.groups import config_directory, experiments
from ldyn.config.schema import RunConfig
from ldyn.errors import Interrupted

LDYN = Path(sys.executable).with_name("ldyn")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    for name, summary in COMMANDS.items():
        assert f"{name} " in page
        assert summary in page
    assert main([]) == 2
    assert main(["--version"]) == 0
    assert f"ldyn {__version__}\n" in capsys.readouterr().out


def test_a_misspelt_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian", "+exp=smoke"]) == 2
    assert "no such command: trian; did you mean train?" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["-m train +exp=smoke seed=-1,-2", "train +exp=smoke seed=-1,-2 -m"])
def test_the_flag_of_a_sweep_may_stand_anywhere(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert "found -2" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main([command, "--help"])
    except SystemExit as stop:  # argparse leaves in its own way
        code = int(stop.code or 0)
    assert code == 0
    assert capsys.readouterr().out.startswith(f"usage: ldyn {command}")


def test_train_help_lists_experiments_groups_and_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    page = capsys.readouterr().out
    for name, text in experiments([config_directory()]).items():
        assert f"  {name} " in page
        assert text in " ".join(page.split())
    assert re.search(r"^  logger +none tensorboard wandb$", page, flags=re.MULTILINE)
    assert "resume=" in page
    assert max(map(len, page.splitlines())) <= 120


def test_every_override_shown_in_the_help_composes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "--help"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ldyn train +exp=")]
    assert len(lines) >= 4
    for words in lines:
        overrides = [word for word in words[2:] if "=" in word and "<" not in word]
        main(["train", *overrides, "--cfg", "job"])
        shown = yaml.safe_load(capsys.readouterr().out)
        assert shown["name"] == overrides[0].removeprefix("+exp=")


def test_the_composed_configuration_is_shown_without_loading_torch() -> None:
    code = (
        "import sys; from ldyn.cli.main import main; main(['train', '+exp=extend', '--cfg', 'job', '--resolve']); "
        "heavy = {'torch', 'transformers', 'pandas', 'pydantic', 'wandb'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["stages"]["dpo_extend"]["start"] == "extend"


FAULTS_AND_JOBS_WITHOUT_TORCH = """
import sys
from ldyn.cli.hydra_jobs import composed_settings
from ldyn.cli.main import main
from ldyn.config.groups import config_directory
from ldyn.config.loading import load_config

def no_torch():
    heavy = {'torch', 'transformers', 'trl', 'datasets', 'accelerate', 'peft', 'wandb'} & set(sys.modules)
    assert not heavy, heavy

assert main(['train', '+exp=dpo_squeeze', 'trainer.batch_size=abc', '+algorithm.beat=0.1']) == 2
no_torch()
losses = [path.stem for path in (config_directory() / 'algorithm').glob('*.yaml') if not path.stem.startswith('sft')]
assert len(losses) > 10
for choice in [f'algorithm={loss}' for loss in losses] + ['+algorithm/gate=sequence']:
    load_config(composed_settings('train', ['+exp=dpo_squeeze', choice]))
no_torch()
"""


def test_a_configuration_is_checked_without_loading_torch() -> None:
    command = [sys.executable, "-c", FAULTS_AND_JOBS_WITHOUT_TORCH]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "trainer.batch_size: found 'abc'" in done.stderr


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([], "exp: found no experiment, expected +exp=<name> with one of: "),
        (["+exp=dpo_sqeeze"], "exp: found no option 'dpo_sqeeze'; did you mean dpo_squeeze? expected one of"),
        (["+exp=dpo_squeeze", "model=tinny"], "model: found no option 'tinny'; did you mean tiny"),
        (["+exp=dpo_squeeze", "sede=1"], "sede: unknown key; did you mean seed?"),
        (["+exp=dpo_squeeze", "stages.stf.trainer.batch_size=1"], "stages.stf: found no such stage; did you mean sft?"),
        (["+exp=dpo_squeeze", "recipe.sft.max_steps=1"], "recipe.sft.max_steps: now sft.X, preference.X"),
        (["+exp=dpo_squeeze", "algorithm@sft=sft"], "algorithm@sft: now algorithm@sft.algorithm="),
        (["+exp=dpo_squeeze", "sft.batch_size=abc"], "  - sft.batch_size: found 'abc'"),
        (
            ["+exp=dpo_squeeze", "sft.epochs=2"],
            "sft: found max_steps=480 and epochs=2, expected one of them: add sft.max",
        ),
        (["+exp=dpo_squeeze", "seed=1,2"], "seed: found several values, 1,2. Add -m to run one job for each"),
        (["+exp=dpo_squeeze", "seed=one", "samples.examples=-1"], "The configuration has 2 faults"),
        (
            ["+exp=dpo_squeeze", "dataset=files", "dataset.path=~nobody-here/x=y"],
            "dataset.path: found '~nobody-here/x=y'",
        ),
        (["resume=nowhere/at_all"], "found no config.yaml in"),
    ],
)
def test_what_cannot_run_is_said_in_words(overrides: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *overrides]) in (1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.startswith("ldyn: ")
    assert "Traceback" not in captured.err
    assert "HYDRA_FULL_ERROR" not in captured.err


def test_a_command_leaves_logging_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    """A handler of Hydra's on a stream that is closed later would print a traceback at every later message."""
    root = logging.getLogger()
    before = root.level, list(root.handlers), logging.root.manager.disable
    assert main(["train", "+exp=smoke", "--cfg", "job"]) == 0
    assert main(["train", "+exp=smoke", "seed=one"]) == 2
    assert main(["train", "-m", "+exp=smoke", "seed=1,2", "trainer.batch_size=0"]) == 2
    assert (root.level, root.handlers, logging.root.manager.disable) == before
    capsys.readouterr()


@pytest.mark.parametrize("words", [["probes", "--help"], ["probes", "check=file.jsonl", "--help"]])
def test_help_that_is_asked_for_late_is_given(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert "settings (key=value" in capsys.readouterr().out


def test_an_unknown_exception_passes_with_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The place of a mistake in the code must not be lost."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ldyn.config.jobs.job_config", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        main(["train", "+exp=dpo_squeeze"])
    assert caught.traceback[-1].name == "broken"


def test_who_stops_a_job_of_a_sweep_stops_the_sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seeds = []

    def stopped(config: RunConfig) -> Path:
        seeds.append(config.seed)
        raise Interrupted(2, "stopped")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ldyn.run.run.run", stopped)
    with pytest.raises(SystemExit) as caught:
        main(["train", "-m", "+exp=dpo_squeeze", "seed=5,6,7"])
    assert caught.value.code == 130
    assert seeds == [5]


def test_the_users_own_yaml_files_stand_beside_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "exp").mkdir()
    text = "# @package _global_\n# what I try\ndefaults: [dpo_squeeze, _self_]\nname: mine\nseed: 9\n"
    (tmp_path / "exp" / "mine.yaml").write_text(text, encoding="utf-8")
    assert main(["train", "--config-dir", str(tmp_path), "--help"]) == 0
    assert "  mine         what I try" in capsys.readouterr().out
    assert main(["train", f"--config-dir={tmp_path}", "+exp=mine", "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["seed"] == 9
    assert main(["train", f"--config-dir={tmp_path}"]) == 2
    assert "mine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"name: [a\n", "bad.yaml: invalid YAML in line 2, column 1: expected ',' or ']'"),
        (b"name: \xff\n", "a YAML file is not UTF-8 text: invalid start byte"),
        (b"defaults: dpo_squeeze\n", "Invalid defaults list in 'exp/bad'"),
        (b"- a\n", "name: found none in exp=bad; add `name: NAME` to its YAML file"),
    ],
)
def test_a_fault_in_a_users_own_file_is_one_error(
    content: bytes, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "bad.yaml").write_bytes(content)
    assert main(["train", f"--config-dir={tmp_path}", "+exp=bad"]) == 2
    assert fault in capsys.readouterr().err


@pytest.fixture(scope="module")
def completion_script() -> str:
    """What `eval "$(ldyn train -sc install=bash)"` evaluates."""
    done = subprocess.run([LDYN, "train", "-sc", "install=bash"], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ldyn ", set(COMMANDS)),
        ("ldyn train +exp=dpo", {"+exp=dpo_squeeze"}),
        ("ldyn train +exp=dpo_squeeze model=tin", {"model=tiny", "model=tiny_hh", "model=tiny_smoke"}),
        ("ldyn train +exp=dpo_squeeze preference.max", {"preference.max_steps="}),
    ],
)
def test_tab_completion_in_bash(completion_script: str, line: str, expected: set[str]) -> None:
    script = f"""
        eval "$SCRIPT"
        COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}; words=($COMP_LINE)
        COMP_CWORD=$(( ${{#words[@]}} - 1 )); [[ $COMP_LINE == *" " ]] && COMP_CWORD=${{#words[@]}}
        hydra_bash_completion
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{LDYN.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SCRIPT": completion_script}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected
