"""Whatever is wrong with the files of a run, the report names it: one error, or a part of the page that is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ldyn.errors import LdynError
from ldyn.report import build_report, compare_sweep
from ldyn.store.schema import METADATA, to_bytes

from .test_kernel_figures import tables as decomposition_tables
from .test_report_wins import wins

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(synthetic: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every table that a figure is drawn from."""
    how = {"n_examples": 3, "evaluations": 2, "splits": ("train",), "probes": ("chosen", "rejected", "irr_train")}
    directory = tmp_path_factory.mktemp("whole") / "run"
    synthetic.write(directory, synthetic.extend, trajectories=synthetic.trajectories(synthetic.extend, **how))
    toy = pd.DataFrame({"start": "peaky", "position": "valley", "label": range(4), "before": -1.0, "after": -2.0})
    toy = toy.assign(is_greedy=toy["label"] == 0, is_rejected=toy["label"] == 3, steps=1, step_size=0.1)
    images = pd.DataFrame({"learned": [0, 0, 1, 1], "observed": [0, 1, 0, 1], "label": [0, 0, 1, 1], "seed": 0})
    tables = {**decomposition_tables.__wrapped__(), "wins": wins({2.0: [1.0, 0.0]}), "toy_distributions": toy}
    for name, table in {**tables, "images_influence": images.assign(actual=1.0)}.items():
        write(directory / f"{name}.parquet", table)
    return directory


def write(path: Path, table: pd.DataFrame) -> None:
    path.write_bytes(to_bytes(pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(METADATA)))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Eight bytes of the first half, where Parquet has its pages and JSON its first rows."""
    content = bytearray(path.read_bytes())
    for place in np.random.default_rng(len(content)).integers(4, len(content) // 2, 8):
        content[place] ^= 1 << place % 8
    path.write_bytes(content)


def empty(path: Path) -> None:
    change_table(path, lambda table: table.iloc[:0])


def without_numbers(path: Path) -> None:
    change_table(path, lambda table: table.assign(**dict.fromkeys(table.select_dtypes("float"), np.nan)))


def without_a_column(path: Path) -> None:
    change_table(path, lambda table: table.iloc[:, :-1].rename(columns={table.columns[0]: "other"}))


def as_text(path: Path) -> None:
    change_table(path, lambda table: table.astype(str))


def change_table(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    if path.suffix == ".parquet":
        write(path, change(pd.read_parquet(path)))
    else:
        path.write_text("[[]]" if path.suffix == ".json" else '{"stage": [], "mode": {}}\n', encoding="utf-8")


def built(run: Path) -> str:
    """The page, or the error that takes its place."""
    try:
        return build_report(run).read_text(encoding="utf-8")
    except LdynError as error:
        return str(error)


@pytest.mark.parametrize("damage", [truncate, flip])
def test_no_file_with_damaged_bytes_is_a_traceback(whole: Path, tmp_path: Path, damage: Damage) -> None:
    files = ["manifest.json", "config.yaml", "findings.json", "samples.jsonl", "trajectories.parquet", "wins.parquet"]
    for file in files:
        run = tmp_path / file / "run"
        run.mkdir(parents=True)
        for name in files:
            shutil.copy(whole / name, run / name)
        damage(run / file)
        assert file in (page := built(run)) or "<!DOCTYPE html>" in page


@pytest.mark.parametrize("damage", [empty, without_numbers, without_a_column, as_text])
def test_no_table_with_wrong_content_is_a_traceback(whole: Path, tmp_path: Path, damage: Damage) -> None:
    """Figures of all tables, whatever these hold; then a table of trajectories that the reader lets through."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    own = ("trajectories.parquet", "train_log.parquet")
    for path in (path for path in run.glob("*.parquet") if path.name not in own):
        damage(path)
    page = built(run)
    assert "<!DOCTYPE html>" in page
    assert page.count("is not drawn: the data is damaged or incomplete") >= 2
    damage(run / "trajectories.parquet")
    assert "trajectories.parquet" in (page := built(run)) or "<!DOCTYPE html>" in page


def test_the_page_has_everything_but_the_damaged_part(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    without_a_column(run / "wins.parquet")
    page = build_report(run).read_text(encoding="utf-8")
    assert "The win rates could not be made: the data is damaged or incomplete (KeyError" in page
    assert (run / "figures" / "overview.png").exists()
    assert 'id="samples"' in page


def test_a_sweep_with_a_damaged_table_is_compared_all_the_same(whole: Path, tmp_path: Path, synthetic: Any) -> None:
    for seed in (0, 1):
        manifest = {**synthetic.manifest(synthetic.squeeze), "seed": seed, "hashes": {}}
        how = {"n_examples": 3, "evaluations": 2, "splits": ("train",), "seed": seed}
        table = synthetic.trajectories(synthetic.squeeze, **how)
        run = synthetic.write(tmp_path / str(seed), manifest=manifest, trajectories=table)
        write(run / "wins.parquet", pd.DataFrame({"judge": [1.0]}))
    compare_sweep(tmp_path)
    text = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert "*Not shown: the data is damaged or incomplete (KeyError" in text
    assert "## Curves" in text
