"""A synthetic run directory in the contract's file format, with curves shaped like those of a real run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ldyn.records import PROBE_FAMILIES, TRAJECTORY_COLUMNS
from ldyn.report import build_report
from ldyn.store.schema import SCHEMA, table_of_log, to_bytes

BOTH_ANSWERS = ["chosen", "rejected"]
SFT = {
    "name": "warm", "algorithm": "sft", "kind": "pointwise", "view": ["chosen"], "start": "base", "learning_rate": 2e-4
}  # fmt: skip
DPO = {
    "name": "push", "algorithm": "dpo", "kind": "pairwise", "view": BOTH_ANSWERS, "start": "warm", "learning_rate": 2e-5
}  # fmt: skip
BOTH = {**SFT, "name": "wide", "view": BOTH_ANSWERS}
DPO_BOTH = {**DPO, "name": "push_wide", "start": "wide"}
SQUEEZE, EXTEND = (SFT, DPO), (SFT, DPO, BOTH, DPO_BOTH)
PROBES = tuple(key for key in PROBE_FAMILIES if key != "chosen_selfr")

# Sums of nats: the level at the base model; the change over SFT (end, height of the early bump) and over DPO (end).
SHAPES: dict[str, tuple[float, float, float, float]] = {
    "chosen": (-46, 27, 0, -14), "chosen_initial": (-9, -3.5, 1.2, -31), "chosen_selfr": (-20, -2, 2, -30),
    "chosen_gptsemantic": (-49, 4, 7, -29), "chosen_gptformat": (-52, 9, 5, -27), "rejected": (-47, 3, 9, -58),
    "reject_gptsemantic": (-50, 1, 7, -44), "reject_gptformat": (-53, 2, 5, -47), "irr_train": (-71, 12, 0, -33),
    "irr_test": (-74, -5, 3, -37), "irr_hum": (-88, -13, 1, -30), "random_permute": (-118, -9, 0, -34),
    "random_nonhum": (-131, -14, 0, -29),
}  # fmt: skip


def trajectories(
    stages: Sequence[dict[str, Any]],
    probes: Sequence[str] = PROBES,
    n_examples: int = 60,
    evaluations: int = 13,
    splits: Sequence[str] = ("train", "test"),
    seed: int = 0,
) -> pd.DataFrame:
    """The long table of the contract; every example has its own level, its own speed and a little noise."""
    random = np.random.default_rng(seed)
    rows = []
    ends: dict[tuple[str, str], float] = {}
    for stage in stages:
        total = 960 if stage["kind"] == "pointwise" else 3200
        for moment, t in enumerate(np.linspace(0, 1, evaluations)):
            for split in splits:
                for probe in probes:
                    level, change = _curve(stage, probe, split, t, ends)
                    ends[stage["name"], f"{split}/{probe}"] = level + change
                    rows.append(_block(random, stage, moment, t, total, split, probe, level, change, n_examples))
    return pd.concat(rows, ignore_index=True)[list(TRAJECTORY_COLUMNS)]


def _curve(
    stage: dict[str, Any], probe: str, split: str, t: float, ends: dict[tuple[str, str], float]
) -> tuple[float, float]:
    base, sft, bump, dpo = SHAPES.get(probe, (-40, 2, 2, -20))
    both = set(stage["view"]) == {"chosen", "rejected"}
    if split == "test" and probe == "chosen":
        sft, bump = -1, 5
    if stage["kind"] == "pointwise":
        end = sft if not (both and probe == "rejected") else 24
        return base, end * (1 - np.exp(-2.5 * t)) / (1 - np.exp(-2.5)) + bump * np.sin(np.pi * min(1, 1.4 * t)) ** 2
    milder = 0.55 if "wide" in stage["start"] else 1.0
    return ends.get((stage["start"], f"{split}/{probe}"), base), milder * dpo * (1 - np.exp(-3 * t)) / (1 - np.exp(-3))


def _progress(stage: dict[str, Any], t: float) -> float:
    if stage["kind"] == "pointwise":
        return float(t)
    return 1 + (0.5 if "wide" in stage["start"] else 1.0) * float(1 - np.exp(-3 * t))


def _block(
    random: np.random.Generator, stage: dict[str, Any], moment: int, t: float, total: int, split: str, probe: str,
    level: float, change: float, n: int,
) -> pd.DataFrame:  # fmt: skip
    own = np.random.default_rng(len(probe) * 31 + len(split))  # the same examples at every moment
    offsets, speeds = own.normal(0, 9, n), own.lognormal(0, 0.35, n)
    progress = _progress(stage, t)  # 0 at the base, 1 after the first stage, up to 2 after the second
    greedy = -6.4 + 1.2 * progress + 0.5 * max(0.0, progress - 1)
    tokens = 12 + np.arange(n) % 7
    logp = level + offsets + change * speeds + random.normal(0, 0.3, n)
    logp_argmax = np.minimum(-0.05, greedy + 0.1 * offsets * 0.3 + random.normal(0, 0.1, n))
    return pd.DataFrame(
        {
            "stage": stage["name"], "algorithm": stage["algorithm"], "step": moment * 10,
            "examples_seen": int(t * total), "epoch": t * 4.0, "split": split,
            "example_id": [f"{split}-{i}" for i in range(n)], "probe": probe, "n_tokens": tokens,
            "logp": np.minimum(-0.1, logp), "logp_argmax": logp_argmax,
            "log_mass_rest": -30 - 10 * progress + 0.2 * offsets,
            "entropy": np.clip(1.1 - 0.2 * progress + 0.01 * offsets, 0, None),
            "prob_norm_sq": np.clip(0.6 + 0.1 * t, 0, 1), "a_norm": 20 + t, "residual_norm": 0.5 + 0.1 * t,
            "p_label": np.clip(np.exp(logp / tokens), 0, 1),
            "argmax_is_label": np.clip(0.5 + 0.2 * np.sin(1.5 * progress) + 0.005 * offsets, 0, 1),
        }
    )  # fmt: skip


def train_log(stages: Sequence[dict[str, Any]]) -> pa.Table:
    """Loss, gradient norm and rate for each step; margins where a stage has pairs."""
    rows: list[dict[str, float | int | str]] = []
    for stage in stages:
        for step in range(1, 121):
            row = {"stage": stage["name"], "step": step, "loss": 40 * np.exp(-step / 50), "learning_rate": 2e-4}
            if stage["kind"] == "pairwise":
                row |= {"loss": 0.693 * np.exp(-step / 60), "margin": step / 20, "accuracy": 1.0}
            rows.append(row)
    return table_of_log(rows, ("loss", "learning_rate", "margin", "accuracy"))


FINDINGS = [
    {
        "id": "S1", "claim": "SFT raises y⁺ throughout", "estimate": 26.9, "ci_low": 24.1, "ci_high": 29.6,
        "unit": "nats", "n": 60, "seeds": 1, "verdict": "holds", "reason": "the interval lies above 0 at every "
        "evaluation", "paper": "−152.0 → −92.4 (Pythia-410M, HH)",
    },
    {
        "id": "D1", "claim": "In the long run DPO lowers every observed response, y⁺ too", "estimate": -14.2,
        "ci_low": -15.5, "ci_high": -12.9, "unit": "nats", "n": 60, "seeds": 1, "verdict": "holds",
        "reason": "the slowest fall, that of y⁺, is below 0", "paper": "−54.4 → −113.3 (Qwen1.5-1.8B, HH)",
    },
    {
        "id": "D3", "claim": "The greedy mass along y⁺ rises while the rest falls", "estimate": 1.6, "ci_low": -0.2,
        "ci_high": 3.1, "unit": "nats", "n": 60, "seeds": 1, "verdict": "inconclusive",
        "reason": "the interval contains 0", "paper": "−30.0 → −15.4 (Qwen1.5-1.8B, HH)",
    },
    {
        "id": "S5", "claim": "Unseen answers and human sentences are pushed down", "estimate": 2.0, "ci_low": 1.1,
        "ci_high": 2.9, "unit": "nats", "n": 60, "seeds": 1, "verdict": "fails",
        "reason": "y_test ends above its start", "paper": "−136.8 → −155.7 (Qwen1.5-1.8B, HH)",
    },
]  # fmt: skip


def samples(stages: Sequence[dict[str, Any]], n: int = 5) -> list[dict[str, Any]]:
    """Greedy and sampled answers at the base and after each stage; the last stage repeats itself."""
    rows = []
    for index in range(n):
        for stage in ["base", *(stage["name"] for stage in stages)]:
            for mode in ("greedy", "sampled"):
                repeats = stage.startswith("push")
                text = "Wren Marsh lives in Oslo ." + " is in the home of Wren" * (6 if repeats else 0)
                rows.append(
                    {
                        "stage": stage, "example_id": f"train-{index}", "split": "train",
                        "prompt": f"human : where does Wren Marsh {index} live ? assistant :", "mode": mode,
                        "text": text, "n_tokens": len(text.split()), "stopped": not repeats,
                        "repeated_4grams": 0.62 if repeats else 0.0, "distinct_2": 0.4, "states_a_fact": True,
                        "is_right": stage != "base", "borrowed_from": "train-9" if repeats else None,
                    }
                )  # fmt: skip
    return rows


def manifest(stages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema_version": 1, "name": "squeeze_trial", "run": "2026-01-05_10-00-00", "status": "finished",
        "command": "ldyn train +exp=dpo_squeeze seed=1", "started": "2026-01-05T10:00:00+00:00",
        "finished": "2026-01-05T10:02:31+00:00", "seed": 1, "git": {"commit": "0123456789abcdef", "dirty": False},
        "versions": {"python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0"},
        "hashes": {"data": "a" * 64, "probes": "b" * 64, "base_model": "c" * 64},
        "counts": {"rows_read": 240, "truncated_prompts": 3, "dropped_empty_rejected": 1},
        "stages": [{**stage, "steps": 120, "parameters": {"beta": 0.1}, "trainer": {"lr": 2e-5}} for stage in stages],
        "seconds": {"base": 71.2, **{stage["name"]: 30.5 for stage in stages}}, "peak_memory_mib": 1432.5,
    }  # fmt: skip


CONFIG = """name: squeeze_trial
seed: 1
model:
  kind: tiny
  layers: 4
