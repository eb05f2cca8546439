"""Token counts by the tokenizer of a model, through the one encoder."""

from __future__ import annotations

from ldyn.data.encoder import Encoder, EncodingConfig
from ldyn.models.pretrained import pretrained_tokenizer
from ldyn.models.settings import PretrainedConfig
from ldyn.probes.quality_record import TokenCounts

_NO_LIMIT = 10**9


def counts_of(name_or_path: str) -> TokenCounts:
    """Counts by the tokenizer of a hub model or a local directory. Raises ModelError where it cannot be had."""
    tokenizer = pretrained_tokenizer(PretrainedConfig(name_or_path), ())
    encoder = Encoder(tokenizer, EncodingConfig(max_prompt_tokens=_NO_LIMIT, max_tokens=2 * _NO_LIMIT))
    return TokenCounts(lambda text: len(encoder.prompt(text)), lambda text: len(encoder.response(text)), exact=True)
