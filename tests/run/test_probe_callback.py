"""ProbeCallback in trainers of TRL and transformers: the same weights, the tokens that are trained, a run to read."""

import copy
import inspect
import json
import random

import pandas as pd
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    SFTConfig,
    SFTTrainer,
)

from ldyn import ProbeCallback, ProbeSet
from ldyn.cli.main import main
from ldyn.errors import DataError, ModelError, RunDirectoryError
from ldyn.store import read_run

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTROL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
COMMON = {"use_cpu": True, "bf16": False, "report_to": "none", "logging_steps": 1, "learning_rate": 1e-3, "seed": 0}
COMMON |= {"disable_tqdm": True, "save_strategy": "no", "per_device_train_batch_size": 2, "max_steps": 3}


@pytest.fixture(scope="module")
def tokenizer():
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = ["what is the answer to question ", "it is ", "no, not at all "] * 20
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=320, special_tokens=CONTROL, initial_alphabet=alphabet, show_progress=False),
    )
    made = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>")
    made.chat_template = TEMPLATE
    return made


@pytest.fixture(scope="module")
def make_model(tokenizer):
    def make(kind=LlamaForCausalLM, **more):
        torch.manual_seed(0)
        shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
        return kind(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=256, **shape, **ids, **more))

    return make


def rows(kind):
    texts = [(f"What is {n} + {n}?", f"It is {2 * n}.", f"No, {n}, not at all.") for n in range(12)]
    if kind == "text":
        return Dataset.from_list(
            [{"prompt": f"Q: {q}\nA:", "chosen": f" {c}", "rejected": f" {r}"} for q, c, r in texts]
        )
    user, answer = ([{"role": role, "content": None}] for role in ("user", "assistant"))
    chat = [[[{**user[0], "content": q}]] + [[{**answer[0], "content": text}] for text in (c, r)] for q, c, r in texts]
    if kind == "implicit":
        return Dataset.from_list([{"chosen": q + c, "rejected": q + r} for q, c, r in chat])
    return Dataset.from_list([dict(zip(("prompt", "chosen", "rejected"), row, strict=True)) for row in chat])


@pytest.fixture(scope="module")
def probes():
    return {kind: ProbeSet.from_pairs(rows(kind), n_train=5, n_test=3) for kind in ("text", "chat", "implicit")}


def dpo(model, tokenizer, dataset, directory, **settings):
    config = DPOConfig(output_dir=str(directory), **COMMON | settings)
    reference = None if hasattr(model, "peft_config") else copy.deepcopy(model)
    return DPOTrainer(model, reference, args=config, train_dataset=dataset, processing_class=tokenizer)


def sft(model, tokenizer, dataset, directory, **settings):
    pairs = dataset.remove_columns("rejected").rename_column("chosen", "completion")
    config = SFTConfig(output_dir=str(directory), **COMMON | settings)
    return SFTTrainer(model, args=config, train_dataset=pairs, processing_class=tokenizer)


def kto(model, tokenizer, dataset, directory):
    config = KTOConfig(output_dir=str(directory), **COMMON)
    return KTOTrainer(model, copy.deepcopy(model), args=config, train_dataset=dataset, processing_class=tokenizer)


def grpo(model, tokenizer, dataset, directory):
    config = GRPOConfig(output_dir=str(directory), num_generations=2, max_completion_length=4, **COMMON)
    reward = lambda completions, **_: [random.random() for _ in completions]  # noqa: E731
    return GRPOTrainer(model, reward, args=config, train_dataset=dataset, processing_class=tokenizer)


def plain(model, tokenizer, dataset, directory):
    """transformers' own Trainer, on rows that a script has tokenised."""

    def encode(row):
        prompt = tokenizer(row["prompt"])["input_ids"]
        ids = tokenizer(row["prompt"] + row["chosen"] + tokenizer.eos_token)["input_ids"]
        return {"input_ids": ids, "labels": [-100] * len(prompt) + ids[len(prompt) :]}

    def collate(batch):
        width = max(len(row["input_ids"]) for row in batch)
        padded = {key: [row[key] + [fill] * (width - len(row[key])) for row in batch] for key, fill in FILL.items()}
        return {key: torch.tensor(values) for key, values in padded.items()}

    encoded = dataset.map(encode, remove_columns=dataset.column_names)
    args = TrainingArguments(output_dir=str(directory), **COMMON)
    return Trainer(model, args, train_dataset=encoded, processing_class=tokenizer, data_collator=collate)


