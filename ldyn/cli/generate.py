"""`ldyn generate`: let models answer prompts, and measure repetition."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ldyn.cli.settings_command import Page, print_table, settings_of, validated_as

PAGE = Page("generate", "commands/generate", main=("models",), many=True)
LEGEND = (
    "tokens: mean length, EOS counts; never stops: share cut by the limit; longest loop: words of the longest stretch "
    "that repeats itself; right, borrowed: the exact check of the microworld."
)


def main(arguments: Sequence[str]) -> int:
    settings = settings_of(PAGE, arguments)
    if settings is None:
        return 0

    from ldyn.answers.settings import GenerateConfig

    config = validated_as(GenerateConfig, settings)

    from ldyn.answers.measures import COLUMNS, summarise_samples
    from ldyn.run.generate import generate

    rows = generate(config, report=lambda line: print(line, file=sys.stderr, flush=True))
    means = summarise_samples(rows, ("stage", "split", "mode"))
    known = {name: label for name, label in COLUMNS.items() if any(one[name] is not None for one in means)}
    names = ("stage", "split", "mode", "n")
    shown = [
        {name: str(one[name]) for name in names} | {label: _cell(name, one[name]) for name, label in known.items()}
        for one in means
    ]
    print_table("Means over the answers", shown, texts=3)
    print(LEGEND)
    print(f"Answers: {config.out / 'samples.jsonl'}", file=sys.stderr)
    return 0


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if name in ("n_tokens", "longest_loop") else f"{value:.3f}"
