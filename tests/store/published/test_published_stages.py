"""What a log does not say is read off its name and its first numbers, or told; what cannot be told is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ldyn.errors import ConfigError, DataError
from ldyn.store.published import ImportedRun, LogSource, import_logs

Columns = dict[str, np.ndarray]
WriteLog = Callable[..., Path]


def stages(imported: ImportedRun) -> list[tuple[str, str, str]]:
    return [(stage.info.name, stage.info.kind, stage.info.start) for stage in imported.stages]


@pytest.fixture
def sft(write_log: WriteLog, sft_columns: Columns) -> Path:
    return write_log("pythia_sft", sft_columns)


def test_kind_and_start_are_read_off(sft: Path, write_log: WriteLog, dpo_columns: Columns) -> None:
    after = write_log("pythia_dpo", dpo_columns)  # begins at −20.5, where SFT ended at −20
    imported = import_logs([LogSource(sft), LogSource(after)])
    assert stages(imported) == [("sft", "pointwise", "base"), ("dpo", "pairwise", "sft")]
    assert [stage.info.algorithm for stage in imported.stages] == ["sft", "dpo"]
    note = next(note for note in imported.manifest()["notes"] if "starts from" in note)
    assert note == "pythia_dpo: stage dpo starts from sft: log π(chosen) is -20.5 at its first evaluation, -20.0 there"


def test_a_stage_that_begins_where_the_first_one_did_starts_from_the_base(
    sft: Path, write_log: WriteLog, dpo_columns: Columns
) -> None:
    dpo_columns["logps_eval_prob_train/chosen"] -= 19.5  # begins at −40
    imported = import_logs([LogSource(sft), LogSource(write_log("pythia_dpo", dpo_columns))])
    assert stages(imported)[1] == ("dpo", "pairwise", "base")


def test_a_stage_that_begins_nowhere_near_starts_from_what_is_not_known(
    sft: Path, write_log: WriteLog, dpo_columns: Columns
) -> None:
    dpo_columns["logps_eval_prob_train/chosen"] -= 4  # begins at −24.5; near is a tenth of SFT's 20 nats
    other = write_log("other_dpo", dpo_columns)
    assert stages(import_logs([LogSource(sft), LogSource(other)]))[1] == ("dpo", "pairwise", "unknown")
    assert stages(import_logs([LogSource(other)]))[0] == ("dpo", "pairwise", "unknown")
    told = import_logs([LogSource(sft), LogSource(other, start="sft")])
    assert stages(told)[1] == ("dpo", "pairwise", "sft")
    assert not any("starts from" in note for note in told.manifest()["notes"])


def test_a_second_stage_of_a_kind_gets_a_number(sft: Path, write_log: WriteLog, sft_columns: Columns) -> None:
    extend = write_log("pythia_extend", sft_columns)
    again = write_log("again_sft", sft_columns)
    imported = import_logs([LogSource(sft), LogSource(extend), LogSource(again)])
    assert stages(imported) == [(name, "pointwise", "base") for name in ("sft", "extend", "sft_2")]
    assert imported.stages[1].info.view == ("chosen", "rejected")


def test_what_cannot_be_told_is_asked_for_all_at_once(sft: Path, write_log: WriteLog, dpo_columns: Columns) -> None:
    sources = [
        LogSource(write_log("seed1", dpo_columns)),
        LogSource(write_log("sft_then_dpo", dpo_columns)),
        LogSource(sft, examples_apart=2, batch_size=4),
    ]
    with pytest.raises(ConfigError) as caught:
        import_logs(sources)
    assert len(caught.value.faults) == 3
    assert "'seed1' does not tell which stage it logged; say --stage sft|extend|dpo" in caught.value.faults[0]
    assert "'sft_then_dpo' speaks of dpo and sft" in caught.value.faults[1]
    assert "2 examples from one evaluation of pythia_sft to the next, 4 an update" in caught.value.faults[2]
    assert stages(import_logs([LogSource(sources[0].directory, kind="dpo")]))[0][0] == "dpo"


def test_a_start_that_is_no_stage_before(sft: Path) -> None:
    with pytest.raises(ConfigError, match=r"starts from 'stf'.*expected one of base, unknown"):
        import_logs([LogSource(sft, start="stf")])


def test_the_faults_of_all_directories_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no directory .*one_sft(?s:.*)no directory .*two_dpo"):
        import_logs([LogSource(tmp_path / "one_sft"), LogSource(tmp_path / "two_dpo")])


def test_the_table_has_every_number_where_it_belongs(sft: Path, sft_columns: Columns) -> None:
    table = import_logs([LogSource(sft, examples_apart=500, batch_size=4)]).table()
    assert len(table) == 4 * 12 * 2
    row = table[(table["probe"] == "chosen") & (table["example_id"] == "row-0003") & (table["step"] == 250)]
    assert row["logp"].item() == sft_columns["logps_eval_prob_train/chosen"][2, 2]
    assert row["logp_argmax"].item() == sft_columns["argmax_prob_logits"][2, 2]
    assert (row["examples_seen"].item(), row["split"].item(), row["stage"].item()) == (1000, "train", "sft")
    assert table["step"].is_monotonic_increasing
    assert table.loc[table["probe"] != "chosen", "logp_argmax"].isna().all()
