"""A synthetic run directory in the contract's file format, with curves shaped like those of a real run."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ldyn.records import TRAJECTORY_COLUMNS
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

# Sums of nats: the level at the base model, the change over SFT and over DPO; of some the height of a bump in SFT.
SHAPES = {
    "chosen": (-46, 27, -14), "chosen_initial": (-9, -3.5, -31), "chosen_gptsemantic": (-49, 4, -29),
    "chosen_gptformat": (-52, 9, -29), "rejected": (-47, 3, -58), "reject_gptsemantic": (-50, 1, -44),
    "reject_gptformat": (-53, 2, -47), "irr_train": (-71, 12, -33), "irr_test": (-74, -5, -37),
    "irr_hum": (-88, -13, -30), "random_permute": (-118, -9, -34), "random_nonhum": (-131, -14, -29),
}  # fmt: skip
BUMPS = {"chosen_gptsemantic": 7, "rejected": 9, "reject_gptsemantic": 7}


def trajectories(
    stages: Sequence[dict[str, Any]],
    probes: Sequence[str] = tuple(SHAPES),
    n_examples: int = 12,
    evaluations: int = 5,
    splits: Sequence[str] = ("train", "test"),
    seed: int = 0,
) -> pd.DataFrame:
    """The long table of the contract; every example has its own level, its own speed and a little noise."""
    keys = list(product(range(len(stages)), range(evaluations), splits, probes, range(n_examples)))
    stage, at, split, probe, example = (np.array(column) for column in zip(*keys, strict=True))
    pairwise = np.array([one["kind"] == "pairwise" for one in stages])[stage]
    milder = np.array([0.55 if "wide" in one["start"] else 1.0 for one in stages])[stage]
    t = at / max(1, evaluations - 1)
    base, sft, dpo = np.array([SHAPES.get(name, (-40, 2, -20)) for name in probe]).T
    bump = np.array([BUMPS.get(name, 0) for name in probe]) * np.sin(np.pi * t) ** 2
    fast = 1 - np.exp(-3 * t)
    noise = np.random.default_rng(seed).normal(0, 0.3, len(keys))
    speed, offset = 1 + 0.3 * np.sin(example), 9 * np.cos(2.0 * example)
    logp = base + offset + speed * np.where(pairwise, sft + milder * dpo * fast, sft * fast + bump) + noise
    progress = pairwise + fast  # 0 at the base, 1 after the first stage, 2 after the second
    tokens = 12 + example % 7
    frame = pd.DataFrame({name: [stages[one][name] for one in stage] for name in ("name", "algorithm")})
    return frame.rename(columns={"name": "stage"}).assign(
        step=at * 10, examples_seen=(t * np.where(pairwise, 3200, 960)).astype(int), epoch=4 * t, split=split,
        example_id=[f"{one}-{number}" for one, number in zip(split, example, strict=True)], probe=probe,
        n_tokens=tokens, logp=np.minimum(-0.1, logp), logp_argmax=np.minimum(-0.05, -7 + 1.5 * progress + noise / 3),
        log_mass_rest=-30 - 10 * progress, entropy=1.2 - 0.2 * progress, prob_norm_sq=0.6 + 0.1 * t, a_norm=20 + t,
        residual_norm=0.5 + 0.1 * t, p_label=np.clip(np.exp(logp / tokens), 0, 1), argmax_is_label=0.5 + 0.1 * progress,
    )[list(TRAJECTORY_COLUMNS)]  # fmt: skip


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


def finding(name: str, estimate: float, low: float, high: float, verdict: str, reason: str) -> dict[str, Any]:
    known = {"id": name, "claim": f"The claim {name}", "unit": "nats", "n": 60, "seeds": 1, "paper": f"{name} (HH)"}
    return {**known, "estimate": estimate, "ci_low": low, "ci_high": high, "verdict": verdict, "reason": reason}


FINDINGS = [
    finding("S1", 26.9, 24.1, 29.6, "holds", "the interval lies above 0"),
    finding("D1", -14.2, -15.5, -12.9, "holds", "the slowest fall, that of y⁺, is below 0"),
    finding("D3", 1.6, -0.2, 3.1, "inconclusive", "the interval contains 0"),
    finding("S5", 2.0, 1.1, 2.9, "fails", "y_test ends above its start"),
]


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
        "stages": [{**stage, "steps": 40, "parameters": {"beta": 0.1}, "trainer": {"lr": 2e-5}} for stage in stages],
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


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A whole PNG."""


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


@pytest.fixture(scope="session")
def without_pictures() -> Callable[[], AbstractContextManager[None]]:
    """A block in which figures are drawn but not encoded as PNG, which is most of the time of a report."""

    @contextmanager
    def block() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for module in ("figures", "sweep", "results"):
                patch.setattr(f"ldyn.report.{module}.png", lambda drawing: PIXEL)
            yield

    return block


@pytest.fixture(autouse=True)
def quick_pictures(without_pictures: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Real pictures are those of ``extend_report``."""
    with without_pictures():
        yield
