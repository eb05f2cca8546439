"""A trained experiment in miniature: two stages with snapshots at every step, on a two-layer model in memory."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from ldyn.algorithms import ALGORITHMS
from ldyn.models.base import BaseModel
from ldyn.probes.schedule import ScheduleConfig
from ldyn.processes.signals import StopRequest
from ldyn.records import EncodedPair, EncodedProbeExample, StageInfo
from ldyn.theory.updates import Experiment
from ldyn.training.checkpoints import start_weights
from ldyn.training.plan import StagePlan
from ldyn.training.settings import TrainerConfig
from ldyn.training.stage import train_stage

VOCABULARY = 40
SEED = 3


def make_plan(name: str, algorithm: str, start: str, **settings) -> StagePlan:
    """Four updates of four of thirteen pairs."""
    one = ALGORITHMS[algorithm]
    view = ("chosen", "rejected") if one.kind == "pairwise" else ("chosen",)
    parameters = {key: parameter.default for key, parameter in one.parameters.items()}
    defaults = {"max_steps": 4, "batch_size": 4, "learning_rate": 1e-3, "snapshots": ScheduleConfig(every=1)}
    return StagePlan(
        StageInfo(name, algorithm, one.kind, view, start), one, parameters, TrainerConfig(**defaults | settings)
    )


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    words = {"<eos>": 0, "<pad>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<pad>")


@pytest.fixture(scope="session")
def pairs() -> list[EncodedPair]:
    rng = random.Random(0)

    def tokens(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randrange(2, VOCABULARY) for _ in range(rng.randint(low, high)))

    return [EncodedPair(f"pair{i}", tokens(3, 8), (*tokens(2, 7), 0), (*tokens(2, 7), 0)) for i in range(13)]


@pytest.fixture(scope="session")
def probes(pairs) -> list[EncodedProbeExample]:
    """Of every pair y⁺, y⁻ and the y⁺ of the next pair; and one unseen question."""
    examples = [
        EncodedProbeExample(
            "train", pair.pair_id, pair.prompt_ids,
            {"chosen": pair.chosen_ids, "rejected": pair.rejected_ids, "irr_train": other.chosen_ids},
        )
        for pair, other in zip(pairs, pairs[1:] + pairs[:1], strict=True)
    ]  # fmt: skip
    return [*examples, EncodedProbeExample("test", "unseen", (5, 6), {"chosen": (7, 0)})]


@pytest.fixture(scope="session")
def base(tokenizer) -> BaseModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        model = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=VOCABULARY, max_position_embeddings=64, **shape))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(4)  # predictions that differ between positions, as a trained model's do
    return BaseModel(model.eval(), tokenizer, "fingerprint")


@pytest.fixture(scope="session")
def experiment(base, pairs, probes, tmp_path_factory) -> Experiment:
    """SFT and then DPO, trained, with AdamW at its defaults."""
    root: Path = tmp_path_factory.mktemp("experiment")
    plans = [make_plan("sft", "sft", "base"), make_plan("dpo", "dpo", "sft")]
    for plan in plans:
        with StopRequest() as stop:
            train_stage(
                plan, start_weights(plan.info.start, base, root.joinpath), base.tokenizer, pairs,
                directory=root / plan.info.name, seed=SEED, stop=stop,
            )  # fmt: skip
    return Experiment(plans, base, lambda _: pairs, probes, root.joinpath, SEED)


@pytest.fixture
def untrained(base, pairs, probes, tmp_path):
    """``untrained(plan)``: an experiment of one stage that has not begun."""
    return lambda plan: Experiment([plan], base, lambda _: pairs, probes, tmp_path.joinpath, SEED)


@pytest.fixture(scope="session")
def plan_of():
    return make_plan
