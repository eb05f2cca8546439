"""Score the probes of a file with one model: read, encode, score; the rows have the trajectory table's columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import transformers
from torch import nn
from transformers import PreTrainedModel

from ldyn.answers.local_models import find_device
from ldyn.answers.settings import Device
from ldyn.data.encoder import Encoder, EncodingConfig
from ldyn.data.local_files import read_probe_examples
from ldyn.errors import DataError, ModelError
from ldyn.models.pretrained import load_pretrained
from ldyn.models.settings import PretrainedConfig
from ldyn.probes.engine import Tokens
from ldyn.probes.scorer import nonfinite_scores, score_probes
from ldyn.records import ProbeScore, ProbeStep
from ldyn.store.files import write_atomically
from ldyn.store.schema import table_of_scores, to_bytes

MAX_TOKENS = 512  # of prompt and response, as in the paper
SCORED_ONCE = ProbeStep(stage="score", algorithm="none", step=0, examples_seen=0, epoch=0.0)
LEGEND = "log π: sums over response tokens, in nats; y* is the most likely token at each position of the response"
_ORIGIN_KEY = b"ldyn.score"
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class ScoredFile:
    """The scores of one probe file by one model. ``flagged``: those on which a logit was not finite, without numbers.

    counts: what the encoder cut or dropped. origin: model, fingerprint, probe file and encoding, kept in the file.
    """

    scores: Sequence[ProbeScore]
    flagged: Sequence[ProbeScore]
    counts: Mapping[str, int]
    origin: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write the trajectory table; ``origin`` is in the file's metadata. Raises RunDirectoryError if it cannot."""
        table = table_of_scores(SCORED_ONCE, self.scores)
        metadata = {**table.schema.metadata, _ORIGIN_KEY: json.dumps(self.origin)}
        write_atomically(path, to_bytes(table.replace_schema_metadata(metadata)))

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the means: what was cut, dropped or left out."""
        of_reason = {name: sum(n for key, n in self.counts.items() if f".{name}" in key) for name in _REASONS}
        notes = [f"{number} {_REASONS[name]}" for name, number in of_reason.items() if number]
        if self.flagged:
            first = ", ".join(f"{s.probe} of {s.split} {s.example_id}" for s in self.flagged[:_NAMES_SHOWN])
            notes.append(f"{len(self.flagged)} responses without numbers, as a logit is not finite (first: {first})")
        return [*notes, LEGEND]


_REASONS = {
    "truncated_prompt": "prompts cut to the limit (max_prompt_tokens)",
    "truncated_response": "responses cut to the limit (max_tokens less max_prompt_tokens)",
    "empty_response": "responses without a token skipped",
    "unknown_tokens": "tokens unknown to the tokenizer",
}


@dataclass(frozen=True)
class TokenLimits:
    """As in EncodingConfig. What is None follows the model: 512 tokens or its context, half of it for the prompt."""

    max_prompt_tokens: int | None = None
    max_tokens: int | None = None
    keep_prompt: Literal["start", "end"] = "end"

    def encoding(self, model: PreTrainedModel) -> EncodingConfig:
        """Raises ValueError where no room is left for a response."""
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or MAX_TOKENS
        max_tokens = self.max_tokens or min(MAX_TOKENS, context)
        return EncodingConfig(self.max_prompt_tokens or max_tokens // 2, max_tokens, self.keep_prompt)


def score_file(
    model_config: PretrainedConfig, probes: Path, limits: TokenLimits, token_budget: Tokens, device: Device = "auto"
) -> ScoredFile:
    """Score every response of ``probes`` (a .jsonl file, or a directory of the paper's layout).

    Raises DataError for a file that cannot be read or scored, ModelError for a model that cannot be loaded or whose
    logits are finite nowhere. The file is read before any weight is loaded.
    """
    examples = read_probe_examples(probes)
    where = find_device(device)
    transformers.utils.logging.disable_progress_bar()
    base = load_pretrained(model_config, corpus=(), seed=0)
    nn.Module.to(base.model, where)
    encoding = _encoding(limits, base.model)
    encoder = Encoder(base.tokenizer, encoding)
    encoded = [example for split, members in examples.items() for example in encoder.probes(split, members)]
    scores = score_probes(base.model, encoded, token_budget=token_budget, pad_id=int(base.tokenizer.pad_token_id))
    flagged = nonfinite_scores(scores)
    if len(flagged) == len(scores):
        raise ModelError(f"No logit of {model_config.name_or_path} is finite; its weights are broken: load others.")
    origin = {
        "model": model_config.name_or_path,
        "revision": model_config.revision,
        "dtype": model_config.dtype,
        "fingerprint": base.fingerprint,
        "probes": str(probes),
        "encoding": asdict(encoding),
    }
    return ScoredFile(scores, flagged, encoder.counts, origin)


def _encoding(limits: TokenLimits, model: PreTrainedModel) -> EncodingConfig:
    try:
        return limits.encoding(model)
    except ValueError as error:
        raise DataError(f"{error} (max_tokens, max_prompt_tokens).") from error
