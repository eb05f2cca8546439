from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from ldyn.records import ProbeScore, ProbeStep, StageInfo
from ldyn.store import RunDirectory

STAGES = (
    StageInfo("sft", "sft_sum", "pointwise", ("chosen",), "base"),
    StageInfo("dpo", "dpo", "pairwise", ("chosen", "rejected"), "sft"),
)


@pytest.fixture
def probe_step() -> Callable[[str, int], ProbeStep]:
    return lambda stage, step: ProbeStep(stage, {"sft": "sft_sum"}.get(stage, stage), step, 4 * step, step / 60)


@pytest.fixture
def scores() -> Callable[..., list[ProbeScore]]:
    """Scores that depend on the stage and step, as those of a deterministic run do; in an order that is not sorted."""

    def make(stage: str, step: int, examples: int = 2) -> list[ProbeScore]:
        level = -10.0 - step / 3 - len(stage)
        keys = [("train", f"q{i}", probe) for i in reversed(range(examples)) for probe in ("rejected", "chosen")]
        rest = (-3.0, -4.5, 1.25, 0.1, 3.0, 0.5, 0.25, 0.75)
        return [ProbeScore(*key, 5 + place, level - place / 7, *rest) for place, key in enumerate(keys)]

    return make


@pytest.fixture
def run_directory(tmp_path: Path) -> RunDirectory:
    """A run that has begun: its manifest is written, nothing is measured yet."""
    directory = RunDirectory.create(tmp_path / "squeeze" / "first")
    directory.write_json("manifest.json", {"schema_version": 1, "status": "running", "stages": STAGES})
    return directory


LOGP = "logps_eval_prob_train/"
WriteLog = Callable[..., Path]
Columns = Mapping[str, np.ndarray]


@pytest.fixture
def write_log(tmp_path: Path) -> WriteLog:
    """Writes ``columns`` (name -> evaluations × examples) as a directory: the means, and the examples if asked for."""

    def write(name: str, columns: Columns, *, examples: bool = True) -> Path:
        directory = tmp_path / name
        directory.mkdir(parents=True)
        array = np.stack(list(columns.values()), axis=1)
        with np.errstate(invalid="ignore"):
            rows = [dict(zip(columns, map(float, means), strict=True)) for means in array.mean(axis=2)]
        (directory / "prob_train_metrics.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if examples:
            np.save(directory / "logp_npy_all_chosen.npy", array)
        return directory

    return write


def course(values: list[float], examples: int, seed: int) -> np.ndarray:
    """evaluations × examples: every example has a level of its own about ``values``, always the same."""
    levels = np.random.default_rng(seed).normal(0, 1, examples)
    noise = np.random.default_rng(seed + 1).normal(0, 0.1, (len(values), examples))
    return np.array(values)[:, None] + levels - levels.mean() + noise


@pytest.fixture
def sft_columns() -> dict[str, np.ndarray]:
    """The later layout, as after SFT: y⁺ rises from −40 to −20, log π(y*) along it from −12 to −9.

    ‖π‖² by p_e and energy is .75² − 1 + 2 · .3 = .1625, by A_o (251.66² + 2) / 50304 − 1 = .259 along chosen and .0672
    along random_nonhum: .63 and 2.4 times.
    """
    n = 12
    return {
        "chosen_A_o": np.full((4, n), 251.66),
        LOGP + "chosen": course([-40, -33, -27, -20], n, 1),
        "argmax_prob_logits": course([-12, -11, -10, -9], n, 2),
        "except_argmax_prob_logits": np.full((4, n), np.nan),
        "p_e": np.full((4, n), 0.75),
        "energy": np.full((4, n), 0.7),
        LOGP + "rejected_gptsemantic": course([-35, -32, -33, -36], n, 3),
        "random_nonhum_A_o": np.full((4, n), 231.70),
    }


@pytest.fixture
def dpo_columns() -> dict[str, np.ndarray]:
    """The later layout, as after DPO from there: everything falls but log π(y*) along y⁺, from −9 to −5."""
    n = 12
    return {
        LOGP + "chosen": course([-20.5, -24, -30], n, 4),
        "argmax_prob_logits": course([-9, -7, -5], n, 5),
        "p_e": np.full((3, n), 0.6),
        "energy": np.full((3, n), 0.5),
        LOGP + "rejected": course([-36, -60, -90], n, 6),
        LOGP + "reject_gptsemantic": course([-38, -50, -70], n, 7),
        LOGP + "irr_train": course([-50, -55, -58], n, 8),
    }


@pytest.fixture
def early_columns() -> dict[str, np.ndarray]:
    """The early layout: what is called that of chosen is that of the last probe, random_nonhum.

    In the mean log π(y*) = −13 lies above log π(chosen) = −20, so the means alone look sound; yet examples vary in
    length, and where y⁺ is short log π(y*) lies below it.
    """
    n = 40
    steps = np.arange(3)[:, None] / 100
    chosen, nonhum = np.linspace(-38, -2, n) + steps, np.linspace(-60, -40, n) - steps
    return {
        LOGP + "chosen": chosen,
        "argmax_prob_logits": nonhum / 4 - 0.5,  # from −15.5 to −10.5
        "A_o": np.full((3, n), 231.7),
        "p_e": np.full((3, n), 0.98),
        "energy": np.full((3, n), 0.95),
        LOGP + "rejected": chosen[:, ::-1] + 1,
        LOGP + "random_nonhum": nonhum,
    }


@pytest.fixture
def write_state(tmp_path: Path) -> Callable[..., Path]:
    """Writes a ``trainer_state.json`` with these rows into a directory; returns its path."""

    def write(name: str, rows: list[dict[str, float]]) -> Path:
        path = tmp_path / name / "trainer_state.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"global_step": 40, "log_history": rows, "train_batch_size": 4}))
        return path

    return write


@pytest.fixture
def dpo_history() -> list[dict[str, float]]:
    """Four rows of a DPO with β = 0.1 and two evaluations: y⁺ falls by 8 nats, y⁻ by 20."""
    chosen, rejected = (-50, -52, -54, -60), (-60, -64, -70, -80)
    rows: list[dict[str, float]] = [
        {
            "epoch": step / 40, "step": step, "loss": 0.7 - step / 100, "entropy": 2.0, "learning_rate": 1e-6,
            "logps/chosen": y, "logps/rejected": n, "rewards/accuracies": 0.5 + step / 100,
            "rewards/chosen": (y + 52) / 10, "rewards/rejected": (n + 60) / 10, "rewards/margins": (y - n - 8) / 10,
        }
        for step, y, n in zip((10, 20, 30, 40), chosen, rejected, strict=True)
    ]  # fmt: skip
    for place, step, margin in ((2, 20, 0.5), (5, 40, 0.75)):
        rows.insert(place, {"epoch": step / 40, "step": step, "eval_loss": 0.6, "eval_rewards/margins": margin})
    return [*rows, {"epoch": 1.0, "step": 40, "train_loss": 0.5, "train_runtime": 3.0}]
