"""`ldyn score`: the log-probabilities of given responses under one or several models, and how they differ."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ldyn.cli.settings_command import Page, print_table, settings_of, validated_as
from ldyn.errors import ConfigError, RunDirectoryError

if TYPE_CHECKING:
    import pandas as pd

MEANS_SHOWN = {"logp": "log π(y|x)", "logp_per_token": "per token", "logp_argmax": "log π(y*)", "entropy": "entropy"}
LEGEND = "log π: sums over response tokens, in nats; y* is the most likely token at each position of the response"
PAGE = Page("score", "commands/score", main=("models", "probes"), many=True)


def main(arguments: Sequence[str]) -> int:
    """Score, write the tables, print the means and, between two models, what happened to the examples."""
    settings = settings_of(PAGE, arguments)
    if settings is None:
        return 0

    from ldyn.answers.settings import ScoreConfig

    config = validated_as(ScoreConfig, settings)
    if config.out.suffix == ".parquet":
        raise ConfigError([f"out: found {config.out}; expected a directory, into which scores.parquet is written"])
    if (config.out / "scores.parquet").exists() and not config.overwrite:
        raise RunDirectoryError(f"{config.out / 'scores.parquet'} exists already; set another out, or overwrite=true.")

    from ldyn.report.score_page import MEASURES, summary
    from ldyn.run.score_models import score_models

    scored = score_models(config)
    print_table("Mean scores", _means(scored.rows), texts=3)
    pairs = scored.changes.groupby(["before", "after"], sort=False) if len(scored.changes) else ()
    for (before, after), changes in pairs:
        rows = [
            {"what happened": one["fate"], "n": str(one["n"]), "share": f"{one['share']:.0%}"}
            | {label: f"{one[name]:.3f}" for name, label in MEASURES.items()}
            for one in summary(changes)
        ]
        print_table(f"From {before} to {after}: means in nats", rows)
    print(*scored.notes, LEGEND, f"Scores: {config.out}", sep="\n", file=sys.stderr)
    if len(scored.changes):
        print(f"Report: {config.out / 'score.html'}")
    return 0


def _means(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Over examples with numbers, by model, split and probe in the order in which these come."""
    known = rows.dropna(subset=["logp"]).assign(logp_per_token=rows["logp"] / rows["n_tokens"])
    return [
        {"model": str(stage), "split": str(split), "probe": str(probe), "n": str(len(of))}
        | {"tokens": f"{of['n_tokens'].mean():.1f}"}
        | {label: f"{of[name].mean():.3f}" for name, label in MEANS_SHOWN.items()}
        for (stage, split, probe), of in known.groupby(["stage", "split", "probe"], sort=False, observed=True)
    ]
