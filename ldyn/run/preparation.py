"""What every run begins with: data, base model, and pairs and probes in tokens. Depends on the configuration alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ldyn.config.schema import RunConfig
from ldyn.data.encoder import Encoder
from ldyn.data.sources import base_seed, data_fingerprint, load_data
from ldyn.models.base import BaseModel
from ldyn.models.gguf import model_file_hash
from ldyn.models.loading import load_base
from ldyn.probes.builder import BuiltProbes, build_probes, probe_fingerprint, with_model_answers
from ldyn.processes.group import from_main, main_first
from ldyn.records import EncodedPair, EncodedProbeExample, PreferenceData
from ldyn.run.answering import Answering


@dataclass(frozen=True)
class Prepared:
    """``probes`` and ``encoded`` are the same probe examples, as text and in tokens.

    hashes: of data, probes and base model, and the version of the data's source. counts: what was read, truncated and
    dropped.
    """

    data: PreferenceData
    base: BaseModel
    answering: Answering
    probes: BuiltProbes
    pairs: Sequence[EncodedPair]
    encoded: Sequence[EncodedProbeExample]
    hashes: Mapping[str, str]
    counts: Mapping[str, int]


def prepare(config: RunConfig, timed: Callable[[str], AbstractContextManager[None]]) -> Prepared:
    """Load or make everything, of several processes in the main one first; ``timed`` counts the time of each part."""
    with timed("data"):
        data = main_first(lambda: load_data(config.dataset, config.seed))
        drawn = from_main(lambda: build_probes(data, config.probes, config.seed))  # reports faults before any training
    with timed("base"):
        cache, seed = config.paths.cache, base_seed(config.dataset, config.seed)
        base = main_first(lambda: load_base(config.model, corpus=data.corpus, seed=seed, cache_dir=cache))
    with timed("probes"):
        encoder = Encoder(base.tokenizer, config.dataset.encoding)
        answering = Answering(base.tokenizer, encoder, data.checker, config.samples, config.seed)
        probes = from_main(lambda: observed_probes(drawn, base, answering, config))
        pairs = encoder.pairs(data.pairs)
        encoded = [one for split, members in probes.examples.items() for one in encoder.probes(split, members)]
    hashes = {
        "data": data_fingerprint(data),
        **({"data_version": data.version} if data.version else {}),
        "probes": probe_fingerprint(probes.examples),
        "base_model": base.fingerprint,
        **model_file_hash(config.model),
    }
    counts = {**data.counts, **probes.counts, **encoder.counts, "training_pairs": len(pairs)}
    return Prepared(data, base, answering, probes, pairs, encoded, hashes, counts)


def observed_probes(probes: BuiltProbes, base: BaseModel, answering: Answering, config: RunConfig) -> BuiltProbes:
    """The probes of the run: those of the data, and the base model's own answers where the data have none."""
    makers = {"chosen_initial": answering.own_answers, "chosen_selfr": answering.rephrases}
    examples, counts = dict(probes.examples), dict(probes.counts)
    for split, members in probes.examples.items():
        given = {probe for example in members for probe in example.responses}
        for probe, make in makers.items():
            if probe in given or (config.probes.families != "all" and probe not in config.probes.families):
                continue
            answers = make(base.model, members)
            texts = {name: answer.text for name, answer in answers.items()}
            ids = {name: answer.token_ids for name, answer in answers.items()}
            examples[split] = with_model_answers(examples[split], probe, texts, ids)
            counts[f"{split}.answered_by_base.{probe}"] = len(answers)
            counts[f"{split}.cut_by_limit.{probe}"] = sum(not answer.stopped for answer in answers.values())
    return BuiltProbes(examples, counts)
