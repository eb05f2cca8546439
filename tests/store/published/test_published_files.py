"""Directorys of published logs that cannot be used are refused, saying what was found, expected and to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ldyn.errors import DataError
from ldyn.store.published.files import read_published_log


def test_a_sound_directory_is_read_as_it_is(write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray]) -> None:
    log = read_published_log(write_log("sft", sft_columns))
    assert log.columns == tuple(sft_columns)
    assert log.means[:, 1] == pytest.approx(sft_columns[log.columns[1]].mean(axis=1))
    assert log.examples is not None
    assert np.array_equal(log.examples[:, 6], sft_columns[log.columns[6]])
    assert [path.name for path in log.files] == ["prob_train_metrics.json", "logp_npy_all_chosen.npy"]


def test_without_an_array_the_means_stand_as_one_example(
    write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray]
) -> None:
    log = read_published_log(write_log("sft", sft_columns, examples=False))
    assert log.examples is None
    assert log.numbers.shape == (4, 7, 1)


def refused(directory: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_published_log(directory)
    return str(caught.value)


def test_a_directory_that_is_not_there_or_has_another_layout(tmp_path: Path) -> None:
    assert "There is no directory" in refused(tmp_path / "nowhere")
    (tmp_path / "results.csv").write_text("step,loss\n")
    message = refused(tmp_path)
    assert "holds results.csv; expected a directory with prob_train_metrics.json" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-40], "Line 4 of .* is not JSON .*delete the line if it was cut off"),
        (lambda text: "[" + text.replace("\n", ",\n")[:-2] + "]", "Line 1 of .* is not JSON"),
        (lambda text: "[1, 2]\n" + text, "Line 1 of .* holds list; expected one JSON object a line"),
        (lambda text: "{}\n" + text, "Line 1 of .* holds an empty object"),
        (lambda text: text.replace("0.75", '"high"', 1), "Line 1 of .*: 'p_e' is 'high'; expected"),
        (lambda text: text.replace("0.75", "true", 1), "Line 1 of .*: 'p_e' is True; expected"),
        (lambda text: text.splitlines()[0] + "\n", "has 1 evaluations; a change needs two"),
        (lambda text: "", "has 0 evaluations"),
        (
            lambda text: text + text.splitlines()[0].replace("p_e", "pe") + "\n",
            r"has in line 5 other columns than line 1 \(p_e, pe\)",
        ),
        (
            lambda text: text + json.dumps(dict(reversed(json.loads(text.splitlines()[0]).items()))) + "\n",
            "has in line 5 its columns in another order",
        ),
        (lambda text: text + text, "evaluation 5 is the first one again, so a second run was appended"),
    ],
)
def test_a_metrics_file_that_is_broken(
    write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray], change: Callable[[str], str], message: str
) -> None:
    directory = write_log("sft", sft_columns, examples=False)
    path = directory / "prob_train_metrics.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message):
        read_published_log(directory)


def test_a_run_that_stands_still_at_first_is_no_second_run(
    write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray]
) -> None:
    still = {name: values[[0, 0, 1, 2]] for name, values in sft_columns.items()}  # warm-up at rate 0
    assert len(read_published_log(write_log("sft", still)).means) == 4


def test_a_metrics_file_that_is_no_text(write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray]) -> None:
    directory = write_log("sft", sft_columns, examples=False)
    (directory / "prob_train_metrics.json").write_bytes(b"\xff\xfe{")
    assert "is not UTF-8 text" in refused(directory)


def test_rows_in_the_order_of_another_directory_are_told_apart(
    write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray]
) -> None:
    directory = write_log("sft", sft_columns)
    array = np.load(directory / "logp_npy_all_chosen.npy")
    np.save(directory / "logp_npy_all_chosen.npy", array[:, [1, 0, 2, 3, 4, 5, 6]])
    message = refused(directory)
    assert "the means of 2 of 7 rows differ" in message
    assert "Row 0 should be 'chosen_A_o', but its means are those of 'logps_eval_prob_train/chosen'" in message


def test_numbers_of_another_run_are_told_apart(
    write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray]
) -> None:
    directory = write_log("sft", sft_columns)
    array = np.load(directory / "logp_npy_all_chosen.npy")
    array[2, 6, 3] -= 0.01  # one number of one example
    np.save(directory / "logp_npy_all_chosen.npy", array)
    message = refused(directory)
    assert "the means of 1 of 7 rows differ" in message
    assert "'logps_eval_prob_train/rejected_gptsemantic', but its means are -35" in message


@pytest.mark.parametrize("shape", [(3, 7, 12), (4, 6, 12), (4, 7), (4, 7, 0)])
def test_an_array_of_another_shape(
    write_log: Callable[..., Path], sft_columns: dict[str, np.ndarray], shape: tuple[int, ...]
) -> None:
    directory = write_log("sft", sft_columns)
    np.save(directory / "logp_npy_all_chosen.npy", np.zeros(shape))
    assert f"holds float64 of shape {shape}, expected numbers of shape (4, 7, 'examples')" in refused(directory)


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
    assert "holds 2 arrays" in refused(directory)
