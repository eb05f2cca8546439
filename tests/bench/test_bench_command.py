"""`ldyn bench` from the command line, each method in a process of its own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest

from ldyn.bench.processes import in_turns
from ldyn.bench.settings import TurnsConfig
from ldyn.cli.bench import PROBES_COLUMNS, PROBES_LEGEND, print_figures, save_figures
from ldyn.cli.main import main
from ldyn.errors import ModelError

SMALL_MODEL = [
    "model.random_init=true",
    *(f"model.architecture.{name}={n}" for name, n in (("hidden_size", 16), ("intermediate_size", 16))),
    *(f"model.architecture.num_{name}={n}" for name, n in (("hidden_layers", 1), ("attention_heads", 2))),
    "model.architecture.vocab_size=400",
]


@pytest.fixture
def forked_processes(forked: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods' processes are forked from one that has torch imported."""
    monkeypatch.setattr("ldyn.bench.processes.get_context", lambda _: get_context("forkserver"))


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_methods_are_measured_and_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"prompt": "Human: What does Ada like?\n\nAssistant:", "chosen": " Ada does like tea.", "rejected": "Who?"}
    probes = tmp_path / "probe_mine.jsonl"
    probes.write_text(json.dumps(row) + "\n", encoding="utf-8")
    settings = [f"dataset.path={probes}", "bench.threads=1", "bench.repetitions=1"]
    assert main(["bench", "probes", *SMALL_MODEL, *settings, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found["max_abs_logp_difference"] < 1e-3
    assert (found["examples"], found["responses"], found["machine"]["threads"]) == (1, 2, 1)
    assert set(found["methods"]) == {"published", "ours"}
    assert all(0 < method["matmul_share"] < 1 for method in found["methods"].values())
    print_figures(found, PROBES_COLUMNS, PROBES_LEGEND)
    printed = capsys.readouterr().out
    assert all(name in printed for name in found["methods"])
    assert "machine: device cpu" in printed


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize(("make", "argument"), [(os._exit, 3), (signal.raise_signal, signal.SIGKILL)])
def test_a_process_that_has_ended_is_reported(make: Callable[[int], None], argument: int) -> None:
    with pytest.raises(ModelError, match=r"method 'padded' ended before it was done.*If memory ran out"):
        in_turns({"padded": (make, argument)}, TurnsConfig())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model=pythia_160", "model: found no option 'pythia_160'; did you mean pythia_160m"),
        ("bench.example=1", "bench.example: unknown key; did you mean examples?"),
        ("bench.examples=0", "bench.examples: found 0, expected greater than 0"),
        ("seed=1", "dataset.path: found nothing, expected a value"),
    ],
)
def test_invalid_settings_are_reported(setting: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = [] if setting == "seed=1" else ["dataset.path=."]
    assert main(["bench", "probes", setting, *path]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_figures_are_kept_by_measurement_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def figures(seconds: float, model: str = "tiny") -> dict[str, object]:
        method = {
            "seconds_per_step": seconds, "time_vs_trl": 0.5, "tokens_computed": 90.0, "setup_seconds": 0.0,
            "loss": 0.7,
        }  # fmt: skip
        machine = {"device": "cpu", "cores": 2}
        return {
            "model": model,
            "algorithm": {"name": "dpo", "beta": 0.1},
            "methods": {"ours": method},
            "machine": machine,
        }

    a, b = tmp_path / "a.json", tmp_path / "b.json"
    for path, seconds in ((a, 9.0), (a, 2.0), (b, 3.0)):
        save_figures("train", figures(seconds), path)
    save_figures("train", figures(1.0, "other"), b)
    assert main(["bench", "compare", str(a), str(b)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train", "tiny", "dpo", "0.1", "ours", "s/step", "2.0000", "3.0000", "1.50"] in rows
    assert not any("other" in row for row in rows)
    assert main(["bench", "compare", str(a), str(tmp_path / "none.json")]) == 1
    assert main(["bench", "compare", str(a)]) == 2
