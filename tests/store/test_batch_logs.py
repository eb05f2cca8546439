"""A trainer's own log (trainer_state.json, CSV of wandb) is read into one value a step, or refused with what it is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldyn.errors import DataError
from ldyn.store.batch_logs import BatchLog, read_trainer_state, read_wandb_csv

WriteState = Callable[..., Path]


def values(log: BatchLog, metric: str, split: str = "train") -> dict[int, float]:
    rows = log.rows[(log.rows["metric"] == metric) & (log.rows["split"] == split)]
    return dict(zip(rows["step"], rows["value"], strict=True))


def test_a_state_has_training_and_evaluation_apart(write_state: WriteState, dpo_history: list[dict[str, Any]]) -> None:
    log = read_trainer_state(write_state("my_dpo/checkpoint-40", dpo_history))
    assert (log.name, log.compares_pairs, log.pairs_per_step, log.notes) == ("my_dpo", True, 4, ())
    assert values(log, "logps/chosen") == {10: -50, 20: -52, 30: -54, 40: -60}
    assert values(log, "rewards/margins", "test") == {20: 0.5, 40: 0.75}
    assert not values(log, "train_loss")
    assert log.rows["epoch"].tolist()[:2] == [0.5, 1.0]  # of the evaluations


def test_later_rows_of_a_resumed_training_win(write_state: WriteState) -> None:
    rows = [
        {"step": step, "loss": loss} for step, loss in ((10, 1), (20, 2), (30, 3), (20, 4), (30, math.inf), (40, 6))
    ]
    log = read_trainer_state(write_state("sft", rows))
    assert values(log, "loss") == {10: 1, 20: 4, 30: 3, 40: 6}
    assert log.notes == (
        "sft: 1 values are not finite: not drawn",
        "sft: steps 20 to 20 are logged twice (a resumed training): the later rows are used",
    )


def test_values_and_metrics_that_are_not_drawn_are_named(write_state: WriteState) -> None:
    rows = [{"step": 1, "loss": math.nan, "my_metric": 3.0, "num_tokens": 5}, {"step": 2, "loss": 1.0}]
    log = read_trainer_state(write_state("sft", rows))
    assert values(log, "loss") == {2: 1.0}
    assert log.notes == (
        "sft: 1 values are not finite: not drawn",
        "sft: metrics of unknown meaning are ignored: my_metric",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model_type": "llama", "vocab_size": 5}, "is no trainer state .*log_history.*; expected trainer_state.json"),
        ([1, 2], "is no trainer state"),
        ({"log_history": []}, "is no trainer state .*'step'"),
        ({"log_history": [{"step": 3, "loss": "low"}]}, "column 'loss': .*low"),
        (
            {"log_history": [{"step": 1, "loss": 0.1, "reward": 0.5, "kl": 0.0}]},
            "found the metrics kl, loss, reward, step; expected loss, or some of logps/chosen",
        ),
    ],
)  # fmt: skip
def test_other_json_is_refused_with_what_it_holds(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "trainer_state.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_trainer_state(tmp_path / "trainer_state.json")


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def chart(path: Path, metric: str, *rows: str, runs: tuple[str, ...] = ("sunny-1",)) -> Path:
    """As a chart is exported: with the least and the largest value of each point."""
    names = [f'"{run} - {metric}{end}"' for run in runs for end in ("", "__MIN", "__MAX")]
    return write(path, ",".join(['"Step"', *names]), *rows)


def test_charts_of_one_run_are_one_log(tmp_path: Path) -> None:
    chosen = chart(tmp_path / "chosen.csv", "train/logps/chosen", "1,-50,-51,-49", "2,-52,-52,-52")
    margins = chart(tmp_path / "margins.csv", "eval/rewards/margins", "2,0.5,0.5,0.5")
    log = read_wandb_csv([chosen, margins])
    assert (log.name, log.compares_pairs) == ("sunny-1", True)
    assert values(log, "logps/chosen") == {1: -50, 2: -52}
    assert values(log, "rewards/margins", "test") == {2: 0.5}


def test_a_history_has_one_column_a_metric_and_empty_cells(tmp_path: Path) -> None:
    path = write(
        tmp_path / "history.csv",
        ",_step,_runtime,train/global_step,train/epoch,train/logps/chosen,train/loss,eval/loss,train/grad_norm,note",
        "0,0,1.5,10,0.1,-50,0.7,,NaN,begun",
        "1,1,1.6,10,0.1,,,0.6,,",
        "2,2,1.9,20,0.2,-51,0.5,,1.0,",
        "3,3,2.0,,,,,,,",
    )
    log = read_wandb_csv([path])
    assert values(log, "logps/chosen") == {10: -50, 20: -51}
    assert values(log, "loss", "test") == {10: 0.6}
    assert values(log, "grad_norm") == {20: 1.0}


def test_several_runs_are_named_and_one_is_chosen(tmp_path: Path) -> None:
    row = "1,-50,-50,-50,-70,-70,-70"
    path = chart(tmp_path / "two.csv", "train/logps/chosen", row, runs=("dpo - a", "dpo - b"))
    with pytest.raises(DataError, match=r"holds 2 runs: dpo - a, dpo - b\. Choose one with --wandb-run NAME"):
        read_wandb_csv([path])
    assert values(read_wandb_csv([path], "dpo - b"), "logps/chosen") == {1: -70}
    with pytest.raises(DataError, match=r"has no run 'c'; .*expected one of dpo - a, dpo - b"):
        read_wandb_csv([path], "c")
    path = write(tmp_path / "long.csv", "run_name,_step,train/loss", "a,1,0.5", "b,1,0.7")
    assert values(read_wandb_csv([path], "b"), "loss") == {1: 0.7}
    with pytest.raises(DataError, match="holds 2 runs: a, b"):
        read_wandb_csv([path])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["_step,accuracy", "1,0.5"], "found the metrics _step, accuracy; expected loss"),
        (["_step,train/loss", "1,low"], "column 'train/loss': .*low"),
        (["_step,train/loss", "1.5,0.3"], "steps that are no whole numbers"),
        (["_step,train/loss", "1,0.3,4"], "expected some, each with 2 cells as in the header"),
        (["Relative Time (Process),train/loss", "1,0.3"], "has no step in each row: found Relative Time"),
        (["_step,train/loss"], "found 0 rows"),
        (['_step,train/loss', '1,"0.3'], "cannot be read as CSV"),
    ],
)  # fmt: skip
def test_other_csv_is_refused_with_what_it_holds(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_wandb_csv([write(tmp_path / "log.csv", *lines)])


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text('{"log_history": [{"step": 1,')
    with pytest.raises(DataError, match=r"is no trainer state \(JSONDecodeError"):
        read_trainer_state(tmp_path / "trainer_state.json")
