"""The cost of scoring probes: time, memory, and the share of the machine's rate of matrix products.

Operations that scoring needs at least, for one example with P prompt tokens and responses of n_1 ... n_k tokens:

    T = P + Σ (n_r − 1)     tokens that must pass the blocks: the prompt once; a response's last token predicts nothing
    U = 1 + Σ (n_r − 1)     positions to unembed: the prompt's last one predicts the first token of every response
    C = P (P + 1) / 2 + Σ_r Σ_{j < n_r} (P + j)     pairs of a token and one that it attends to, itself included

    operations = T · Σ_blocks 2 i o  +  4 L d · C  +  U · 2 h V

for weight matrices of i inputs and o outputs, L layers, d = heads × size of a head, hidden size h and V tokens in the
vocabulary. Norms, softmax, activations, embeddings and the statistics of the logits are small against these.
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.utils.benchmark import Timer
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ldyn.bench.processes import in_turns, machine, synchronise
from ldyn.bench.settings import BenchConfig
from ldyn.data.encoder import Encoder
from ldyn.data.seeding import draw, seeded_random
from ldyn.data.sources import load_data
from ldyn.errors import DataError
from ldyn.models.base import BaseModel
from ldyn.models.loading import load_base
from ldyn.models.settings import TinyConfig
from ldyn.probes.engine import Tokens
from ldyn.probes.scorer import score_probes
from ldyn.records import EncodedProbeExample

MATRIX_ROWS = 1024  # tokens in one product: enough for the full rate
MATRIX_SECONDS = 0.2  # each shape is timed for at least so long


Examples = Sequence[EncodedProbeExample]
_EPSILON = 1e-100  # as published; in float32 it is 0


def score_published(model: PreTrainedModel, examples: Examples, _token_budget: Tokens, _pad_id: int) -> list[float]:
    """Ren and Sutherland's evaluation, done again: one forward pass of batch 1 for each response.

    Logits of every position; what it got wrong in a number is kept where it costs the same work. One thing favours it:
    GPT-NeoX of the transformers release that they pinned (4.29.2) has no fused attention.
    """
    return [
        published_statistics(model, example.prompt_ids, response)["logp"].item()
        for example in examples
        for response in example.responses.values()
    ]


@torch.no_grad()
def published_statistics(
    model: PreTrainedModel, prompt: tuple[int, ...], response: tuple[int, ...]
) -> dict[str, Tensor]:
    """Sums of log-probabilities over response tokens, means of the rest. All tensors of V columns live to the end."""
    ids = torch.tensor([[*prompt, *response]], device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.to(torch.float32)[:, :-1]
    mask = torch.arange(1, ids.shape[1], device=ids.device)[None] >= len(prompt)
    labels = ids[:, 1:].masked_fill(~mask, 0)[..., None]
    n_labels, vocabulary_size = mask.sum(-1), logits.shape[-1]

    log_softmax = logits.log_softmax(-1)
    logp = log_softmax.gather(-1, labels).squeeze(-1)
    logp_argmax = log_softmax.gather(-1, logits.argmax(-1, keepdim=True)).squeeze(-1)
    softmax = logits.softmax(-1)
    prob_norm = torch.linalg.vector_norm(softmax, dim=-1)
    one_hot_labels = one_hot(labels.squeeze(-1), vocabulary_size)
    residual_norm = torch.linalg.vector_norm(softmax - one_hot_labels, dim=-1)
    return {
        "logp": (logp * mask).sum(-1),
        "logp_argmax": (logp_argmax * mask).sum(-1),
        "log_mass_rest": ((((1 - logp_argmax.exp()) * mask) + _EPSILON).log() * mask).sum(-1),
        "a_norm": (vocabulary_size * ((prob_norm * mask).sum(-1) / n_labels).square() + vocabulary_size - 2).sqrt(),
        "residual_norm": (residual_norm * mask).sum(-1) / n_labels,
        "energy": ((1 - softmax.gather(-1, labels).squeeze(-1)) * mask).sum(-1) / n_labels,
    }


def score_ours(model: PreTrainedModel, examples: Examples, token_budget: Tokens, pad_id: int) -> list[float]:
    return [score.logp for score in score_probes(model, examples, token_budget=token_budget, pad_id=pad_id)]


Score = Callable[[PreTrainedModel, Examples, Tokens, int], list[float]]
METHODS: dict[str, Score] = {"published": score_published, "ours": score_ours}
"""(model, examples, token budget, pad id) -> log π(y|x) of every response, in order."""


# --------------------------------------------------------------------------------------------------------------
# Their cost


def measure_probes(config: BenchConfig) -> dict[str, Any]:
    """Load the model once for each method, let the methods and bare products take turns; the figures of all."""
    tasks: dict[str, tuple[Any, ...]] = {name: (ScoringTask, config, name) for name in METHODS}
    ready, results = in_turns(tasks | {"products": (MatrixTask, config)}, config.bench)
    rates, about = results.pop("products"), ready["ours"]
    return {**summarise(about["examples"], about["operations"], rates, results), **about}


def load(config: BenchConfig) -> tuple[BaseModel, list[EncodedProbeExample]]:
    """The base model, on a GPU if there is one, and the drawn examples. Raises DataError where nothing is to score."""
    data = load_data(config.dataset, config.seed)
    members = [example for examples in data.probes.values() for example in examples]
    words = [text for example in members for text in (example.prompt, *example.responses.values())]
    corpus = data.corpus if isinstance(config.model, TinyConfig) else words  # for a tokenizer beside random weights
    base = load_base(config.model, corpus=corpus, seed=config.seed, cache_dir=config.cache)
    encoder = Encoder(base.tokenizer, config.dataset.encoding)
    scored = [
        replace(example, responses={p: ids for p, ids in example.responses.items() if p not in config.bench.without})
        for split, examples in data.probes.items()
        for example in encoder.probes(split, examples)
    ]
    usable = [example for example in scored if example.responses]
    if not usable:
        raise DataError(
            f"{data.name} has {len(scored)} probe examples, none with a response outside bench.without="
            f"{list(config.bench.without)}. Exclude fewer probes, or point dataset.path to a file of probes."
        )
    nn.Module.to(base.model, "cuda" if torch.cuda.is_available() else "cpu")
    return base, draw(usable, config.bench.examples, seeded_random(config.seed, "bench"))[0]


class ScoringTask:
    """Scores the examples by one method with a model of its own; watches memory from the first forward pass on."""

    def __init__(self, config: BenchConfig, name: str):
        base, examples = load(config)
        for parameter in base.model.parameters():
            parameter.detach().sum()  # weights that lie in a mapped file take memory only once they are read
        self._device, self._peak_bytes = base.model.device, watch_memory(base.model.device)
        rest = config.bench.token_budget, int(base.tokenizer.pad_token_id)
        METHODS[name](base.model, examples[:1], *rest)  # the first use is slower: not timed
        self._score = partial(METHODS[name], base.model, examples, *rest)
        products, attention = needed_operations(examples, base.model)
        responses = [len(response) for example in examples for response in example.responses.values()]
        self.ready = {
            "examples": len(examples),
            "responses": len(responses),
            "tokens": {"prompt": mean(len(example.prompt_ids) for example in examples), "response": mean(responses)},
            "operations": products.total() + attention,
            "model": getattr(config.model, "name_or_path", "tiny"),
            "parameters": base.model.num_parameters(),
            "machine": machine(self._device),
        }

    def __call__(self) -> dict[str, Any]:
        """peak_mib: above the weights, in this turn or an earlier one."""
        synchronise(self._device)
        started = time.perf_counter()
        logps = self._score()
        synchronise(self._device)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "logps": logps, "peak_mib": self._peak_bytes() / 2**20}


def watch_memory(device: torch.device) -> Callable[[], int]:
    """A function that returns the most bytes used since now, above those used now: torch's on a GPU, else resident."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        return lambda: torch.cuda.max_memory_allocated(device) - before
    if (reset := Path("/proc/self/clear_refs")).exists():  # without it a higher peak while loading hides a later one
        reset.write_text("5", encoding="ascii")  # see proc(5)
    start = _resident_peak()
    return lambda: _resident_peak() - start


