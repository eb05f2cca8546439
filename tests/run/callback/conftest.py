"""Tiny models, data in TRL's formats, and trainers of TRL and transformers on them."""

import copy
import random

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer, TrainingArguments
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)

from ldyn import ProbeCallback, ProbeSet
from ldyn.store import read_run

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTROL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
COMMON = {"use_cpu": True, "bf16": False, "report_to": "none", "logging_steps": 1, "learning_rate": 1e-3, "seed": 0}
COMMON |= {"disable_tqdm": True, "save_strategy": "no", "per_device_train_batch_size": 2, "max_steps": 3}


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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


def rloo(model, tokenizer, dataset, directory):
    config = RLOOConfig(output_dir=str(directory), num_generations=2, max_completion_length=4, beta=0.0, **COMMON)
    reward = lambda completions, **_: [random.random() for _ in completions]  # noqa: E731
    return RLOOTrainer(model, reward, args=config, train_dataset=dataset, processing_class=tokenizer)


def cpo(model, tokenizer, dataset, directory):
    from trl.experimental.cpo import CPOConfig, CPOTrainer  # warns that it may change

    config = CPOConfig(output_dir=str(directory), max_length=128, **COMMON)
    return CPOTrainer(model, args=config, train_dataset=dataset, processing_class=tokenizer)


def orpo(model, tokenizer, dataset, directory):
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    config = ORPOConfig(output_dir=str(directory), max_length=128, **COMMON)
    return ORPOTrainer(model, args=config, train_dataset=dataset, processing_class=tokenizer)


def online_dpo(model, tokenizer, dataset, directory):
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    config = OnlineDPOConfig(output_dir=str(directory), max_new_tokens=4, max_length=128, **COMMON)
    reward = lambda completions, **_: [random.random() for _ in completions]  # noqa: E731
    dataset = dataset.select_columns(["prompt"])
    options = {"reward_funcs": reward, "train_dataset": dataset, "processing_class": tokenizer}
    return OnlineDPOTrainer(model, copy.deepcopy(model), args=config, **options)


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
TRAINERS |= {"rloo": rloo, "cpo": cpo, "orpo": orpo, "online_dpo": online_dpo}


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def trainers_of():
    return TRAINERS


@pytest.fixture(scope="session")
def common():
    """Arguments of every trainer here."""
    return COMMON


@pytest.fixture(scope="session")
def rows_of():
    return rows