dataset:
  source: microworld
  encoding:
    max_tokens: 96
"""


def write_run(directory: Path, stages: Sequence[dict[str, Any]] = SQUEEZE, **changes: Any) -> Path:
    """Writes a run directory; ``changes`` replace manifest, config, findings, samples or trajectories, None leaves
    out.
    """
    parts: dict[str, Any] = {
        "manifest": manifest(stages), "config": CONFIG, "findings": FINDINGS, "samples": samples(stages),
        "trajectories": None, **changes,
    }  # fmt: skip
    table = trajectories(stages) if parts["trajectories"] is None else parts["trajectories"]
    directory.mkdir(parents=True)
    scored = pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False)
    (directory / "trajectories.parquet").write_bytes(to_bytes(scored))
    (directory / "train_log.parquet").write_bytes(to_bytes(train_log(stages)))
    (directory / "manifest.json").write_text(json.dumps(parts["manifest"]), encoding="utf-8")
    (directory / "config.yaml").write_text(parts["config"], encoding="utf-8")
    if parts["findings"] is not None:
        (directory / "findings.json").write_text(json.dumps(parts["findings"]), encoding="utf-8")
    if parts["samples"] is not None:
        lines = "".join(json.dumps(row) + "\n" for row in parts["samples"])
        (directory / "samples.jsonl").write_text(lines, encoding="utf-8")
    return directory


@dataclass(frozen=True)
class Synthetic:
    """What tests ask of a synthetic run: its writer, its table, and the stages it may have."""

    write: Callable[..., Path]
    trajectories: Callable[..., pd.DataFrame]
    manifest: Callable[..., dict[str, Any]]
    samples: Callable[..., list[dict[str, Any]]]
    findings: list[dict[str, Any]]
    squeeze: tuple[dict[str, Any], ...] = SQUEEZE
    extend: tuple[dict[str, Any], ...] = EXTEND


@pytest.fixture(scope="session")
def synthetic() -> Synthetic:
    return Synthetic(write_run, trajectories, manifest, samples, FINDINGS)


@pytest.fixture(scope="session")
def extend_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with both arms, built once."""
    return build_report(write_run(tmp_path_factory.mktemp("outputs") / "trial" / "both-arms", EXTEND))