FILL = {"input_ids": 0, "labels": -100}
TRAINERS = {"dpo": dpo, "sft": sft, "kto": kto, "grpo": grpo, "plain": plain}


def weights(model):
    return torch.cat([weight.detach().flatten() for _, weight in sorted(model.named_parameters())])


@pytest.fixture(scope="module")
def watched(make_model, tokenizer, probes, tmp_path_factory):
    """``watched(name)``: weights, trainer and run after three updates with the callback."""
    done = {}

    def train(name, kind="text"):
        if (name, kind) not in done:
            directory = tmp_path_factory.mktemp(name)
            trainer = TRAINERS[name](make_model(), tokenizer, probes[kind].train_dataset, directory / "trl")
            trainer.add_callback(ProbeCallback(probes[kind], directory / "run", every=2))
            trainer.train()
            done[name, kind] = trainer, read_run(directory / "run")
        return done[name, kind]

    return train


SLOW = {"kto", "grpo"}  # their trainers take seconds to make


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in TRAINERS]
)
def test_a_run_like_any_other_and_the_same_weights(name, watched, make_model, tokenizer, probes, tmp_path):
    trainer, run = watched(name)
    assert sorted(run.trajectories["step"].unique()) == [0, 2, 3]
    assert run.manifest["status"] == "finished"
    assert (run.path / "report.html").exists()
    assert set(run.train_log["step"]) == {1, 2, 3}
    assert {"train", "test"} == set(run.trajectories["split"])
    assert main(["report", str(run.path)]) == 0
    alone = TRAINERS[name](make_model(), tokenizer, probes["text"].train_dataset, tmp_path)
    alone.train()
    assert torch.equal(weights(alone.model), weights(trainer.model))
    assert name != "grpo" or run.findings == []  # no claim is about it


def test_findings_fit_the_algorithm(watched):
    def ids(name):
        return {finding.id[0] for finding in watched(name)[1].findings}

    assert "D" in ids("dpo")
    assert "D" not in ids("sft")


@pytest.mark.parametrize(("name", "kind"), [("dpo", "chat"), ("dpo", "text"), ("sft", "chat"), ("sft", "text")])
def test_the_probes_have_the_tokens_that_the_collator_yields(name, kind, make_model, tokenizer, probes, tmp_path):
    trainer = TRAINERS[name](make_model(), tokenizer, probes[kind].train_dataset, tmp_path)
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


def test_other_tokens_than_the_trained_are_reported(make_model, tokenizer, probes, tmp_path):
    trainer = dpo(make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl", max_steps=1)
    other = ProbeSet({"train": [*probes["chat"].examples["train"]], "test": ()}, probes["chat"].train_dataset)
    trainer.add_callback(ProbeCallback(other, tmp_path / "run"))
    with pytest.warns(UserWarning, match=r"5 of 5 train probes have a chosen response that is not trained"):
        trainer.train()


def test_test_questions_that_are_trained_are_refused(make_model, tokenizer, probes, tmp_path):
    trainer = dpo(make_model(), tokenizer, rows("text"), tmp_path / "trl")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run"))
    with pytest.raises(DataError, match=r"3 of 3 test questions are in the training data.*train_dataset"):
        trainer.train()
    assert not (tmp_path / "run.partial").exists()


@pytest.mark.slow  # six trainings
@pytest.mark.parametrize("way", ["lora", "accumulation", "bf16"])
def test_ways_of_training(way, make_model, tokenizer, probes, tmp_path):
    from peft import LoraConfig, get_peft_model

    settings = {"accumulation": {"gradient_accumulation_steps": 2}, "bf16": {"bf16": True}}.get(way, {})
    ended = []
    for name in ("with", "without"):
        model = make_model()
        if way == "lora":
            torch.manual_seed(0)
            model = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.1))
        trainer = dpo(model, tokenizer, probes["text"].train_dataset, tmp_path / "trl", **settings)
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


