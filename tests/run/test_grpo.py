"""A run with a GRPO stage: both of its tables, the stage's description, and faults of its settings."""

import math

import pytest

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.config.loading import load_config
from ldyn.errors import ConfigError, TrainingError
from ldyn.run.passes import COLUMNS as PASSES
from ldyn.run.rollouts import COLUMNS as ROLLOUTS
from ldyn.run.run import run
from ldyn.store import read_run

GRPO = ("algorithm=grpo", "algorithm.num_generations=4", "algorithm.max_new_tokens=8", "grpo.batch_size=2")
SHORT = ("trainer.max_steps=2", "samples.examples=0", "passes={samples: 3, max_new_tokens: 6}")
MODULE = """
def even(completion_ids, **columns): return [1.0 - ids[0] % 2 for ids in completion_ids]
def fails(prompts, **columns): return [0.0] * (len(prompts) - 1)
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "even_reward.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_run_has_both_tables(smoke):
    config = smoke("grpo", *GRPO, *SHORT, "algorithm.reward=even_reward:even")
    found = read_run(run(config))
    stage = found.stages[-1]
    assert (stage.algorithm, stage.kind, stage.view) == ("grpo", "groupwise", ())
    rollouts, passes = found.tables["rollouts"], found.tables["passes"]
    assert (tuple(rollouts.columns), tuple(passes.columns)) == (ROLLOUTS, PASSES)
    assert rollouts.groupby(["stage", "step"]).size().to_dict() == {("dpo", 0): 8, ("dpo", 1): 8}
    of_group = rollouts.groupby(["step", "example_id"])["reward"].transform("mean")
    assert (rollouts["correct"] == (rollouts["reward"] > of_group)).all()
    assert (rollouts["reward"].between(0, 1) & rollouts["n_tokens"].between(1, 8)).all()
    steps = passes.groupby("stage")["step"].unique().map(list).to_dict()
    assert steps == {stage: sorted({*group["step"]}) for stage, group in found.trajectories.groupby("stage")}
    questions = found.trajectories.groupby("split")["example_id"].nunique().sum()
    assert (passes.groupby(["stage", "step"]).size() == questions).all()
    assert (passes["samples"] == 3).all()
    ends = passes[passes["stage"].eq("sft") & passes["step"].eq(2)], passes.query("stage == 'dpo' and step == 0")
    assert ends[0].iloc[:, 2:].reset_index(drop=True).equals(ends[1].iloc[:, 2:].reset_index(drop=True))
    assert passes["entropy"].between(0, math.log(config.model.vocab_size)).all()
    assert "reward" in found.train_log


def test_a_bad_reward_is_found_before_the_first_stage(smoke):
    config = smoke("bad_reward", *GRPO, *SHORT, "algorithm.reward=even_reward:fails")
    with pytest.raises(TrainingError, match="even_reward:fails returned 1 numbers for 2 answers"):
        run(config)
    assert not config.paths.run.with_suffix(".partial").joinpath("parts").exists()


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["algorithm.reward=no_module:f"], "stages.dpo.algorithm.reward: found 'no_module:f' (ModuleNotFoundError"),
        (["algorithm.advantages=positiv"], "stages.dpo.algorithm.advantages: found 'positiv'; did you mean positive?"),
        (["algorithm.loss_type=3"], "stages.dpo.algorithm.loss_type: found 3, expected a name, such as grpo"),
        (["algorithm.num_generations=2.5"], "stages.dpo.algorithm.num_generations: found 2.5, expected a whole number"),
        (["algorithm.max_new_tokens=500"], "model.max_positions: found 256, expected at least 532"),
        (["+stages.dpo.responses={sampled: [rejected]}"], "stages.dpo.responses: found sampled answers, expected none"),
        (["trainer.parallel=fsdp"], "grpo samples from whole weights"),
        (["decompose=default"], "decompose: found it with dpo, expected null"),
        (["dataset=files_tiny"], "stages.dpo.algorithm.reward: found facts, which knows the microworld only"),
        (["dataset=files_tiny", "passes={samples: 8}"], "passes: found"),
    ],
)
def test_faults_of_settings(overrides, fault):
    settings = composed_settings("train", ["+exp=dpo_squeeze", "algorithm=grpo", "logger=none", *overrides])
    with pytest.raises(ConfigError) as caught:
        load_config(settings)
    assert any(fault in found for found in caught.value.faults), caught.value


def test_a_stage_of_responses_needs_a_view():
    settings = composed_settings("train", ["+exp=dpo_squeeze", "stages.sft.view=[]"])
    with pytest.raises(ConfigError, match=r"stages.sft.view: found no responses, expected \[chosen\]"):
        load_config(settings)


def test_the_experiment_has_its_arms_in_order():
    stages = load_config(composed_settings("train", ["+exp=grpo", "logger=none"])).stages
    rounds = [f"{name}_{number}" for name in ("dpo", "on_policy") for number in range(1, 5)]
    assert list(stages) == ["sft", "grpo", "grpo_positive", "grpo_negative", "grpo_nthr", *rounds]
    samples = {name: stage.trainer.max_steps * stage.trainer.batch_size * 8 for name, stage in stages.items()}
    assert samples["grpo"] == samples["grpo_nthr"] == 4 * 160 * 4
