"""What ProbeCallback refuses or reports, and its public signatures."""

import inspect
import json

import pytest
from datasets import Dataset
from transformers import LlamaForSequenceClassification

from ldyn import ProbeCallback, ProbeSet
from ldyn.errors import DataError, ModelError, RunDirectoryError


def test_other_tokens_than_the_trained_are_reported(trainers_of, make_model, tokenizer, probes, tmp_path):
    trainer = trainers_of["dpo"](make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl", max_steps=1)
    other = ProbeSet({"train": [*probes["chat"].examples["train"]], "test": ()}, probes["chat"].train_dataset)
    trainer.add_callback(ProbeCallback(other, tmp_path / "run"))
    with pytest.warns(UserWarning, match=r"5 of 5 train probes have a chosen response that is not trained"):
        trainer.train()


def test_test_questions_that_are_trained_are_refused(trainers_of, rows_of, make_model, tokenizer, probes, tmp_path):
    trainer = trainers_of["dpo"](make_model(), tokenizer, rows_of("text"), tmp_path / "trl")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run"))
    with pytest.raises(DataError, match=r"3 of 3 test questions are in the training data.*train_dataset"):
        trainer.train()
    assert not (tmp_path / "run.partial").exists()


def test_an_error_ends_the_training_or_only_the_probes(
    trainers_of, make_model, tokenizer, probes, tmp_path, monkeypatch
):
    def fail(*args, **options):
        raise RuntimeError("no probes today")

    monkeypatch.setattr("ldyn.run.probing.score_probes", fail)
    trainer = trainers_of["dpo"](make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    trainer.add_callback(callback := ProbeCallback(probes["text"], tmp_path / "run"))
    with pytest.raises(RuntimeError, match="no probes today"):
        trainer.train()
    assert json.loads((tmp_path / "run.partial" / "manifest.json").read_text())["status"] == "failed"
    trainer = trainers_of["dpo"](make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "other", on_error="warn"))
    with pytest.warns(UserWarning, match="training continues without it. RuntimeError: no probes today") as said:
        trainer.train()
    assert trainer.state.global_step == 3
    assert len([one for one in said if "ProbeCallback" in str(one.message)]) == 1
    assert callback._record is None


def test_models_and_trainers_that_cannot_be_probed(trainers_of, make_model, tokenizer, probes, tmp_path):
    many = make_model(LlamaForSequenceClassification, num_labels=3)
    trainer = trainers_of["plain"](many, tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run"))
    with pytest.raises(ModelError, match="LlamaForSequenceClassification, expected a causal language model or a rew"):
        trainer.train()
    bare = trainers_of["plain"](make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    bare.processing_class = bare.callback_handler.processing_class = None
    bare.add_callback(ProbeCallback(probes["text"], tmp_path / "run"))
    with pytest.raises(DataError, match="no tokenizer; pass processing_class=tokenizer"):
        bare.train()


def test_a_directory_with_another_run(trainers_of, watched, make_model, tokenizer, probes, tmp_path):
    finished = watched("dpo")[1].path
    trainer = trainers_of["dpo"](make_model(), tokenizer, probes["text"].train_dataset, tmp_path)
    trainer.add_callback(ProbeCallback(probes["text"], finished))
    with pytest.raises(RunDirectoryError, match="holds a finished run"):
        trainer.train()


def test_settings_and_data_that_cannot_be(rows_of, probes, tmp_path):
    for every in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="every: found"):
            ProbeCallback(probes["text"], tmp_path, every=every)
    with pytest.raises(ValueError, match="on_error: found 'ignore'"):
        ProbeCallback(probes["text"], tmp_path, on_error="ignore")
    with pytest.raises(DataError, match=r"Found the columns question, answer; expected prompt, chosen and rejected"):
        ProbeSet.from_pairs(Dataset.from_list([{"question": "a", "answer": "b"}]))
    with pytest.raises(DataError, match="n_test: found 12 for 12 different questions"):
        ProbeSet.from_pairs(rows_of("text"), n_test=12)


def test_from_path_has_the_pairs_to_train_on(rows_of, tmp_path):
    rows_of("text").to_json(tmp_path / "pairs.jsonl")
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
