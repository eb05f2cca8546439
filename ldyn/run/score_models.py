"""Score every response of a file with one or several models; what each model changed against the one before it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from torch import nn
from transformers import PreTrainedModel

from ldyn import __version__
from ldyn.answers.settings import ScoreConfig
from ldyn.data.encoder import Encoder, EncodingConfig
from ldyn.data.local_files import read_probe_examples
from ldyn.errors import DataError, ModelError
from ldyn.models.base import find_device, fingerprint, max_positions
from ldyn.models.settings import PretrainedConfig
from ldyn.probes.scorer import score_probes
from ldyn.processes.group import quiet_libraries
from ldyn.records import ProbeExample, ProbeScore, ProbeStep
from ldyn.report.score_page import PAIR, changes_between, write_score_page
from ldyn.run.stored_models import StoredModel, find_models
from ldyn.store.files import write_atomically
from ldyn.store.schema import is_measured, table_of_scores, to_bytes

MAX_TOKENS = 512  # of prompt and response, as in the paper
SCORES_FILE, EXAMPLES_FILE, CHANGES_FILE, PAGE_FILE = "scores.parquet", "examples.csv", "changes.csv", "score.html"
SETTINGS_FILE = "settings.json"
REASONS = {
    "truncated_prompt": "prompts cut to the limit (max_prompt_tokens)",
    "truncated_response": "responses cut to the limit (max_tokens less max_prompt_tokens)",
    "empty_response": "empty responses skipped",
    "unknown_tokens": "tokens unknown to the tokenizer",
}
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Scored:
    """``rows``: the trajectory table with one stage for each model. ``changes``: see `changes_between`, all in one.

    notes: what a reader must know of the means: what was cut, skipped or not finite, by model.
    """

    rows: pd.DataFrame
    changes: pd.DataFrame
    notes: list[str]


def score_models(config: ScoreConfig) -> Scored:
    """Score ``config.probes`` with every model in turn, and write the tables and the page into ``config.out``.

    Raises DataError for a file that cannot be read or scored, ModelError for a model that cannot be loaded or whose
    logits are finite nowhere. The file is read before any weight is loaded.
    """
    examples = read_probe_examples(config.probes)
    quiet_libraries()
    options = PretrainedConfig(
        "", revision=config.revision, dtype=config.dtype, trust_remote_code=config.trust_remote_code
    )
    tables, notes, origins = [], list[str](), []
    for model in find_models(config.models, options):
        scores, origin = _score(model, examples, config, notes)
        step = ProbeStep(stage=model.stage, algorithm="none", step=0, examples_seen=0, epoch=0.0)
        tables.append(table_of_scores(step, scores))
        origins.append(origin)
    settings = {"ldyn": __version__, **asdict(config), "scored": origins}
    write_atomically(config.out / SETTINGS_FILE, (json.dumps(settings, indent=1, default=str) + "\n").encode())
    table = pa.concat_tables(tables)
    write_atomically(config.out / SCORES_FILE, to_bytes(table))
    rows = table.to_pandas()
    pairs = rows[rows["probe"].isin(PAIR)].pivot(index=["stage", "split", "example_id"], columns="probe", values="logp")
    if set(PAIR) <= set(pairs.columns):
        pairs["margin"] = pairs["chosen"] - pairs["rejected"]
    _write_csv(pairs.reset_index(), config.out / EXAMPLES_FILE)
    return Scored(rows, _write_changes(rows, examples, config), notes)


def _write_changes(rows: pd.DataFrame, examples: dict[str, list[ProbeExample]], config: ScoreConfig) -> pd.DataFrame:
    found = [changes_between(rows, *two) for two in pairwise(dict.fromkeys(rows["stage"]))]
    changes = pd.concat([one for one in found if len(one)]) if any(map(len, found)) else pd.DataFrame()
    if len(changes):
        _write_csv(changes, config.out / CHANGES_FILE)
        texts = {(split, one.example_id): one for split, members in examples.items() for one in members}
        write_score_page(changes, texts, str(config.probes), config.out / PAGE_FILE)
    return changes


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    write_atomically(path, frame.to_csv(index=False).encode())


def _score(
    stored: StoredModel, examples: dict[str, list[ProbeExample]], config: ScoreConfig, notes: list[str]
) -> tuple[Sequence[ProbeScore], dict[str, Any]]:
    model, tokenizer = stored.load()
    nn.Module.to(model, find_device(config.device))
    encoding = encoding_for(model, config.max_prompt_tokens, config.max_tokens, config.keep_prompt)
    encoder = Encoder(tokenizer, encoding)
    encoded = [example for split, members in examples.items() for example in encoder.probes(split, members)]
    scores = score_probes(model, encoded, token_budget=config.token_budget, pad_id=int(tokenizer.pad_token_id))
    flagged = [score for score in scores if not is_measured(score)]
    if len(flagged) == len(scores):
        raise ModelError(f"No logit of {stored.name} is finite; its weights are broken: load others.")
    counts = Counter[str]()
    for key, number in encoder.counts.items():
        counts.update({reason: number for reason in REASONS if f".{reason}" in key})
    notes += [f"{stored.name}: {counts[reason]} {text}" for reason, text in REASONS.items() if counts[reason]]
    if flagged:
        first = ", ".join(f"{one.probe} of {one.split} {one.example_id}" for one in flagged[:_NAMES_SHOWN])
        found = f"{len(flagged)} responses without numbers, as a logit is not finite"
        notes.append(f"{stored.name}: {found} (first: {first})")
    return scores, {"model": stored.name, "weights": fingerprint(model, tokenizer), "encoding": asdict(encoding)}


def encoding_for(
    model: PreTrainedModel,
    max_prompt_tokens: int | None = None,
    max_tokens: int | None = None,
    keep_prompt: Literal["start", "end"] = "end",
) -> EncodingConfig:
    """What is None follows the model: 512 tokens or its context, half of it for the prompt.

    Raises DataError where no room is left for a response.
    """
    both = max_tokens or int(min(MAX_TOKENS, max_positions(model)))
    try:
        return EncodingConfig(max_prompt_tokens or both // 2, both, keep_prompt)
    except ValueError as error:
        raise DataError(f"{error} (max_tokens, max_prompt_tokens).") from error