def test_a_killed_training_resumes_to_the_same_trajectories(make_model, tokenizer, probes, tmp_path):
    class Killed(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyboardInterrupt

    def trainer(where, *callbacks):
        made = dpo(
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


def test_a_training_that_stops_early_has_its_last_weights_scored(make_model, tokenizer, probes, tmp_path):
    trainer = dpo(make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run"))
    trainer.add_callback(Stop())
    trainer.train()
    assert sorted(read_run(tmp_path / "run").trajectories["step"].unique()) == [0, 2]


def test_an_error_ends_the_training_or_only_the_probes(make_model, tokenizer, probes, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no probes today")

    monkeypatch.setattr("ldyn.run.probing.score_probes", fail)
    trainer = dpo(make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    trainer.add_callback(callback := ProbeCallback(probes["text"], tmp_path / "run"))
    with pytest.raises(RuntimeError, match="no probes today"):
        trainer.train()
    assert json.loads((tmp_path / "run.partial" / "manifest.json").read_text())["status"] == "failed"
    trainer = dpo(make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "other", on_error="warn"))
    with pytest.warns(UserWarning, match="training continues without it. RuntimeError: no probes today") as said:
        trainer.train()
    assert trainer.state.global_step == 3
    assert len([one for one in said if "ProbeCallback" in str(one.message)]) == 1
    assert callback._record is None


def test_a_reward_model_has_rewards_in_place_of_log_probs(make_model, tokenizer, probes, tmp_path):
    ended = []
    for watched in (True, False):
        model = make_model(LlamaForSequenceClassification, num_labels=1)
        config = RewardConfig(output_dir=str(tmp_path / "trl"), **COMMON)
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


def test_models_and_trainers_that_cannot_be_probed(make_model, tokenizer, probes, tmp_path):
    many = make_model(LlamaForSequenceClassification, num_labels=3)
    trainer = plain(many, tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run"))
    with pytest.raises(ModelError, match="LlamaForSequenceClassification, expected a causal language model or a rew"):
        trainer.train()
    bare = plain(make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    bare.processing_class = bare.callback_handler.processing_class = None
    bare.add_callback(ProbeCallback(probes["text"], tmp_path / "run"))
    with pytest.raises(DataError, match="no tokenizer; pass processing_class=tokenizer"):
        bare.train()


def test_curves_go_where_the_trainer_reports_to(make_model, tokenizer, probes, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    trainer = sft(make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl", report_to="tensorboard")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run", every=2))
    trainer.train()
    steps = {}
    for file in (tmp_path / "events").iterdir():
        events = EventAccumulator(str(file))
        events.Reload()
        steps |= {name: [point.step for point in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert steps["sft/logp/chosen"] == [0, 2, 3]
    assert steps["train/loss"] == [1, 2, 3]


def test_a_directory_with_another_run(watched, make_model, tokenizer, probes, tmp_path):
    finished = watched("dpo")[1].path
    trainer = dpo(make_model(), tokenizer, probes["text"].train_dataset, tmp_path)
    trainer.add_callback(ProbeCallback(probes["text"], finished))
    with pytest.raises(RunDirectoryError, match="holds a finished run"):
        trainer.train()


def test_settings_and_data_that_cannot_be(probes, tmp_path):
    for every in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="every: found"):
            ProbeCallback(probes["text"], tmp_path, every=every)
    with pytest.raises(ValueError, match="on_error: found 'ignore'"):
        ProbeCallback(probes["text"], tmp_path, on_error="ignore")
    with pytest.raises(DataError, match=r"Found the columns question, answer; expected prompt, chosen and rejected"):
        ProbeSet.from_pairs(Dataset.from_list([{"question": "a", "answer": "b"}]))
    with pytest.raises(DataError, match="n_test: found 12 for 12 different questions"):
        ProbeSet.from_pairs(rows("text"), n_test=12)


def test_from_path_has_the_pairs_to_train_on(tmp_path):
    rows("text").to_json(tmp_path / "pairs.jsonl")
    probes = ProbeSet.from_path(tmp_path / "pairs.jsonl", n_train=4, n_test=1)
    assert [len(probes.examples[split]) for split in ("train", "test")] == [4, 1]
    prompts = set(probes.train_dataset["prompt"])
    assert all(one.prompt in prompts for one in probes.examples["train"])
    assert not any(one.prompt in prompts for one in probes.examples["test"])


def test_the_public_signatures():
    def signature(made):
        return str(inspect.signature(made)).replace("'", "").replace('"', "")

    choice = "on_error: Literal[raise, warn] = raise"
    assert signature(ProbeCallback) == f"(probes: ProbeSet, directory: str | Path, *, every: int = 50, {choice})"
    options = "n_train: int = 100, n_test: int = 50, families: Families = all, seed: int = 0"
    assert signature(ProbeSet.from_pairs) == f"(dataset: Any, *, {options}) -> ProbeSet"
    assert signature(ProbeSet.from_path) == f"(path: str | Path, *, {options}) -> ProbeSet"
