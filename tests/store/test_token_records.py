"""Token records: what is written comes back, goes back with a resume, and needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ldyn.records import ProbeScore, ProbeStep, TokenRecord
from ldyn.store import RunDirectory, TrajectoryStore, read_run, read_tokens
from ldyn.store.tokens import TOKEN_SCHEMA

ProbeSteps = Callable[[str, int], ProbeStep]
Scores = Callable[..., list[ProbeScore]]


def records(step: int) -> list[TokenRecord]:
    """Of two responses of three tokens and one; the start's own at step 0."""
    rng = np.random.default_rng(step)

    def numbers(n: int) -> np.ndarray:
        return -rng.random(n, dtype=np.float32)

    def ids(*shape: int) -> np.ndarray:
        return rng.integers(0, 50_000, shape, dtype=np.int32)

    return [
        TokenRecord(
            "train",
            example_id,
            "chosen",
            token_ids=ids(n),
            logp=numbers(n),
            argmax_ids=ids(n),
            logp_argmax=numbers(n),
            entropy=numbers(n),
            logp_start_argmax=numbers(n),
            argmax_gained=step / 10,
            kept_mass=0.75,
            start_ids=ids(n, 8) if step == 0 else None,
        )
        for example_id, n in (("q1", 3), ("q0", 1))
    ]


def assert_same(found: list[TokenRecord], expected: list[TokenRecord]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for name in (field.name for field in fields(TokenRecord)):
            mine, theirs = getattr(one, name), getattr(other, name)
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
            assert getattr(mine, "dtype", None) == getattr(theirs, "dtype", None), name


@pytest.fixture
def store(run_directory: RunDirectory, probe_step: ProbeSteps, scores: Scores) -> TrajectoryStore:
    """Token records at two probe steps of sft and at the first of dpo."""
    written = TrajectoryStore(run_directory.path)
    for stage, step in (("sft", 0), ("sft", 5), ("dpo", 0)):
        written.append(probe_step(stage, step), scores(stage, step), records(step))
    return written


@pytest.mark.parametrize("published", [False, True])
def test_tokens_come_back_as_they_were(run_directory: RunDirectory, store: TrajectoryStore, published: bool) -> None:
    path = run_directory.path
    if published:
        store.publish()
        path = run_directory.publish()
    frame = read_tokens(path, "sft", 5)
    assert list(frame.columns) == TOKEN_SCHEMA.names
    assert frame[["stage", "step", "example_id", "n_tokens"]].values.tolist() == [
        ["sft", 5, "q1", 3],
        ["sft", 5, "q0", 1],
    ]
    for row, record in zip(frame.to_dict("records"), records(5), strict=True):
        np.testing.assert_array_equal(row["logp"], record.logp)
        np.testing.assert_array_equal(row["argmax_ids"], record.argmax_ids)
        assert row["start_ids"] is None
    by_token = frame.explode(["token_ids", "logp", "entropy"])
    assert by_token["logp"].astype(float).sum() == pytest.approx(sum(record.logp.sum() for record in records(5)))


def test_the_start_comes_back_as_records(run_directory: RunDirectory, store: TrajectoryStore) -> None:
    assert_same(TrajectoryStore(run_directory.path).start_tokens("sft"), records(0))
    assert store.start_tokens("extend") == []


def test_going_back_drops_the_tokens_of_what_is_dropped(run_directory: RunDirectory, store: TrajectoryStore) -> None:
    records = run_directory.path / "per_token"
    store.discard_after("sft", 0)
    assert [path.relative_to(records).as_posix() for path in records.rglob("*.parquet")] == ["00-sft/00000000.parquet"]
    store.discard_after("sft", -1)
    assert not list(records.rglob("*.parquet"))
    assert read_run(run_directory.path).trajectories.empty


def test_tokens_of_a_probe_step_whose_scores_were_not_written_any_more_are_dropped(
    run_directory: RunDirectory, probe_step: ProbeSteps, scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TrajectoryStore(run_directory.path)
    store.append(probe_step("sft", 0), scores("sft", 0), records(0))
    monkeypatch.setattr(store._scores, "path", _killed)
    with pytest.raises(KeyboardInterrupt):
        store.append(probe_step("dpo", 0), scores("dpo", 0), records(0))
    resumed = TrajectoryStore(run_directory.path)
    assert resumed.start_tokens("dpo")
    resumed.discard_after("dpo", -1)
    assert resumed.start_tokens("dpo") == []
    assert resumed.steps("sft") == [0]


def _killed(*_: object) -> Path:
    raise KeyboardInterrupt


def test_numbers_that_are_not_finite_are_empty(
    run_directory: RunDirectory, probe_step: ProbeSteps, scores: Scores
) -> None:
    whole = records(0)[0]
    broken = replace(whole, entropy=np.array([1, np.nan, 2], np.float32), argmax_gained=np.nan, kept_mass=np.nan)
    TrajectoryStore(run_directory.path).append(probe_step("sft", 0), scores("sft", 0), [broken])
    table = pq.read_table(run_directory.path / "per_token" / "00-sft" / "00000000.parquet")
    assert table.schema.equals(TOKEN_SCHEMA, check_metadata=True)
    assert table.column("entropy").to_pylist() == [[1.0, None, 2.0]]
    assert table.column("kept_mass").to_pylist() == [None]
    assert_same(TrajectoryStore(run_directory.path).start_tokens("sft"), [broken])


def test_equal_records_give_equal_bytes(
    run_directory: RunDirectory, store: TrajectoryStore, probe_step: ProbeSteps
) -> None:
    path = run_directory.path / "per_token" / "00-sft" / "00000005.parquet"
    before = path.read_bytes()
    store.append(probe_step("sft", 5), [], records(5))
    assert path.read_bytes() == before
