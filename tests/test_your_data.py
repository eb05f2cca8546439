"""Every command of docs/YOUR_DATA.md runs, in its order, on a CSV made here; what would take long is made small."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from ldyn.models.settings import TinyConfig
from ldyn.models.tiny import build_tiny_model
from ldyn.models.tokenizers import build_tokenizer

PAGE = (Path(__file__).parents[1] / "docs" / "YOUR_DATA.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)  # (language, content)
COMMANDS = [shlex.split(line)[1:] for language, content in BLOCKS if not language for line in content.splitlines()]
OF_A_PROBE_SET = [words for words in COMMANDS if "outputs/probes/my_pairs" in " ".join(words)]
OTHERS = [words for words in COMMANDS if words not in OF_A_PROBE_SET]
SMALL = [
    "logger=none",
    "report=false",
    "probes.n_train=8",
    "probes.n_test=4",
    "probes.schedule.points=3",
    "samples.examples=2",
]
SMALL += ["samples.max_new_tokens=8", "sft.max_steps=3", "preference.max_steps=3"]
SMALL += ["sft.epochs=null", "preference.epochs=null"]
SMALL_MODEL = ["model=pretrained", "model.name_or_path=my_model"]  # for SmolLM2
pytestmark = pytest.mark.slow
ONE_PROCESS = """
import json, sys
from ldyn.cli.main import main
for words in json.loads(sys.argv[1]):
    print(">", *words, flush=True)
    if code := main(words):
        sys.exit(code)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    """Where the commands run: with the page's CSV made longer, its judge, and a model."""
    directory = tmp_path_factory.mktemp("walk")
    (directory / "one_process.py").write_text(ONE_PROCESS)
    ((_, head),) = [block for block in BLOCKS if block[0] == "csv"]
    with (directory / "my_pairs.csv").open("w", encoding="utf-8-sig", newline="") as file:
        file.write(head)
        csv.writer(file).writerows(map(row, range(60)))
    ((_, judge),) = [block for block in BLOCKS if block[0] == "python"]
    (directory / judge.split("\n")[0].lstrip("# ")).write_text(judge)
    tokenizer = build_tokenizer("bpe", [" ".join(row(number)) for number in range(60)], 400)
    config = TinyConfig(hidden_size=16, layers=1, heads=2, max_positions=1024, sequence_length=16)
    build_tiny_model(config, tokenizer, 0).save_pretrained(directory / "my_model")
    tokenizer.save_pretrained(directory / "my_model")
    return directory


def row(number: int) -> list[str]:
    words = [f"word{(number * step) % 97}" for step in range(2, 14)]
    prompt = f"Human: What, or who, is {' '.join(words[:4])} number {number}?\n\nAssistant:"
    return [prompt, f'It is "{" ".join(words[4:9])}".', f"I never liked {' '.join(words[7:])} so much."]


@pytest.fixture(scope="module")
def walked(directory, forked) -> Path:
    """The directory after all commands but those of the probe set."""
    run(forked, directory, OTHERS)
    return directory


def run(forked, directory: Path, commands: list[list[str]]) -> None:
    lines = json.dumps([made_small(words) for words in commands])
    done = forked([directory / "one_process.py", lines], cwd=directory, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def made_small(words: list[str]) -> list[str]:
    """The same command with less to do; what needs weights or rows from the hub is composed only."""
    if words[0] != "train":
        return words
    if "model=pythia_410m" in words:
        return [*words, "--cfg", "job"]
    return [*words, *SMALL, *(SMALL_MODEL if "+exp=hh" in words else [])]


def test_the_walk_ends_with_reports_answers_and_judgements(walked):
    for path in ("my_pairs/first/report.html", "generate/my_pairs/samples.jsonl", "judge/my_pairs/judge.json"):
        assert (walked / "outputs" / path).is_file(), path
    assert (walked / "outputs" / "my_model_run" / "latest" / "findings.json").is_file()


def test_the_probe_set_is_built_checked_and_trained_beside(walked, forked):
    run(forked, walked, OF_A_PROBE_SET)
    assert (walked / "outputs" / "my_pairs" / "probed" / "findings.json").is_file()
