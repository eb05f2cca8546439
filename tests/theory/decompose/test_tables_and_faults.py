"""Which updates there are, all tables of a decomposition, and errors before any step is taken."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from ldyn.errors import DataError, RunDirectoryError
from ldyn.records import TRAJECTORY_COLUMNS
from ldyn.theory.decomposition import decompose
from ldyn.theory.responses import observe
from ldyn.theory.settings import DecompositionConfig
from ldyn.theory.updates import kept_updates
from ldyn.training.checkpoints import start_weights

SMALL = DecompositionConfig(examples=3, step_sizes=(0.1, 1.0), kernel_examples=2, projections=3)
NOTHING = pd.DataFrame(columns=list(TRAJECTORY_COLUMNS))


def quiet(words: str) -> None:
    """Progress that nobody reads."""


def test_every_stage_has_its_start_and_its_snapshots(experiment):
    found = [(one.plan.info.name, one.step, one.snapshot is None) for one in kept_updates(experiment, None, None)]
    assert found == [(stage, step, step == 0) for stage in ("sft", "dpo") for step in range(5)]
    assert [update.step for update in kept_updates(experiment, ["dpo"], [0, 3])] == [0, 3]


def test_a_missing_step_is_answered_with_those_that_are_kept(experiment):
    there = r"it has sft: step 0, 1, 2, 3, 4; dpo: step 0"
    with pytest.raises(RunDirectoryError, match=f"has no weights of step 7; {there}"):
        kept_updates(experiment, None, [3, 7])
    with pytest.raises(RunDirectoryError, match=f"no weights of ppo; {there}"):
        kept_updates(experiment, ["ppo"], None)


def test_a_stage_whose_start_is_not_trained_has_no_update(untrained, plan_of):
    with pytest.raises(
        RunDirectoryError, match="any step; it has dpo: nothing, as the stage before it is not finished"
    ):
        kept_updates(untrained(plan_of("dpo", "dpo", "sft")), None, None)


def test_updates_of_grpo_are_left_aside_and_refused_by_name(experiment):
    dpo = experiment.plans[-1]
    grpo = replace(dpo, info=replace(dpo.info, name="grpo", kind="groupwise"))
    with_grpo = replace(experiment, plans=[*experiment.plans, grpo])
    assert {update.plan.info.name for update in kept_updates(with_grpo, None, None)} == {"sft", "dpo"}
    with pytest.raises(
        RunDirectoryError, match=r"found grpo, expected stages of SFT .* \(sft, dpo\): an update of grpo"
    ):
        kept_updates(with_grpo, ["dpo", "grpo"], None)


@pytest.fixture(scope="module")
def tables(experiment) -> dict[str, pd.DataFrame]:
    rows = [
        {"stage": "dpo", "split": "train", "probe": "chosen", "example_id": f"pair{i}", "step": step, "logp": -i * step}
        for i in range(13)
        for step in (0, 4)
    ]
    return decompose(experiment, kept_updates(experiment, None, [0, 4]), None, SMALL, pd.DataFrame(rows), quiet)


def test_all_tables_are_there_with_stage_and_step(tables):
    named = {"changes", "change_parts", "change_sources", "kernel_norms"}
    assert set(tables) == {*named, "displacement", "stage_changes"}
    for name in named:
        assert list(tables[name].columns[:3]) == ["stage", "step", "learning_rate"]
        assert set(zip(tables[name]["stage"], tables[name]["step"], strict=True)) == {
            ("sft", 0), ("sft", 4), ("dpo", 0), ("dpo", 4),
        }  # fmt: skip


def test_first_order_of_whole_stages_explains_more_the_more_snapshots_there_are(tables, experiment):
    """Every step has a snapshot; the change is that of the models at both ends, computed here by a plain forward."""
    table = tables["stage_changes"]
    assert set(table["segments"]) == {4}
    size = (table["actual"] ** 2).sum()
    errors = [
        ((table["actual"] - table[name]) ** 2).sum() / size for name in ("kernel_at_start", "kernel_at_snapshots")
    ]
    assert errors[1] < errors[0]
    assert errors[1] < 0.05
    row = table[(table["stage"] == "dpo") & (table["probe"] == "rejected")].iloc[0]
    example = next(one for one in experiment.probes if one.example_id == row["example_id"])
    response = example.responses["rejected"]
    models = [start_weights(stage, experiment.base, experiment.stage_directory) for stage in ("sft", "dpo")]
    before, after = (_logp(model, example.prompt_ids, response) for model in models)
    assert row["actual"] == pytest.approx(after - before, abs=1e-4)


def _logp(model, prompt, response):
    ids = torch.tensor([[*prompt, *response]])
    with torch.no_grad():
        logps = model.eval()(ids).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)
    return float(logps.gather(1, torch.tensor(response)[:, None]).sum())


def test_norms_are_of_what_the_stage_trains_on(tables):
    norms = tables["kernel_norms"]
    assert norms.groupby("stage")["updated"].unique().map(set).to_dict() == {
        "sft": {"chosen"},
        "dpo": {"chosen", "rejected"},
    }
    assert (norms["standard_error"] > 0).all()
    assert norms["example_id"].nunique() == 2
    same = norms[(norms["updated"] == norms["probe"])].groupby("stage")["per_pair"].mean()
    other = norms[norms["probe"] == "irr_train"].groupby("stage")["per_pair"].mean()
    assert (same > other).all()


def test_scores_of_pairs_stand_beside_what_became_of_them(tables):
    table = tables["displacement"].set_index("example_id")
    assert len(table) == 13
    assert table.loc["pair3", "change"] == -12
    assert (table["entanglement"] == table["inner_product"] - table["chosen_norm_sq"]).all()


def test_an_update_on_pairs_of_ones_choice(experiment):
    found = decompose(experiment, kept_updates(experiment, ["dpo"], [2]), ["pair1"], SMALL, NOTHING, quiet)
    changes = found["changes"]
    assert set(changes[changes["in_batch"]]["example_id"]) == {"pair1"}
    assert "displacement" not in found


def test_a_pair_that_was_truncated_away_is_named(experiment):
    with pytest.raises(DataError, match=r"no such pair among the 13 .*: gone; .* truncation or an empty text"):
        decompose(experiment, kept_updates(experiment, ["dpo"], [0]), ["pair1", "gone"], SMALL, NOTHING, quiet)
    many = [f"pair{i}" for i in range(5)]
    with pytest.raises(DataError, match="found 5 pairs, expected at most 4"):
        decompose(experiment, kept_updates(experiment, ["dpo"], [0]), many, SMALL, NOTHING, quiet)


def test_nothing_to_observe_is_an_error(probes):
    with pytest.raises(DataError, match="no train probe to observe among 1 probe examples"):
        observe(probes[-1:], 5)


def test_the_own_step_must_be_among_the_step_sizes():
    with pytest.raises(ValueError, match="lacks 1, the optimizer's own step"):
        DecompositionConfig(step_sizes=(0.1, 10.0))
