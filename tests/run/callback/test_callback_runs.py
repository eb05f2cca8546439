"""ProbeCallback in trainers of TRL and transformers: the same weights, the tokens that are trained, a run to read."""

import pandas as pd
import pytest
import torch
from transformers import LlamaForSequenceClassification, TrainerCallback
from trl import RewardConfig, RewardTrainer

from ldyn import ProbeCallback
from ldyn.cli.main import main
from ldyn.errors import RunDirectoryError
from ldyn.store import read_run


def weights(model):
    return torch.cat([weight.detach().flatten() for _, weight in sorted(model.named_parameters())])


NAMES = ("dpo", "sft", "kto", "grpo", "plain", "rloo", "cpo", "orpo", "online_dpo")
SLOW = {"kto", "grpo", "rloo", "cpo", "orpo", "online_dpo"}  # their trainers take seconds to make
ONLINE = {"grpo", "rloo", "online_dpo"}  # no claim is about them


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in NAMES]
)
def test_a_run_like_any_other_and_the_same_weights(trainers_of, name, watched, make_model, tokenizer, probes, tmp_path):
    trainer, run = watched(name)
    assert sorted(run.trajectories["step"].unique()) == [0, 2, 3]
    assert run.manifest["status"] == "finished"
    assert (run.path / "report.html").exists()
    assert set(run.train_log["step"]) == {1, 2, 3}
    assert {"train", "test"} == set(run.trajectories["split"])
    assert main(["report", str(run.path)]) == 0
    alone = trainers_of[name](make_model(), tokenizer, probes["text"].train_dataset, tmp_path)
    alone.train()
    assert torch.equal(weights(alone.model), weights(trainer.model))
    assert (run.findings == []) == (name in ONLINE)


def test_findings_fit_the_algorithm(watched):
    def ids(name):
        return {finding.id[0] for finding in watched(name)[1].findings}

    assert "D" in ids("dpo")
    assert "D" not in ids("sft")


@pytest.mark.parametrize(("name", "kind"), [("dpo", "chat"), ("dpo", "text"), ("sft", "chat"), ("sft", "text")])
def test_the_probes_have_the_tokens_that_the_collator_yields(
    trainers_of, name, kind, make_model, tokenizer, probes, tmp_path
):
    trainer = trainers_of[name](make_model(), tokenizer, probes[kind].train_dataset, tmp_path)
    trained = set()
    for row in trainer.train_dataset:
        batch = trainer.data_collator([row])
        mask = batch["completion_mask"][0].bool() if "completion_mask" in batch else batch["labels"][0] != -100
        ids = batch["input_ids"][0]
        trained.add((tuple(ids[~mask & (ids != tokenizer.pad_token_id)].tolist()), tuple(ids[mask].tolist())))
    encoded, dropped = probes[kind].encoded(tokenizer, together=name == "dpo", max_length=1024)
    assert not dropped
    chosen = [(one.prompt_ids, one.responses["chosen"]) for one in encoded if one.split == "train"]
    assert len(chosen) == 5
    assert all(pair in trained for pair in chosen)


def test_an_implicit_prompt_is_that_of_an_explicit_one(probes):
    for split, members in probes["chat"].examples.items():
        assert members == probes["implicit"].examples[split]


@pytest.mark.slow  # six trainings
@pytest.mark.parametrize("way", ["lora", "accumulation", "bf16"])
def test_ways_of_training(trainers_of, way, make_model, tokenizer, probes, tmp_path):
    from peft import LoraConfig, get_peft_model

    settings = {"accumulation": {"gradient_accumulation_steps": 2}, "bf16": {"bf16": True}}.get(way, {})
    ended = []
    for name in ("with", "without"):
        model = make_model()
        if way == "lora":
            torch.manual_seed(0)
            model = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.1))
        trainer = trainers_of["dpo"](model, tokenizer, probes["text"].train_dataset, tmp_path / "trl", **settings)
        if name == "with":
            trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run", every=1))
        trainer.train()
        ended.append(weights(trainer.model))
    assert torch.equal(*ended)
    run = read_run(tmp_path / "run")
    moved = (
        run.trajectories.query("step == 3")["logp"].to_numpy() - run.trajectories.query("step == 0")["logp"].to_numpy()
    )
    assert abs(moved).max() > 0


