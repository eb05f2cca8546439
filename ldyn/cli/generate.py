"""`ldyn generate`: let models answer prompts, and measure repetition and hallucination."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from ldyn.cli.settings_command import Page, as_list, settings_of, validated_as

PAGE = Page(
    "generate",
    "commands/generate",
    "ldyn generate MODEL [MODEL ...] [key=value ...]",
    """\
Lets models answer a set of prompts, greedily and by sampling, and measures the answers: length, how many never stop,
repetition (distinct-2, repeated 4-grams, longest loop), overlap with the training answers to *other* questions (the
hallucination of claim S4), and, where the facts are known (the microworld), whether they are right. Writes
samples.jsonl, which `ldyn judge` reads, and prints the means.

MODEL is one of
  outputs/dpo_squeeze/latest        a run: its base and all its stages answer the run's own probe questions
  outputs/dpo_squeeze/latest:dpo    one stage of a run
  DIR or a name of the hub          any causal language model; it needs prompts=FILE""",
    """\
  ldyn generate outputs/dpo_squeeze/latest split=train
  ldyn generate models=[outputs/extend/latest:dpo,outputs/extend/latest:dpo_extend] mode=greedy
  ldyn generate EleutherAI/pythia-410m-deduped prompts=prompts.jsonl training=pairs.jsonl 'stop=["Human:"]'

    stage  split  mode    answers  tokens  stopped  distinct-2  longest loop
    base   train  greedy       24    11.2     100%        0.98           1.0
    dpo    train  greedy       24    31.5      62%        0.71           5.4""",
    main=("models",),
    many=True,
    renamed=(("--stop", "stop"),),
)


def main(arguments: Sequence[str]) -> int:
    """Generate, write samples.jsonl, print the means."""
    settings = settings_of(PAGE, arguments)
    if settings is None:
        return 0

    from ldyn.answers.settings import GenerateConfig

    as_json = bool(settings.pop("json"))
    modes, splits = as_list(settings.pop("mode")), as_list(settings.pop("split"))
    lists = {"models": as_list(settings["models"]), "stop": as_list(settings["stop"]), "modes": modes, "splits": splits}
    config = validated_as(GenerateConfig, {**settings, **lists})

    from rich.console import Console

    from ldyn.answers.sample_means import LEGEND, samples_tables, summarise_samples
    from ldyn.run.generate import generate

    rows = generate(config, report=lambda line: print(line, file=sys.stderr, flush=True))
    grouping = ("stage", "split", "mode")
    means = summarise_samples(rows, grouping)
    if as_json:
        print(json.dumps(means, indent=1))
    else:
        console = Console()
        console.print(*samples_tables(means, grouping))
        console.print(LEGEND, highlight=False)
    print(f"Answers: {config.out / 'samples.jsonl'}", file=sys.stderr)
    return 0
