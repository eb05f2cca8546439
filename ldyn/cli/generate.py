"""`ldyn generate`: what models answer, how repetitive it is, and what it takes from other questions."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ldyn.cli.arguments import above_zero, mass, positive

DESCRIPTION = """\
Lets one or more models answer a set of prompts, greedily and by sampling, and measures the answers: length, how many
never stop, repetition (distinct-2, repeated 4-grams, longest loop), overlap with the training answers to *other*
questions (the hallucination of claim S4), and, where the facts are known (the microworld), whether they are right.
Writes samples.jsonl, which `ldyn judge` reads, and prints the means."""

EPILOG = """\
WHO is one of
  outputs/dpo_squeeze/latest        a run: its base and all its stages answer the run's own probe questions
  outputs/dpo_squeeze/latest:dpo    one stage of a run
  DIR or a name of the hub       any causal language model; it needs --prompts

examples:
  ldyn generate outputs/dpo_squeeze/latest --split train
  ldyn generate outputs/extend/latest:dpo outputs/extend/latest:dpo_extend --mode greedy
  ldyn generate EleutherAI/pythia-410m-deduped --prompts prompts.jsonl --training pairs.jsonl --stop $'\\n\\nHuman:'
"""


def main(arguments: Sequence[str]) -> int:
    """Generate, write samples.jsonl, print the means."""
    options = _options(arguments)
    out = options.out or Path("outputs", "generate", f"{datetime.now():%Y-%m-%d_%H-%M-%S}")

    from rich.console import Console

    from ldyn.answers.sample_means import LEGEND, samples_tables, summarise_samples
    from ldyn.answers.settings import GenerateConfig
    from ldyn.run.generate import generate

    config = GenerateConfig(
        models=tuple(options.who),
        out=out,
        overwrite=options.overwrite,
        prompts=options.prompts,
        training=options.training,
        splits=tuple(options.split) if options.split else None,
        examples=options.examples,
        modes=("greedy", "sampled") if options.mode == "both" else (options.mode,),
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        stop=tuple(options.stop),
        seed=options.seed,
        batch_size=options.batch_size,
        max_prompt_tokens=options.max_prompt_tokens,
        device=options.device,
    )
    rows = generate(config, report=lambda line: print(line, file=sys.stderr, flush=True))
    grouping = ("stage", "split", "mode")
    means = summarise_samples(rows, grouping)
    if options.json:
        print(json.dumps(means, indent=1))
    else:
        console = Console()
        console.print(*samples_tables(means, grouping))
        console.print(LEGEND, highlight=False)
    print(f"Answers: {out / 'samples.jsonl'}", file=sys.stderr)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ldyn generate",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("who", nargs="+", metavar="WHO", help="a run, a stage of a run (RUN:STAGE), a model directory, or a hub name")
    add("--prompts", type=Path, metavar="FILE", help="rows with a prompt (and chosen); default: the run's probes")
    add("--training", type=Path, metavar="FILE", help="rows whose chosen answers are trained on, for the overlap")
    add("--split", action="append", default=[], help="which prompts (train, test); may be repeated; default: all")
    add("--examples", type=positive, metavar="N", help="the first N prompts of each split (default: all)")
    add("--mode", choices=["greedy", "sampled", "both"], default="both", help="how answers are made (%(default)s)")
    add("--max-new-tokens", type=positive, metavar="N", help="limit of an answer (default: the run's, or 128)")
    add("--temperature", type=above_zero, default=1.0, help="of sampling (%(default)s: the model itself)")
    add("--top-p", type=mass, default=1.0, help="nucleus of sampling (%(default)s: all of it)")
    add("--stop", action="append", default=[], metavar="TEXT", help="a text that ends an answer; may be repeated")
    add("--seed", type=int, default=0, help="of sampling (%(default)s)")
    add("--batch-size", type=positive, default=32, metavar="N", help="prompts at a time (%(default)s)")
    add("--max-prompt-tokens", type=positive, metavar="N", help="of models that come from no run")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto takes a GPU where there is one")
    add("--out", type=Path, metavar="DIR", help="where samples.jsonl goes (default: outputs/generate/<time>)")
    add("--overwrite", action="store_true", help="replace a samples.jsonl that is there already")
    add("--json", action="store_true", help="print the means as JSON")
    return parser.parse_args(arguments)
