"""Arms that compete: snapshots answer, a judge decides, a table and a claim come of it; and what is refused before."""

from __future__ import annotations

import json

import pytest

from ldyn.answers.comparison import read_answers
from ldyn.cli.hydra_jobs import composed_settings
from ldyn.config.loading import load_config
from ldyn.config.schema import RunConfig
from ldyn.errors import ApiError, ConfigError
from ldyn.run.run import run
from ldyn.run.win_rates import check_judges
from ldyn.store import Run, read_run

SMALL = (
    "logger=none", "model.hidden_size=32", "model.layers=2", "model.heads=2", "model.steps=30", "model.warmup_steps=5",
    "dataset.people=40", "dataset.test_people=12", "dataset.pairs=32", "dataset.train_probes=8", "probes.n_test=2",
    "dataset.test_probes=9", "dataset.documents=1500", "probes.schedule.points=2", "samples.examples=2",
    "samples.max_new_tokens=12", "sft.max_steps=4", "stages.extend_exposure.length=1",
    "preference.max_steps=8", "preference.learning_rate=3e-3", "wins.examples=7",
    "preference.snapshots.epochs=[0.5,1,9]", "~stages.extend_exposure", "~stages.dpo_extend_exposure",
)  # fmt: skip


def composed(*overrides: str) -> RunConfig:
    return load_config(composed_settings("train", ["+exp=extend_wins", *overrides]))


@pytest.fixture(scope="module")
def finished(outputs) -> Run:
    """Judged by the facts, and beside it by a judge of our own that likes long answers."""
    own = "wins.judges=[facts,builtins:longest]"
    directories = (f"paths.outputs={outputs}", f"paths.cache={outputs}/cache", "run=wins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.longest", lambda _id, answers, _prompt: [len(one) for one in answers], raising=False)
        return read_run(run(composed(*SMALL, *directories, own)))


def test_arms_compete_at_their_start_their_snapshots_and_their_end(finished):
    wins = finished.tables["wins"]
    assert set(zip(wins["arm"], wins["baseline"], strict=True)) == {("dpo_extend", "dpo")}
    # 32 pairs in batches of 8: half an epoch is 2 steps, one epoch 4, the end 8; nothing comes to 9 epochs
    assert sorted(set(zip(wins["step"], wins["epoch"], strict=True))) == [(0, 0), (2, 0.5), (4, 1), (8, 2)]
    counts = wins.groupby(["judge", "step", "split"]).size()
    assert len(counts) == 2 * 4 * 2
    assert set(counts) == {7}  # drawn from 8 and 9 questions; of the latter two are probed
    assert wins["won"].isin([0.0, 0.5, 1.0]).all()


def test_the_verdicts_are_those_of_the_answers_kept(finished):
    """The judge that likes long answers, by hand, on the answers of `wins_answers.jsonl`."""
    file = f"{finished.path}/wins_answers.jsonl"
    wins = finished.tables["wins"].query("judge != 'facts' and arm == 'dpo_extend'")
    names = {
        0: ("extend", "sft"),
        2: ("dpo_extend@0.5", "dpo@0.5"),
        4: ("dpo_extend@1", "dpo@1"),
        8: ("dpo_extend", "dpo"),
    }
    for step, sides in names.items():
        arm, base = (read_answers(f"{file}:{name}", "greedy").answers for name in sides)
        rows = wins[wins["step"] == step].set_index(["split", "example_id"])
        assert len(rows) == len(arm) == 14
        for (split, example, _), (_, answer) in arm.items():
            lengths = len(answer.text), len(base[split, example, 0][1].text)
            row = rows.loc[(split, example)]
            assert (row["characters_arm"], row["characters_baseline"]) == lengths
            assert row["won"] == (lengths[0] > lengths[1]) + 0.5 * (lengths[0] == lengths[1])
    assert wins["won"].nunique() > 1


def test_the_answers_at_the_end_are_those_of_the_samples(finished):
    """The same weights, read the same way, in another file."""
    kept = [json.loads(line) for line in (finished.path / "wins_answers.jsonl").read_text().splitlines()]
    texts = {(row["stage"], row["example_id"]): row["text"] for row in kept}
    greedy = [row for row in finished.samples if row["mode"] == "greedy"]
    both = [row for row in greedy if (row["stage"], row["example_id"]) in texts]
    assert {row["stage"] for row in both} == {"sft", "dpo", "extend", "dpo_extend"}
    assert all(texts[row["stage"], row["example_id"]] == row["text"] for row in both)


def test_the_claim_the_table_and_the_figure_are_there(finished):
    finding = next(one for one in finished.findings if one.id == "E3")
    test = finished.tables["wins"].query("judge == 'facts' and arm == 'dpo_extend' and split == 'test' and epoch > 0")
    assert finding.estimate == pytest.approx(test.groupby("example_id")["won"].mean().mean())
    assert finding.n == 7
    page = (finished.path / "report.html").read_text(encoding="utf-8")
    assert "E3" in page
    assert "by ChatGPT" in page


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("wins.judges=[api]",), r"judges has api, but there is no endpoint: set wins.api"),
        (("wins.judges=[facts,facts]",), "names one judge twice"),
        (("~stages.dpo_extend", "~stages.dpo_extend_exposure"), r"found 1 preference stages after an SFT \(dpo\)"),
        (("dataset=hh",), "found facts, which knows the microworld only"),
        (("wins.judges=[nowhere:judge]",), r"wins.judges: found 'nowhere:judge' \(ModuleNotFoundError"),
        (("wins.judges=[oracle]",), r"this judge is now called 'facts'"),
        (("wins.judges=[fact]",), r"wins.judges: found 'fact', expected one of facts, reward_model:NAME"),
        (("+stages.dpo.responses={sampled:[rejected],judge:orcale}",), r"stages.dpo.responses.judge: found 'orcale'"),
        (("+stages.dpo.responses={sampled:[rejected],judge:api}",), "which compares two answers"),
        (("trainer.parallel=fsdp",), "found snapshots under parallel=fsdp"),
    ],
)
def test_what_cannot_compete_is_refused_with_the_configuration(overrides, words):
    with pytest.raises(ConfigError, match=words):
        composed(*overrides)


def test_a_judge_that_cannot_be_had_is_missed_before_anything_is_trained(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ApiError, match="OPENAI_API_KEY"):
        check_judges(composed("wins.judges=[facts,api]", "+wins.api.model=some-model"))
    check_judges(composed("wins.judges=[reward_model:not-loaded-yet]"))


def test_the_experiment_judges_at_the_paper_s_epochs_with_both_controls():
    config = composed()
    for stage in ("dpo", "dpo_extend", "dpo_extend_exposure"):
        assert config.stages[stage].trainer.snapshots.epochs == (2, 4, 6)
        assert config.stages[stage].trainer.max_steps == 400
    steps = {name: config.stages[name].trainer.max_steps for name in ("sft", "extend", "extend_exposure")}
    assert steps == {"sft": 480, "extend": 480, "extend_exposure": 960}
    assert config.wins.judges == ("facts",)
