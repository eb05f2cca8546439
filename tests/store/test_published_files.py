"""What is wrong with a directory of published logs is reported, with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ldyn.errors import DataError
from ldyn.store.published_files import read_published_log


def test_a_sound_directory_is_read_as_it_is(write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray]) -> None:
    log = read_published_log(write_log("sft", sft_columns))
    assert log.columns == tuple(sft_columns)
    assert log.means[:, 1] == pytest.approx(sft_columns[log.columns[1]].mean(axis=1))
    assert np.array_equal(log.column(log.columns[6]), sft_columns[log.columns[6]])
    assert [path.name for path in log.files] == ["prob_train_metrics.json", "logp_npy_all_chosen.npy"]


def refused(directory: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_published_log(directory)
    return str(caught.value)


def test_a_directory_that_is_not_there_or_has_another_layout(tmp_path: Path) -> None:
    assert "nowhere holds nothing; expected" in refused(tmp_path / "nowhere")
    (tmp_path / "results.csv").write_text("step,loss\n")
    message = refused(tmp_path)
    assert "holds results.csv; expected prob_train_metrics.json" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-40], "Line 4 of .* is no JSON .*delete the line if it was cut off"),
        (lambda text: "[" + text.replace("\n", ",\n")[:-2] + "]", "Line 1 of .* is no JSON"),
        (lambda text: "[1, 2]\n" + text, r"Line 1 of .* is \[1, 2\]; expected one JSON object a line"),
        (lambda text: text.replace("0.75", '"high"', 1), "Line 1 of .* is {.*; expected"),
        (lambda text: text.splitlines()[0] + "\n", "has 1 evaluations; a change needs at least two"),
        (lambda text: text + text.splitlines()[0].replace("p_e", "pe") + "\n", "Line 5 of .*the same columns"),
        (lambda text: "\udcff{", "Line 1 of .* is no JSON"),
        (lambda text: text + text, "evaluation 5 is evaluation 1 again; expected one run. Split the file where"),
        (lambda text: text + text.splitlines()[-1] + "\n", "evaluation 5 is evaluation 4 again"),
    ],
)
def test_a_metrics_file_that_is_broken(
    write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray], change: Callable[[str], str], message: str
) -> None:
    directory = write_log("sft", sft_columns, examples=False)
    path = directory / "prob_train_metrics.json"
    path.write_bytes(change(path.read_text()).encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=message):
        read_published_log(directory)


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_two_runs_that_wrote_one_file_at_the_same_time(tmp_path: Path, noise: float) -> None:
    """30 pairs of nearly equal rows: each run moves by about 1 from one evaluation to the next."""
    random = np.random.default_rng(0)
    curve = np.stack([np.linspace(-90, -60, 30), np.linspace(-80, -110, 30)], axis=1)
    one, other = (curve + random.normal(0, 0.1, curve.shape) for _ in range(2))
    other[0] = one[0] * (1 + noise)  # from the same weights
    names = ("logps_eval_prob_train/chosen", "logps_eval_prob_train/rejected")

    def write(rows: np.ndarray) -> None:
        lines = [json.dumps(dict(zip(names, map(float, row), strict=True))) + "\n" for row in rows]
        (tmp_path / "prob_train_metrics.json").write_text("".join(lines))

    write(np.stack([one, other], axis=1).reshape(60, 2))
    assert "two runs wrote it at the same time" in refused(tmp_path)
    write(one)
    assert len(read_published_log(tmp_path).means) == 30
    other[0] = one[0]
    write(np.concatenate([one, other]))  # appended, as by a second start
    assert "evaluation 31 is evaluation 1 again" in refused(tmp_path)


def test_an_array_of_another_run_or_with_rows_in_another_order(
    write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray]
) -> None:
    directory = write_log("sft", sft_columns)
    array = np.load(directory / "logp_npy_all_chosen.npy")
    np.save(directory / "logp_npy_all_chosen.npy", array[:, [1, 0, *range(2, array.shape[1])]])
    message = refused(directory)
    assert "the means of 2 of 8 rows differ" in message
    assert "of row 0, 'chosen_A_o': -39." in message
    array[2, 6, 3] -= 0.01  # one number of one example
    np.save(directory / "logp_npy_all_chosen.npy", array)
    assert "'logps_eval_prob_train/rejected_gptsemantic': -35" in refused(directory)


@pytest.mark.parametrize("shape", [(3, 8, 12), (4, 8), (4, 8, 0)])
def test_an_array_of_another_shape(
    write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray], shape: tuple[int, ...]
) -> None:
    directory = write_log("sft", sft_columns)
    np.save(directory / "logp_npy_all_chosen.npy", np.zeros(shape))
    assert f"holds float64 of shape {shape}, expected numbers of shape (4, 8, 'examples')" in refused(directory)


def test_an_array_that_would_run_code_or_is_cut_off(
    write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray]
) -> None:
    directory = write_log("sft", sft_columns)
    path = directory / "logp_npy_all_chosen.npy"
    whole = path.read_bytes()
    for content in (whole[:200], b""):
        path.write_bytes(content)
        assert "cannot be read as an array" in refused(directory)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "cannot be read as an array" in refused(directory)
    np.save(directory / "logp_npy_all_rejected.npy", np.zeros(3))
    assert "one logp_npy_all_*.npy" in refused(directory)
