"""`ldyn score`: score every response of a probe file with one model, without any training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt

from ldyn.cli.settings_command import Page, print_table, settings_of, validated_as
from ldyn.errors import ConfigError, RunDirectoryError

MEANS_SHOWN = {
    "logp": "log π(y|x)",
    "logp_per_token": "per token",
    "logp_argmax": "log π(y*)",
    "entropy": "entropy",
}
PAGE = Page("score", "commands/score", main=("model", "probes"))


@dataclass(frozen=True)
class ScoreConfig:
    """Settings of `ldyn score`; configs/score.yaml describes them."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: str
    probes: Path
    out: Path
    overwrite: bool
    max_tokens: Annotated[int, Gt(0)] | None
    max_prompt_tokens: Annotated[int, Gt(0)] | None
    keep_prompt: Literal["start", "end"]
    token_budget: Annotated[int, Gt(0)] | Literal["auto"]
    dtype: Literal["float32", "bfloat16", "float16"]
    device: Literal["auto", "cpu", "cuda"]
    revision: str
    trust_remote_code: bool


def main(arguments: Sequence[str]) -> int:
    """Score, write the table, print the means."""
    settings = settings_of(PAGE, arguments)
    if settings is None:
        return 0
    config = validated_as(ScoreConfig, settings)
    if config.out.suffix != ".parquet":
        raise ConfigError([f"out: found {config.out}, expected a file name that ends in .parquet"])
    if config.out.exists() and not config.overwrite:
        raise RunDirectoryError(f"{config.out} exists already; set another out, or overwrite=true.")

    import pandas as pd

    from ldyn.models.settings import PretrainedConfig
    from ldyn.run.score_file import TokenLimits, score_file
    from ldyn.store.schema import is_measured

    model = PretrainedConfig(
        config.model, revision=config.revision, dtype=config.dtype, trust_remote_code=config.trust_remote_code
    )
    limits = TokenLimits(config.max_prompt_tokens, config.max_tokens, config.keep_prompt)
    scored = score_file(model, config.probes, limits, config.token_budget, config.device)
    scored.write(config.out)
    frame = pd.DataFrame([asdict(score) for score in scored.scores if is_measured(score)])
    frame["logp_per_token"] = frame["logp"] / frame["n_tokens"]
    rows = [
        {"split": str(split), "probe": str(probe), "n": str(len(of)), "tokens": f"{of['n_tokens'].mean():.1f}"}
        | {label: f"{of[name].mean():.3f}" for name, label in MEANS_SHOWN.items()}
        for (split, probe), of in frame.groupby(["split", "probe"], sort=False)
    ]
    print_table("Mean scores", rows, texts=2)
    for note in (*scored.notes, f"Rows: {config.out}"):
        print(note, file=sys.stderr)
    return 0
