"""`ldyn score`: score every response of a probe file with one model, without any training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt

from ldyn.cli.settings_command import Page, settings_of, validated_as
from ldyn.errors import ConfigError, RunDirectoryError

PAGE = Page(
    "score",
    "commands/score",
    "ldyn score MODEL PROBES [key=value ...]",
    """\
Scores every response of a probe file with a model: how likely the response is given its prompt, which token the model
prefers at each position, and how sure it is. Prints the mean of each probe and writes one row for each response, with
the columns of a run's trajectories.parquet (stage "score", step 0), to be read with pandas.""",
    """\
  ldyn score outputs/dpo_squeeze/latest/checkpoints/dpo/final probes.jsonl
  ldyn score model=EleutherAI/pythia-410m-deduped probes=probes.jsonl out=scores/pythia_410m.parquet

    probe      responses  tokens  log π(y|x)  per token  log π(y*)  entropy
    chosen            80     9.1       -31.2      -3.43       -8.9     10.4

a row of a probe file (any of the responses may be missing):
  {"prompt": "...", "chosen": "...", "rejected": "...", "chosen_gptsemantic": "...", "irr_train": "..."}""",
    main=("model", "probes"),
)


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

    from rich.console import Console

    from ldyn.models.settings import PretrainedConfig
    from ldyn.run.score_file import TokenLimits, means_tables, score_file

    model = PretrainedConfig(
        config.model, revision=config.revision, dtype=config.dtype, trust_remote_code=config.trust_remote_code
    )
    limits = TokenLimits(config.max_prompt_tokens, config.max_tokens, config.keep_prompt)
    scored = score_file(model, config.probes, limits, config.token_budget, config.device)
    scored.write(config.out)
    Console().print(*means_tables(scored))
    for note in (*scored.notes, f"Rows: {config.out}"):
        print(note, file=sys.stderr)
    return 0
