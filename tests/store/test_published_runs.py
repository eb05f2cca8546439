"""An imported directory is a run as any other: its stages, its table, the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ldyn.cli.main import main
from ldyn.errors import ConfigError
from ldyn.store import read_run
from ldyn.store.published_runs import LoggedStage, LogSource, import_logs, rows_of

Columns = dict[str, np.ndarray]
WriteLog = Callable[..., Path]


@pytest.fixture
def directories(write_log: WriteLog, sft_columns: Columns, dpo_columns: Columns) -> tuple[str, str]:
    return str(write_log("pythia_sft", sft_columns)), str(write_log("pythia_dpo", dpo_columns))


def findings(path: Path) -> dict[str, dict[str, str]]:
    return {finding["id"]: finding for finding in json.loads((path / "findings.json").read_text())}


def test_two_directories_become_the_stages_of_one_run(
    directories: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "both"
    assert main(["import-logs", *directories, "--out", str(out), "--examples-apart", "1000", "500"]) == 0
    printed = capsys.readouterr().out
    assert "averaged as the square of a mean of norms" in printed
    found = findings(out)
    assert {found[name]["verdict"] for name in ("S1", "D1", "D3", "D3b")} == {"this run"}
    assert found["D3"]["estimate"] == pytest.approx(4, abs=0.2)  # −9 to −5
    # per 1,000 examples: the greedy mass rises by 4 over 1,000, chosen by 20 over 3,000
    assert found["D3b"]["estimate"] == pytest.approx(4 / 1 - 20 / 3, abs=0.2)
    assert main(["verify", str(out)]) == 0
    assert "The stored findings agree with the trajectories." in capsys.readouterr().out
    run = read_run(out)
    assert run.manifest["status"] == "finished"
    assert run.manifest["counts"]["dpo.evaluations"] == 3
    assert run.manifest["counts"]["dpo.examples"] == 12
    assert len(run.manifest["hashes"]) == 4
    assert run.trajectories["n_tokens"].isna().all()
    page = (out / "report.html").read_text()
    assert "What to know of the numbers" in page
    assert "averaged as the square of a mean of norms" in page


def test_a_log_of_one_probe_is_judged_by_what_it_has(
    write_log: WriteLog, dpo_columns: Columns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logp = "logps_eval_prob_train/"
    others = [name for name in dpo_columns if name.startswith(logp) and name != logp + "chosen"]
    chosen = {name: values for name, values in dpo_columns.items() if name not in others}
    assert main(["import-logs", str(write_log("one_dpo", chosen)), "--out", str(tmp_path / "one")]) == 0
    found = findings(tmp_path / "one")
    assert {name: found[name]["verdict"] for name in found} == {"D1": "this run", "D3": "this run"}
    assert "Not measured: change of y⁻" in found["D3"]["reason"]
    assert main(["import-logs", str(write_log("other_dpo", {others[-1]: dpo_columns[others[-1]]})), "--out",
                 str(tmp_path / "other")]) == 0  # fmt: skip
    assert findings(tmp_path / "other") == {}
    assert "no claim can be tested with the responses measured (dpo: irr_train)" in capsys.readouterr().out


def test_importing_verifying_and_reporting_need_no_torch(directories: tuple[str, str], tmp_path: Path) -> None:
    lines = [
        ["import-logs", directories[0], "--out", str(tmp_path / "run")],
        ["verify", str(tmp_path / "run")],
        ["report", str(tmp_path / "run"), "--reference", str(tmp_path / "run")],
    ]
    code = (
        "import sys\nfor name in ('torch', 'transformers', 'trl', 'datasets', 'wandb'):\n"
        "    sys.modules[name] = None\n"  # makes every import of it raise ImportError
        f"from ldyn.cli.main import main\nsys.exit(max(main(line) for line in {lines!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stage", "sft"], "--stage: found 1 values for 2 directories; give one each"),
        (["--examples-apart", "1", "2", "3"], "--examples-apart: found 3 values for 2 directories"),
    ],
)
def test_options_that_do_not_fit_the_directories(
    directories: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["import-logs", *directories, "--out", str(tmp_path / "run"), *words]) == 2
    assert message in capsys.readouterr().err
    assert main(["import-logs", str(tmp_path / "no_sft"), "--out", str(tmp_path / "run")]) == 1
    assert f"There is no {tmp_path / 'no_sft'}. Pass a trainer_state.json" in capsys.readouterr().err
    assert not list(tmp_path.glob("run*"))


def stages(imported: list[LoggedStage]) -> list[tuple[str, str, str]]:
    return [(stage.info.name, stage.info.kind, stage.info.start) for stage in imported]


@pytest.fixture
def sft(write_log: WriteLog, sft_columns: Columns) -> Path:
    return write_log("pythia_sft", sft_columns)


def test_kind_and_start_are_read_off(sft: Path, write_log: WriteLog, dpo_columns: Columns) -> None:
    after = write_log("pythia_dpo", dpo_columns)  # begins at −20.5, where SFT ended at −20
    imported = import_logs([LogSource(sft), LogSource(after)])
    assert stages(imported) == [("sft", "pointwise", "base"), ("dpo", "pairwise", "sft")]
    assert [stage.info.algorithm for stage in imported] == ["sft", "dpo"]
    note = next(note for note in imported[1].notes if "starts from" in note)
    assert note == "pythia_dpo: stage dpo starts from sft: log π(chosen) is -20.5 at its first evaluation, -20.0 there"


def test_a_stage_that_begins_nowhere_near_starts_from_unknown_weights(
    sft: Path, write_log: WriteLog, dpo_columns: Columns
) -> None:
    dpo_columns["logps_eval_prob_train/chosen"] -= 4  # begins at −24.5; near is a tenth of SFT's 20 nats
    other = write_log("other_dpo", dpo_columns)
    assert stages(import_logs([LogSource(sft), LogSource(other)]))[1] == ("dpo", "pairwise", "unknown")
    assert stages(import_logs([LogSource(other)]))[0] == ("dpo", "pairwise", "unknown")


def test_a_second_stage_of_a_kind_gets_a_number(sft: Path, write_log: WriteLog, sft_columns: Columns) -> None:
    extend = write_log("pythia_extend", sft_columns)
    again = write_log("again_sft", sft_columns)
    imported = import_logs([LogSource(sft), LogSource(extend), LogSource(again)])
    assert stages(imported) == [(name, "pointwise", "base") for name in ("sft", "extend", "sft_2")]
    assert imported[1].info.view == ("chosen", "rejected")


def test_what_cannot_be_known_is_reported_all_at_once(sft: Path, write_log: WriteLog, dpo_columns: Columns) -> None:
    sources = [
        LogSource(write_log("seed1", dpo_columns)),
        LogSource(write_log("sft_then_dpo", dpo_columns)),
        LogSource(sft, examples_apart=2),
    ]
    with pytest.raises(ConfigError) as caught:
        import_logs(sources)
    assert len(caught.value.faults) == 3
    assert "'seed1' names no stage; pass --stage sft|extend|dpo" in caught.value.faults[0]
    assert "'sft_then_dpo' names dpo and sft" in caught.value.faults[1]
    assert "--examples-apart: found 2, expected 4 (one update) or more" in caught.value.faults[2]
    assert stages(import_logs([LogSource(sources[0].directory, kind="dpo")]))[0][0] == "dpo"


def test_the_table_has_every_number_where_it_belongs(sft: Path, sft_columns: Columns) -> None:
    table = rows_of(import_logs([LogSource(sft, examples_apart=500)]))
    assert len(table) == 4 * 12 * 2
    row = table[(table["probe"] == "chosen") & (table["example_id"] == "row-0003") & (table["step"] == 250)]
    assert row["logp"].item() == sft_columns["logps_eval_prob_train/chosen"][2, 2]
    assert row["logp_argmax"].item() == sft_columns["argmax_prob_logits"][2, 2]
    assert (row["examples_seen"].item(), row["split"].item(), row["stage"].item()) == (1000, "train", "sft")
    assert table["step"].is_monotonic_increasing
    assert table.loc[table["probe"] != "chosen", "logp_argmax"].isna().all()
