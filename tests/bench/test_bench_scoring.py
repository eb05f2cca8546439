"""All methods score the same thing, and the figures of `ldyn bench probes` follow from what was measured."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, PreTrainedModel

from ldyn.bench.probes import METHODS, load, needed_operations, published_statistics, summarise
from ldyn.bench.settings import BenchConfig
from ldyn.cli.bench import load_bench_config
from ldyn.cli.hydra_jobs import composed_settings
from ldyn.errors import DataError
from ldyn.records import EncodedProbeExample

VOCABULARY = 61
SMALL = {"vocab_size": VOCABULARY, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}
SMALL_MODEL = [
    "model.random_init=true",
    *(f"model.architecture.{name}={n}" for name, n in (("hidden_size", 16), ("intermediate_size", 16))),
    *(f"model.architecture.num_{name}={n}" for name, n in (("hidden_layers", 1), ("attention_heads", 2))),
]


def make_model(config: Any) -> PreTrainedModel:
    """With random weights, sharpened so that predictions differ between positions."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6)
    return model


@pytest.fixture
def model() -> PreTrainedModel:
    return make_model(GPTNeoXConfig(**SMALL, intermediate_size=48, max_position_embeddings=64))


def example(number: int, n_prompt: int, lengths: list[int]) -> EncodedProbeExample:
    rng = random.Random(number)
    responses = {f"probe{k}": tuple(rng.choices(range(VOCABULARY), k=n)) for k, n in enumerate(lengths)}
    return EncodedProbeExample("train", f"id{number}", tuple(rng.choices(range(VOCABULARY), k=n_prompt)), responses)


EXAMPLES = [example(0, 5, [3, 9, 1, 20, 7]), example(1, 1, [1]), example(2, 17, [12, 11, 13, 40, 2, 2, 2])]


@pytest.fixture
def probe_directory(tmp_path: Path) -> Path:
    """Probe files as the paper's, of a few short rows."""
    for split, first in (("train", 0), ("test", 6)):
        rows = [
            {
                "prompt": f"Human: What does number {number} like?\n\nAssistant:",
                "chosen": f" Number {number} likes tea with milk.",
                "rejected": f" I do not know, ask number {number + 1}.",
                "chosen_selfr": "@@@ Original sentence",
            }
            for number in range(first, first + 6)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"probe_{split}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def configured(*overrides: str) -> BenchConfig:
    return load_bench_config(composed_settings("bench", [*SMALL_MODEL, *overrides]))


def oracle_logits(model: PreTrainedModel, prompt: tuple[int, ...], response: tuple[int, ...]) -> torch.Tensor:
    """Float64 logits [n, V] that predict the response's tokens."""
    with torch.no_grad():
        logits = copy.deepcopy(model).double()(input_ids=torch.tensor([[*prompt, *response]])).logits[0]
    return logits[len(prompt) - 1 : -1]


def oracle_logp(model: PreTrainedModel, prompt: tuple[int, ...], response: tuple[int, ...]) -> float:
    log_softmax = oracle_logits(model, prompt, response).log_softmax(-1)
    return sum(float(row[token]) for row, token in zip(log_softmax, response, strict=True))


@pytest.mark.parametrize("token_budget", [1, 60, "auto"])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_gives_the_log_probability_of_every_response_in_order(
    name: str, token_budget: Any, model: PreTrainedModel
) -> None:
    expected = [oracle_logp(model, e.prompt_ids, response) for e in EXAMPLES for response in e.responses.values()]
    assert METHODS[name](model, EXAMPLES, token_budget, 0) == pytest.approx(expected, abs=1e-4)


def test_the_published_statistics_are_done_again(model: PreTrainedModel) -> None:
    prompt, response = EXAMPLES[0].prompt_ids, EXAMPLES[0].responses["probe1"]
    found = {name: value.item() for name, value in published_statistics(model, prompt, response).items()}
    probabilities = oracle_logits(model, prompt, response).softmax(-1)
    labels = torch.nn.functional.one_hot(torch.tensor(response), VOCABULARY)
    mean_norm = probabilities.norm(dim=-1).mean()
    assert found["logp"] == pytest.approx(oracle_logp(model, prompt, response), abs=1e-4)
    assert found["logp_argmax"] == pytest.approx(float(probabilities.amax(-1).log().sum()), abs=1e-4)
    assert found["a_norm"] == pytest.approx(float((VOCABULARY * mean_norm**2 + VOCABULARY - 2).sqrt()))
    assert found["residual_norm"] == pytest.approx(float((probabilities - labels).norm(dim=-1).mean()), abs=1e-5)
    assert found["energy"] == pytest.approx(float((1 - (probabilities * labels).sum(-1)).mean()), abs=1e-5)


@pytest.mark.parametrize(
    "config",
    [LlamaConfig(**SMALL, intermediate_size=48, num_key_value_heads=2), GPT2Config(**SMALL)],
    ids=["llama", "gpt2"],
)
def test_products_are_those_that_a_forward_pass_does(config: LlamaConfig | GPT2Config) -> None:
    """A prompt of 9 tokens and one response of 5: a forward pass over the first 13 with logits at the last 5."""
    model = AutoModelForCausalLM.from_config(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.arange(13)[None], logits_to_keep=torch.arange(8, 13), use_cache=False)
    of_kind = counter.get_flop_counts()["Global"]
    done = sum(of_kind.get(kind, 0) for kind in (torch.ops.aten.mm, torch.ops.aten.addmm))
    responses = {"chosen": tuple(range(5))}
    products, _ = needed_operations([EncodedProbeExample("train", "a", tuple(range(9)), responses)], model)
    assert products.total() == done


def test_figures_by_hand() -> None:
    def runs(seconds: list[float], peak: float, logps: list[float]) -> list[dict[str, Any]]:
        return [{"seconds": s, "logps": logps, "peak_mib": peak} for s in seconds]

    measured = {
        "published": runs([6.0, 90.0, 5.0], 200, [-10.0, -20.0]),
        "ours": runs([1.0, 2.0, 0.5], 100, [-9.9, -20.0]),
    }
    found = json.loads(json.dumps(summarise(2, 13_800, [4000.0, 4000.0, 1.0], measured)))
    assert found["speedup_vs_published"] == pytest.approx(6.0)
    assert found["matmul_share"] == pytest.approx(13_800 / 1.0 / 4000)
    assert found["peak_memory_ratio"] == pytest.approx(0.5)
    assert found["max_abs_logp_difference"] == pytest.approx(0.1)
    ours = found["methods"]["ours"]
    assert ours["examples_per_second"] == pytest.approx(2.0)  # two examples in a median of 1 s
    assert ours["max_abs_logp_difference"] == pytest.approx(0.1)


def test_probes_without_a_response_to_score(probe_directory: Path) -> None:
    config = configured(f"dataset.path={probe_directory}", "bench.without=[chosen,rejected,chosen_selfr]")
    with pytest.raises(DataError, match=r"12 probe examples, none with a response outside bench.without"):
        load(config)
