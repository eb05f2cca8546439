"""A trainer's own log as a run directory: its page and notes, findings without numbers, and the overlay."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldyn.cli.main import main
from ldyn.report.run_page import material_of
from ldyn.store import read_run
from ldyn.store.batch_runs import import_batch_logs

WriteState = Callable[..., Path]
History = list[dict[str, Any]]


def change(path: Path, probe: str) -> list[float]:
    curves = material_of(read_run(path)).curves
    return curves[(curves["probe"] == probe) & (curves["split"] == "train")].sort_values("step")["change"].to_list()


def test_a_state_becomes_a_run_whose_claims_are_not_judged(
    write_state: WriteState, dpo_history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, out = write_state("my_dpo", dpo_history), tmp_path / "out" / "run"
    assert main(["import-logs", str(state.parent), "--out", str(out), "--beta", "0.1"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "4 claims are not judged: a log of batch means has no numbers on them." in printed
    assert "other pairs each time, scored before the update on them" in printed
    assert "log π(y⁺) as logged: -50.0 in the first 10% of the rows, -60.0 in the last, of other pairs" in printed
    assert "rewards/chosen end at -0.8: the pairs of the last batches have a less likely y⁺" in printed
    assert "by 8.0 nats on average" in printed
    run = read_run(out)
    assert {one.id: one.verdict for one in run.findings} == dict.fromkeys(("D1", "D2", "D3", "D3b"), "not judged")
    assert "log π of no fixed example" in run.findings[0].reason
    assert run.trajectories.empty
    assert set(run.tables["batch_means"]["examples_seen"]) == {40, 80, 120, 160}  # 4 pairs a step
    assert change(out, "chosen") == pytest.approx([2, 0, -2, -8])  # rewards / 0.1
    page = (out / "report.html").read_text()
    for words in ("Batch means of a trainer&#39;s own log", "4 not judged", "What the trainer logged, batch by batch"):
        assert words in page
    assert "no stage has been evaluated" not in page
    assert (out / "figures" / "batch_means.png").exists()


def test_verify_report_and_overlay_read_it(write_state: WriteState, dpo_history: History, tmp_path: Path) -> None:
    state = write_state("my_dpo", dpo_history)
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert main(["import-logs", str(state), "--out", one]) == main(["import-logs", str(state), "--out", two]) == 0
    assert main(["verify", one]) == main(["report", one, "--reference", two]) == 0
    assert (tmp_path / "one" / "figures" / "reference.png").exists()
    assert change(tmp_path / "one", "chosen") == [0, -2, -4, -10]  # no β: since the first logged step


def test_a_log_without_log_probs_or_of_sft(write_state: WriteState, dpo_history: History, tmp_path: Path) -> None:
    rewards = [{key: value for key, value in row.items() if "logps" not in key} for row in dpo_history]
    state = write_state("rewards", rewards)
    assert main(["import-logs", str(state), "--out", str(tmp_path / "run")]) == 0
    notes = " ".join(read_run(tmp_path / "run").manifest["notes"])
    assert "log π(y⁺) is not logged, so its level is not known" in notes
    assert "β is not logged; give --beta to draw that change in nats" in notes
    assert "This log has no log π" in (tmp_path / "run" / "report.html").read_text()
    sft = write_state("sft", [{"step": step, "loss": 3 - step, "entropy": 1.0} for step in (1, 2)])
    assert main(["import-logs", str(sft), str(state), "--out", str(tmp_path / "both")]) == 0
    run = read_run(tmp_path / "both")
    assert [(stage.name, stage.kind) for stage in run.stages] == [("sft", "pointwise"), ("preference", "pairwise")]
    assert len(run.findings) == 10
    assert {one.verdict for one in run.findings} == {"not judged"}


def test_rewards_without_a_reference_show_no_change(
    write_state: WriteState, dpo_history: History, tmp_path: Path
) -> None:
    for row in dpo_history:
        if "logps/chosen" in row:
            row["rewards/chosen"] = row["logps/chosen"] * 0.1
    [stage] = import_batch_logs([write_state("cpo", dpo_history)], [None], beta=0.1)
    assert "rewards are 0.1 × log π at every step: a loss without reference" in " ".join(stage.notes)
    assert not stage.rows["metric"].str.startswith("change/").any()


def test_the_last_checkpoint_of_a_directory_is_read(
    write_state: WriteState, dpo_history: History, tmp_path: Path
) -> None:
    for step in (20, 100, 40):
        write_state(f"trl/checkpoint-{step}", [{**row, "step": step} for row in dpo_history[:1]])
    [stage] = import_batch_logs([tmp_path / "trl"], ["dpo"])
    assert (stage.info.name, set(stage.rows["step"])) == ("dpo", {100})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["STATE", "--examples-apart", "500"], "--examples-apart: expected published logs"),
        (["STATE", "--beta", "-1"], "--beta: found -1.0, expected a number above 0"),
        (["STATE", "--pairs-per-step", "0"], "--pairs-per-step: found 0, expected 1 or more"),
        (["STATE", "--wandb-run", "a"], "--wandb-run: expected CSV files of wandb"),
        (["STATE", "--stage", "sft", "dpo"], "--stage: found 2 values for 1 logs; give one each"),
        (["STATE", "DIRECTORY"], "1 logs of batch means and 1 published ones"),
        (["DIRECTORY", "--beta", "0.1"], "--beta: expected a trainer_state.json or CSV files"),
    ],
)
def test_options_that_do_not_fit(
    write_state: WriteState, dpo_history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: list[str], message: str,
) -> None:  # fmt: skip
    paths = {"STATE": str(write_state("my_dpo", dpo_history)), "DIRECTORY": str(tmp_path)}
    line = [paths.get(word, word) for word in words]
    assert main(["import-logs", *line, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("run*"))


def test_a_csv_file_is_one_run(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("_step,train/rewards/chosen,train/rewards/rejected\n1,0.1,0.0\n2,0.2,-0.3\n")
    assert main(["import-logs", str(path), "--out", str(tmp_path / "run"), "--beta", "0.1"]) == 0
    assert change(tmp_path / "run", "rejected") == pytest.approx([0, -3])
    notes = json.loads((tmp_path / "run" / "manifest.json").read_text())["notes"]
    assert "history: examples seen are 1 × steps; if not, give --pairs-per-step" in notes


def test_verify_report_and_overlay_read_it_without_torch(
    write_state: WriteState, dpo_history: History, tmp_path: Path
) -> None:
    state = write_state("my_dpo", dpo_history)
    runs = [str(tmp_path / "one"), str(tmp_path / "two")]
    lines = [["import-logs", str(state), "--out", run] for run in runs]
    lines += [["verify", runs[0]], ["report", runs[0], "--reference", runs[1]]]
    code = (
        "import sys\nfor name in ('torch', 'transformers', 'trl', 'datasets', 'wandb'):\n"
        "    sys.modules[name] = None\n"
        f"from ldyn.cli.main import main\nsys.exit(max(main(line) for line in {lines!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "The stored findings agree" in done.stdout
    assert (Path(runs[0]) / "figures" / "reference.png").exists()
    assert change(Path(runs[0]), "chosen") == [0, -2, -4, -10]  # no β: since the first logged step
