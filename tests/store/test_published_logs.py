"""Which published column becomes which measure, and how those that are wrong are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ldyn.records import MEAN_EXAMPLE
from ldyn.store.published_files import read_published_log
from ldyn.store.published_logs import MeasuredLog, measures_of

LOGP = "logps_eval_prob_train/"
Columns = dict[str, np.ndarray]


@pytest.fixture
def measured(write_log: Callable[..., Path]) -> Callable[..., MeasuredLog]:
    return lambda columns, **how: measures_of(read_published_log(write_log("log", columns, **how)))


def note_on(log: MeasuredLog, words: str) -> str:
    (found,) = [note for note in log.notes if words in note]
    return found


def test_columns_are_named_as_ours_and_wrong_ones_excluded(
    measured: Callable[..., MeasuredLog], sft_columns: Columns
) -> None:
    log = measured(sft_columns)
    assert {probe: set(measures) for probe, measures in log.probes.items()} == {
        "chosen": {"logp", "logp_argmax", "residual_norm", "p_label"},
        "reject_gptsemantic": {"logp"},  # spelled rejected_… there
    }
    chosen = log.probes["chosen"]
    assert np.array_equal(chosen["logp_argmax"], sft_columns["argmax_prob_logits"])
    assert chosen["p_label"] == pytest.approx(0.3)  # 1 − energy, which is 0.7
    assert np.array_equal(chosen["residual_norm"], sft_columns["p_e"])
    assert log.example_ids[:2] == ("row-0001", "row-0002")
    assert len(log.example_ids) == 12
    assert "averaged as the square of a mean of norms" in note_on(log, "‖A‖ (chosen_A_o, random_nonhum_A_o)")
    assert note_on(log, "the log-mass outside y*").endswith("48 of 48 numbers are not finite")


def test_means_alone_stand_for_one_example_with_a_mark(
    measured: Callable[..., MeasuredLog], sft_columns: Columns
) -> None:
    log = measured(sft_columns, examples=False)
    assert log.example_ids == (MEAN_EXAMPLE,)
    assert log.probes["chosen"]["logp"][:, 0] == pytest.approx([-40, -33, -27, -20], abs=0.2)
    assert "logp_argmax" in log.probes["chosen"]
    assert note_on(log, "only means over the examples were published")


def test_values_of_the_last_probe_are_found_by_single_examples(
    measured: Callable[..., MeasuredLog], early_columns: Columns
) -> None:
    """log π(y*) along random_nonhum runs from −15.5 to −10.5, log π(chosen) from −38 to −2: it is lower where chosen is
    above about −13, impossible for the y* along chosen. random_nonhum itself is always lower.
    """
    means = {name: values.mean() for name, values in early_columns.items()}
    assert means["argmax_prob_logits"] > means[LOGP + "chosen"]  # the means do not tell
    log = measured(early_columns)
    below = int((early_columns["argmax_prob_logits"] < early_columns[LOGP + "chosen"]).sum())
    assert below > 20
    assert set(log.probes["chosen"]) == {"logp"}
    assert set(log.probes["random_nonhum"]) == {"logp", "logp_argmax", "residual_norm", "p_label"}
    assert f"in {below} of 120 cases, which cannot be" in note_on(log, "is filed under random_nonhum")


def test_where_several_probes_could_be_the_last_one_the_values_are_excluded(
    measured: Callable[..., MeasuredLog], early_columns: Columns
) -> None:
    early_columns[LOGP + "random_permute"] = early_columns[LOGP + "random_nonhum"] - 5
    log = measured(early_columns)
    assert all(set(measures) == {"logp"} for measures in log.probes.values())
    assert "so another probe's values overwrote it" in note_on(log, "is excluded: log π(y*) lies below")


def test_without_examples_the_layout_tells(measured: Callable[..., MeasuredLog], early_columns: Columns) -> None:
    log = measured(early_columns, examples=False)
    assert all(set(measures) == {"logp"} for measures in log.probes.values())
    assert note_on(log, "kept the last probe's values")


def test_means_that_cannot_be_are_found_in_the_later_layout_as_well(
    measured: Callable[..., MeasuredLog], sft_columns: Columns
) -> None:
    sft_columns["argmax_prob_logits"] -= 40
    log = measured(sft_columns, examples=False)
    assert set(log.probes["chosen"]) == {"logp"}
    assert "in 4 of 4 cases" in note_on(log, "overwrote it")


def test_in_means_alone_the_norms_show_that_the_last_probe_overwrote_the_values(
    measured: Callable[..., MeasuredLog], sft_columns: Columns
) -> None:
    """p_e = .98 and energy = .945 give ‖π‖² = .9604 − 1 + .11 = .0704: 1.05 of random_nonhum's, .27 of chosen's."""
    sft_columns |= {"p_e": np.full((4, 12), 0.98), "energy": np.full((4, 12), 0.945)}
    log = measured(sft_columns, examples=False)
    assert set(log.probes["chosen"]) == {"logp"}
    note = note_on(log, "published as along chosen (log π(y*), ‖π − e‖, π(y)) is excluded")
    assert "1.05 to 1.05 of that by A_o of random_nonhum, 0.27 to 0.27 of that of chosen" in note


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"random_nonhum_A_o": None}, "without single examples, and A_o of chosen and of a later probe"),
        ({"energy": None}, "without single examples, and A_o of chosen and of a later probe"),
        ({"chosen_A_o": np.full((4, 12), 600.0)}, "no known vocabulary fits A_o from 232 on"),
    ],
)
def test_in_means_alone_what_cannot_be_checked_is_excluded(
    measured: Callable[..., MeasuredLog], sft_columns: Columns, change: dict[str, np.ndarray | None], reason: str
) -> None:
    columns = {name: values for name, values in (sft_columns | change).items() if values is not None}
    log = measured(columns, examples=False)
    assert set(log.probes["chosen"]) == {"logp"}
    assert note_on(log, reason)


def test_rounding_is_no_contradiction(measured: Callable[..., MeasuredLog], sft_columns: Columns) -> None:
    """Where every token of y⁺ is the most likely one, both sums are the same number, rounded twice."""
    sft_columns["argmax_prob_logits"] = sft_columns[LOGP + "chosen"] - 1e-4
    assert "logp_argmax" in measured(sft_columns).probes["chosen"]


def test_without_greedy_log_probs_nothing_can_be_checked(
    measured: Callable[..., MeasuredLog], sft_columns: Columns
) -> None:
    del sft_columns["argmax_prob_logits"]
    log = measured(sft_columns)
    assert set(log.probes["chosen"]) == {"logp"}
    assert "(‖π − e‖, π(y)) is excluded: without" in note_on(log, "published as along chosen")


def test_examples_decide_against_the_layout(measured: Callable[..., MeasuredLog], early_columns: Columns) -> None:
    early_columns["argmax_prob_logits"] = early_columns[LOGP + "chosen"] / 4  # a mended log with its old A_o
    assert "logp_argmax" in measured(early_columns).probes["chosen"]