class Stop(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == 2


def test_a_killed_training_resumes_to_the_same_trajectories(trainers_of, make_model, tokenizer, probes, tmp_path):
    class Killed(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyboardInterrupt

    def trainer(where, *callbacks):
        made = trainers_of["dpo"](
            make_model(), tokenizer, probes["text"].train_dataset, tmp_path / f"trl-{where}", max_steps=5,
            save_strategy="steps", save_steps=2,
        )  # fmt: skip
        for callback in (ProbeCallback(probes["text"], tmp_path / where, every=1), *callbacks):
            made.add_callback(callback)
        return made

    trainer("whole").train()
    cut = trainer("cut", Killed())
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    cut.callback_handler.callbacks[-2]._close(KeyboardInterrupt())  # as when the process ends
    assert read_run(tmp_path / "cut.partial").manifest["status"] == "interrupted"
    with pytest.raises(RunDirectoryError, match="holds what an earlier training measured"):
        trainer("cut").train()
    trainer("cut").train(resume_from_checkpoint=True)
    whole, again = read_run(tmp_path / "whole"), read_run(tmp_path / "cut")
    pd.testing.assert_frame_equal(whole.trajectories, again.trajectories)
    assert list(again.train_log["step"]) == [1, 2, 3, 4, 5]
    assert main(["import-logs", str(tmp_path / "trl-whole"), "--beta", "0.1", "--out", str(tmp_path / "logged")]) == 0
    logged = read_run(tmp_path / "logged").tables["batch_means"]
    assert set(logged["step"]) == {1, 2, 3, 4, 5}
    assert {"logps/chosen", "rewards/margins", "entropy", "change/chosen"} <= set(logged["metric"])


def test_a_training_that_stops_early_has_its_last_weights_scored(
    trainers_of, make_model, tokenizer, probes, tmp_path, capsys
):
    trainer = trainers_of["dpo"](make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run"))
    trainer.add_callback(Stop())
    trainer.train()
    assert sorted(read_run(tmp_path / "run").trajectories["step"].unique()) == [0, 2]
    assert f"ProbeCallback: the run is {tmp_path / 'run'}, its page report.html" in capsys.readouterr().err


def test_a_reward_model_has_rewards_in_place_of_log_probs(common, make_model, tokenizer, probes, tmp_path):
    ended = []
    for watched in (True, False):
        model = make_model(LlamaForSequenceClassification, num_labels=1)
        config = RewardConfig(output_dir=str(tmp_path / "trl"), **common)
        dataset = probes["text"].train_dataset
        trainer = RewardTrainer(model, args=config, train_dataset=dataset, processing_class=tokenizer)
        if watched:
            trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run", every=2))
        trainer.train()
        ended.append(weights(trainer.model))
    assert torch.equal(*ended)
    run = read_run(tmp_path / "run")
    last = run.tables["rewards"].query("step == 3 and split == 'train' and probe == 'chosen'").iloc[0]
    [example] = [one for one in probes["text"].examples["train"] if one.example_id == last["example_id"]]
    ids = tokenizer(example.prompt + example.responses["chosen"] + tokenizer.eos_token, return_tensors="pt")
    assert last["reward"] == pytest.approx(model.eval()(input_ids=ids["input_ids"]).logits.item(), rel=1e-4)
    assert sorted(run.tables["rewards"]["step"].unique()) == [0, 2, 3]
    assert (run.path / "figures" / "rewards.png").exists()
    assert run.findings == []


def test_curves_go_where_the_trainer_reports_to(trainers_of, make_model, tokenizer, probes, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    trainer = trainers_of["sft"](
        make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl", report_to="tensorboard"
    )
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run", every=2))
    trainer.train()
    steps = {}
    for file in (tmp_path / "events").iterdir():
        events = EventAccumulator(str(file))
        events.Reload()
        steps |= {name: [point.step for point in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert steps["sft/logp/chosen"] == [0, 2, 3]
    assert steps["train/loss"] == [1, 2, 3]