def _resident_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class MatrixTask:
    """Operations per second of the bare products with weight matrices that the workload needs."""

    ready = None

    def __init__(self, config: BenchConfig):
        base, examples = load(config)
        self._device, self._dtype = base.model.device, base.model.dtype
        self._products, _ = needed_operations(examples, base.model)

    def __call__(self) -> float:
        seconds = sum(operations * self._seconds(*shape) for shape, operations in self._products.items())
        return self._products.total() / seconds

    def _seconds(self, inputs: int, outputs: int) -> float:
        tokens = torch.randn(MATRIX_ROWS, inputs, device=self._device).to(self._dtype)
        weight = torch.randn(outputs, inputs, device=self._device).to(self._dtype).t()  # laid out as a layer's
        operands = {"torch": torch, "tokens": tokens, "weight": weight, "product": tokens @ weight}
        timer = Timer("torch.mm(tokens, weight, out=product)", globals=operands, num_threads=torch.get_num_threads())
        once: float = timer.blocked_autorange(min_run_time=MATRIX_SECONDS).mean
        return once / (2 * MATRIX_ROWS * inputs * outputs)


def needed_operations(
    examples: Sequence[EncodedProbeExample], model: PreTrainedModel
) -> tuple[Counter[tuple[int, int]], int]:
    """Operations in products with weight matrices, by (inputs, outputs), and in attention."""
    n_tokens = n_attended = n_predictions = 0  # T, C and U above
    for example in examples:
        n_prompt = len(example.prompt_ids)
        fed = [len(response) - 1 for response in example.responses.values()]
        n_tokens += n_prompt + sum(fed)
        n_attended += n_prompt * (n_prompt + 1) // 2 + sum(n * n_prompt + n * (n + 1) // 2 for n in fed)
        n_predictions += 1 + sum(fed)
    products: Counter[tuple[int, int]] = Counter()
    unembedding = model.get_output_embeddings()
    for module in model.modules():
        if isinstance(module, nn.Linear | Conv1D):
            first, second = module.weight.shape
            inputs, outputs = (first, second) if isinstance(module, Conv1D) else (second, first)
            positions = n_predictions if module is unembedding else n_tokens
            products[inputs, outputs] += 2 * inputs * outputs * positions
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    return products, 4 * config.num_hidden_layers * width * n_attended


