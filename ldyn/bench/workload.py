"""What is scored: probe examples drawn from the data and encoded once, the same for every method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.bench.settings import BenchConfig, ProbesBenchConfig
from ldyn.data.encoder import Encoder
from ldyn.data.seeding import draw, seeded_random
from ldyn.data.sources import load_data
from ldyn.errors import DataError
from ldyn.models.base import BaseModel
from ldyn.models.loading import load_base
from ldyn.models.pretrained import pretrained_model, pretrained_tokenizer
from ldyn.models.settings import PretrainedConfig
from ldyn.records import EncodedProbeExample, PreferenceData, ProbeExample


@dataclass(frozen=True, slots=True)
class Workload:
    """Encoded examples, and the token that fills gaps."""

    examples: tuple[EncodedProbeExample, ...]
    pad_id: int

    @property
    def n_responses(self) -> int:
        return sum(len(example.responses) for example in self.examples)


def load_workload(config: ProbesBenchConfig) -> Workload:
    """Read the data, draw the examples and encode them. Raises DataError where no response is left to score."""
    data = load_data(config.dataset, config.seed)
    tokenizer = _tokenizer(config, data)
    encoder = Encoder(tokenizer, config.dataset.encoding)
    candidates = [example for split, members in data.probes.items() for example in encoder.probes(split, members)]
    usable = list(_without(candidates, config.bench))
    drawn, _ = draw(usable, config.bench.examples, seeded_random(config.seed, "bench"))
    if not drawn:
        raise DataError(
            f"{data.name} has {len(candidates)} probe examples, none with a response outside bench.without="
            f"{list(config.bench.without)}; leave out fewer probes, or point dataset.path to a file of probes."
        )
    return Workload(tuple(drawn), int(tokenizer.pad_token_id))


def load_model(config: ProbesBenchConfig) -> PreTrainedModel:
    """The model to score with, on the CPU."""
    if isinstance(config.model, PretrainedConfig):
        return pretrained_model(config.model, config.seed)
    return _tiny_base(config, load_data(config.dataset, config.seed)).model


def lengths(examples: Sequence[EncodedProbeExample]) -> dict[str, dict[str, float]]:
    """Tokens of prompts and responses: mean, median, least and most."""
    of_prompts = [len(example.prompt_ids) for example in examples]
    of_responses = [len(response) for example in examples for response in example.responses.values()]
    return {"prompt": _described(of_prompts), "response": _described(of_responses)}


def _described(numbers: Sequence[int]) -> dict[str, float]:
    return {"mean": mean(numbers), "median": median(numbers), "min": min(numbers), "max": max(numbers)}


def _without(examples: Sequence[EncodedProbeExample], config: BenchConfig) -> Iterator[EncodedProbeExample]:
    for example in examples:
        kept = {probe: ids for probe, ids in example.responses.items() if probe not in config.without}
        if kept:
            yield replace(example, responses=kept)


def _tokenizer(config: ProbesBenchConfig, data: PreferenceData) -> PreTrainedTokenizerBase:
    """The model's own; for random weights one made from the text of the probes themselves, for realistic lengths."""
    if isinstance(config.model, PretrainedConfig):
        examples = (example for members in data.probes.values() for example in members)
        return pretrained_tokenizer(config.model, [text for example in examples for text in _texts(example)])
    return _tiny_base(config, data).tokenizer


def _texts(example: ProbeExample) -> tuple[str, ...]:
    return example.prompt, *example.responses.values()


def _tiny_base(config: ProbesBenchConfig, data: PreferenceData) -> BaseModel:
    return load_base(config.model, corpus=data.corpus, seed=config.seed, cache_dir=config.cache)
