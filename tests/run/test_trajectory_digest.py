"""Three small experiments give the committed trajectories, bit for bit on the machine that the digests are of.

On another processor or another torch the last digits differ, so there the means are compared instead. A change that is
meant to change numbers renews the file: `python tests/run/test_trajectory_digest.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

COMMITTED = Path(__file__).with_name("trajectory_digests.json")
SMALL = [
    "logger=none",
    "report=false",
    "model.hidden_size=32",
    "model.layers=2",
    "model.heads=2",
    "model.steps=30",
    "model.warmup_steps=5",
    "dataset.people=40",
    "dataset.test_people=12",
    "dataset.pairs=32",
    "dataset.train_probes=8",
    "dataset.test_probes=6",
    "dataset.documents=500",
    "probes.schedule.points=3",
    "samples.examples=2",
    "samples.max_new_tokens=8",
    "sft.max_steps=4",
    "preference.max_steps=4",
]
EXPERIMENTS = {
    "smoke": SMALL[:2],
    "extend": SMALL,
    "decompose": [*SMALL, "decompose.examples=2", "decompose.kernel_examples=1", "decompose.projections=2"],
}
KEYS = ["stage", "step", "split", "example_id", "probe"]
TOLERANCE = 0.05  # nats; what other summation orders may do to four steps of a small model


def machine() -> str:
    """What decides the last digits: the processor, its vector instructions, torch."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    )
    return " | ".join([*names[:1], torch.backends.cpu.get_cpu_capability(), torch.__version__])


def run_all(outputs: Path) -> None:
    """Run the experiments one after the other in a process of their own, with one thread."""
    calls = [
        ["train", f"+exp={name}", f"paths.outputs={outputs}", "run=digest", *words]
        for name, words in EXPERIMENTS.items()
    ]
    code = f"import sys\nfrom ldyn.cli.main import main\nsys.exit(any([main(words) for words in {calls!r}]))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)


def trajectory(experiment: str, outputs: Path) -> pd.DataFrame:
    """The table of a run, in a fixed order."""
    table = pd.read_parquet(outputs / experiment / "digest" / "trajectories.parquet")
    return table.astype(dict.fromkeys(["stage", "split", "example_id", "probe"], str)).sort_values(KEYS)


def digest_of(table: pd.DataFrame) -> dict[str, Any]:
    numbers = table.select_dtypes("number")
    content = table[KEYS].to_csv(index=False).encode() + numbers.to_numpy(np.float64).tobytes()
    means = table.groupby(["stage", "step", "probe"], observed=True)["logp"].mean()
    return {
        "rows": len(table),
        "sha256": hashlib.sha256(content).hexdigest(),
        "mean_logp": {"/".join(map(str, key)): round(value, 4) for key, value in means.items()},
    }


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("outputs")
    run_all(directory)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_trajectories_are_those_committed(experiment: str, outputs: Path) -> None:
    committed = json.loads(COMMITTED.read_text(encoding="utf-8"))
    expected, found = committed["experiments"][experiment], digest_of(trajectory(experiment, outputs))
    assert found["mean_logp"] == pytest.approx(expected["mean_logp"], abs=TOLERANCE)
    assert found["rows"] == expected["rows"]
    if committed["machine"] == machine():
        assert found["sha256"] == expected["sha256"]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        run_all(Path(directory))
        digests = {name: digest_of(trajectory(name, Path(directory))) for name in EXPERIMENTS}
    COMMITTED.write_text(json.dumps({"machine": machine(), "experiments": digests}, indent=1) + "\n", encoding="utf-8")