def summarise(
    n_examples: int, operations: int, rates: Sequence[float], runs: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """All figures; ratios are of medians. matmul_share: operations needed, as a share of the rate of bare products."""
    seconds = {name: median(run["seconds"] for run in of) for name, of in runs.items()}
    peak = {name: max(run["peak_mib"] for run in of) for name, of in runs.items()}
    logps = {name: torch.tensor(of[0]["logps"], dtype=torch.double) for name, of in runs.items()}
    differences = {pair: float((logps[pair[0]] - logps[pair[1]]).abs().max()) for pair in product(runs, repeat=2)}
    methods = {
        name: {
            "seconds": [run["seconds"] for run in of],
            "examples_per_second": n_examples / seconds[name],
            "peak_memory_mib": peak[name],
            "speedup_vs_published": seconds["published"] / seconds[name],
            "matmul_share": operations / seconds[name] / median(rates),
            "max_abs_logp_difference": differences[name, "published"],
        }
        for name, of in runs.items()
    }
    return {
        "speedup_vs_published": methods["ours"]["speedup_vs_published"],
        "matmul_share": methods["ours"]["matmul_share"],
        "peak_memory_ratio": peak["ours"] / peak["published"],
        "max_abs_logp_difference": max(differences.values()),
        "methods": methods,
        "matmul_operations_per_second": median(rates),
    }
