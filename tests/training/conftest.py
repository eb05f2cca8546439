"""A tiny GPT-NeoX with a word-like tokenizer and a few encoded pairs, all in memory."""

import random

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast, TrainerCallback

from ldyn.algorithms import ALGORITHMS, algorithm_parameters
from ldyn.processes.signals import StopRequest
from ldyn.records import EncodedPair, StageInfo
from ldyn.training.plan import StagePlan
from ldyn.training.settings import TrainerConfig
from ldyn.training.stage import train_stage

VOCABULARY = 40


@pytest.fixture(scope="session")
def tokenizer():
    words = {"<eos>": 0, "<pad>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<pad>")


@pytest.fixture(scope="session")
def make_model():
    def make(seed: int = 0) -> GPTNeoXForCausalLM:
        torch.manual_seed(seed)
        config = GPTNeoXConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            eos_token_id=0,
            pad_token_id=1,
        )
        return GPTNeoXForCausalLM(config)

    return make


@pytest.fixture(scope="session")
def pairs():
    rng = random.Random(0)

    def tokens(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randrange(2, VOCABULARY) for _ in range(rng.randint(low, high)))

    return [EncodedPair(f"pair{i}", tokens(3, 8), (*tokens(2, 7), 0), (*tokens(2, 7), 0)) for i in range(13)]


@pytest.fixture(scope="session")
def plan_for():
    """``plan_for(algorithm, view, **settings)``: a stage of nine updates of four examples, from the base."""

    def plan(name: str, view: tuple[str, ...] = ("chosen",), **settings) -> StagePlan:
        algorithm, defaults = ALGORITHMS[name], {"learning_rate": 1e-3, "batch_size": 4, "checkpoint_every": 4}
        view = view if algorithm.kind == "pointwise" else ("chosen", "rejected")
        length = {} if "epochs" in settings else {"max_steps": 9}
        info = StageInfo(name, name, algorithm.kind, view, "base")
        config = TrainerConfig(**defaults | length | settings)
        return StagePlan(info, algorithm, algorithm_parameters({"name": name}), config)

    return plan


class Watch(TrainerCallback):
    """Calls ``probe(model, step)`` before the first update and after each; keeps the rows of the log."""

    def __init__(self, probe):
        self.probe, self.rows = probe, []

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step == 0:
            self.probe(model, 0)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.probe(model, state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.rows.append((state.global_step, dict(logs)))


@pytest.fixture(scope="session")
def train(tokenizer, pairs):
    """``train(plan, model, directory)`` -> (losses, directory of the final weights)."""

    def trained(plan, model, directory, *, probe=lambda model, step: None, stop=None, seed=0, only=None):
        watch = Watch(probe)
        final = train_stage(
            plan,
            model,
            tokenizer,
            only or pairs,
            directory=directory,
            seed=seed,
            stop=stop or StopRequest(),
            callbacks=[watch],
        )
        return [row["loss"] for _, row in watch.rows], final

    return trained
