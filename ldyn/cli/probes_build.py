"""`ldyn probes dataset=…`: a probe set from any preference data."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ldyn.cli.api_arguments import add_api_arguments, api_config
from ldyn.cli.arguments import above_zero, mass, natural, not_negative, positive
from ldyn.cli.dataset_words import dataset_config
from ldyn.cli.progress import ProgressLines
from ldyn.errors import RunDirectoryError

if TYPE_CHECKING:
    from ldyn.probe_sets.build import ProbeSetBuild
    from ldyn.probe_sets.settings import BuildRequest, OwnAnswerConfig, RephraserConfig

USAGE = """\
ldyn probes dataset=NAME [dataset.SETTING=VALUE ...] [options]   build a probe set
       ldyn probes --check FILE_OR_DIR [options]                    check one; see ldyn probes --check --help"""

DESCRIPTION = """\
Builds a probe set, the responses that are watched while a model is finetuned, from preference data: any that
`ldyn train` can read, chosen by the same words. Writes probe_train.jsonl and probe_test.jsonl, one JSON object a line
in the paper's key names, and beside them a manifest, what was dropped, and the quality check of the result."""

EPILOG = """\
what is made
  chosen, rejected                    the data's own
  irr_train, irr_test                 the chosen answer to another training question, to an unseen one: none twice while
                                      there are enough, unseen ones from the test split only
  random_permute, random_nonhum       the words of chosen, of an unrelated answer, shuffled
  chosen_initial                      the model's own answer; needs --initial-model
  chosen_gptsemantic, reject_gptsemantic   a rephrase that keeps the meaning; these five need --rephraser
  chosen_gptformat, reject_gptformat       one that keeps the form and changes the meaning
  irr_hum                                  a random human sentence

WHO, in --initial-model and behind model:, is the directory of a model, a hub name, or a stage of a run as
outputs/dpo_squeeze/latest:base

Every answer is kept in --cache by the content of its question: a build that was stopped goes on when the same command
is run again, and a second one asks nothing. The key is read from the environment and is never written.

examples
  ldyn probes dataset=hh --rephraser api --model gpt-4o-mini --dry-run
  ldyn probes dataset=hh --rephraser api --model gpt-4o-mini --prompt-price 0.15 --answer-price 0.6 --max-cost 5 \\
      --initial-model EleutherAI/pythia-410m-deduped --out outputs/probes/hh
  ldyn probes dataset=files dataset.path=pairs.jsonl dataset.n_held_out=200 --n-train 100 --n-test 100
  ldyn probes dataset=files dataset.path=DIR --rephraser model:Qwen/Qwen2.5-1.5B-Instruct
  ldyn probes dataset=ultrafeedback --rephraser api --model NAME --base-url http://localhost:8000/v1 --concurrency 16

and then
  ldyn train +exp=dpo_squeeze dataset=hh probes.path=outputs/probes/hh        beside the data that it was made from
  ldyn train +exp=dpo_squeeze dataset=files dataset.path=outputs/probes/hh    its own rows are the training pairs
"""


def main(arguments: Sequence[str]) -> int:
    """Plan, build, check, and say what came of it."""
    options = _options(arguments)
    out = options.out or Path("outputs", "probes", f"{datetime.now():%Y-%m-%d_%H-%M-%S}")
    if (out / "probe_train.jsonl").exists() and not options.overwrite:
        raise RunDirectoryError(f"{out / 'probe_train.jsonl'} exists already; give another --out, or --overwrite it.")

    request = _request(options, out)

    from ldyn.probe_sets.build import build_probe_set, plan_build

    plan = plan_build(request)
    for line in plan.summary():
        print(line, file=sys.stdout if options.dry_run else sys.stderr, flush=True)
    if options.dry_run:
        print(*plan.sample(), sep="\n")
        return 0
    return _report(build_probe_set(plan, ProgressLines), as_json=options.json)


def _report(build: ProbeSetBuild, *, as_json: bool) -> int:
    """Check the set as it lies on the disk, against all that is trained on; print what was made and found."""
    from rich.console import Console

    from ldyn.probe_sets.output import built_table, rows_lacking
    from ldyn.probe_sets.quality import check_probe_set, findings_tables
    from ldyn.report.probe_quality import write_quality_report

    out, endpoint = build.plan.request.out, build.plan.request.rephraser.endpoint
    own = {one.example_id for one in build.examples["train"]}
    further = [row for row in build.plan.drawn.training.rows if row.row_id not in own]
    quality = check_probe_set(out, training=further)
    page = write_quality_report(quality.as_object(), out / "quality")
    if as_json:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        print(json.dumps({**manifest, "quality": quality.as_object()}, indent=1))
    else:
        console = Console()
        console.print(built_table(build))
        for part in findings_tables(quality):
            console.print(part, highlight=False)
    if build.spent is not None and endpoint is not None:
        print(f"Asked: {build.spent.words(endpoint)}", file=sys.stderr)
    if lacking := rows_lacking(build):
        print(f"{lacking} rows lack a probe that others have: train with probes.on_missing=drop", file=sys.stderr)
    print(f"Quality: {quality.summary}\nReport: {page}\nProbe set: {out}", file=sys.stderr)
    return 0


# --------------------------------------------------------------------------------------------------------------
# What was asked for


def _request(options: argparse.Namespace, out: Path) -> BuildRequest:
    from ldyn.probe_sets.settings import BuildRequest

    return BuildRequest(
        dataset=dataset_config(options.words),
        out=out,
        cache=options.cache,
        seed=options.seed,
        n_train=options.n_train,
        n_test=options.n_test,
        probes=tuple(options.probe) or None,
        keep=options.keep,
        own_answer=_own_answer(options),
        rephraser=_rephraser(options),
        device=options.device,
    )


def _own_answer(options: argparse.Namespace) -> OwnAnswerConfig | None:
    if options.initial_model is None:
        return None

    from ldyn.probe_sets.settings import TURNS, OwnAnswerConfig

    return OwnAnswerConfig(
        who=options.initial_model,
        mode=options.initial_mode,
        temperature=options.temperature,
        top_p=options.top_p,
        max_new_tokens=options.max_new_tokens,
        stop=TURNS if options.stop is None else tuple(one for one in options.stop if one),
        batch_size=options.batch_size,
    )


def _rephraser(options: argparse.Namespace) -> RephraserConfig:
    from ldyn.probe_sets.settings import API, RephraserConfig

    return RephraserConfig(
        who=options.rephraser,
        endpoint=api_config(options) if options.rephraser == API else None,
        temperature=options.rephrase_temperature,
        tries=options.tries,
        templates=options.templates,
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ldyn probes",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="dataset=NAME", help="the data, as in `ldyn train --help`")
    _add_what(parser)
    _add_initial(parser)
    _add_rephraser(parser)
    add_api_arguments(parser)
    options = parser.parse_intermixed_args(arguments)
    if not options.words:
        parser.error("found neither data nor --check; expected dataset=NAME to build a probe set, or --check FILE")
    return options


def _add_what(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--n-train", type=positive, default=500, metavar="N", help="at most so many training questions (%(default)s)")
    add("--n-test", type=positive, default=500, metavar="N", help="at most so many unseen questions (%(default)s)")
    add("--seed", type=natural, default=0, help="of every draw; as seed= of `ldyn train` (%(default)s)")
    add("--probe", action="append", default=[], metavar="KEY", help="make only this probe; may be repeated")
    add("--keep", action="store_true", help="keep further responses of the data; else they are made anew")
    add("--out", type=Path, metavar="DIR", help="where the set goes (default: outputs/probes/<time>)")
    add("--overwrite", action="store_true", help="replace a probe set that is there already")
    add("--cache", type=Path, default=Path("outputs", "cache", "answers"), metavar="DIR", help="(%(default)s)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="of models on this machine (%(default)s)")
    add("--json", action="store_true", help="print the manifest and the quality check as one JSON object")


def _add_initial(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the model's own answer (chosen_initial)").add_argument
    add("--initial-model", metavar="WHO", help="the model that is to be finetuned, see below")
    add("--initial-mode", choices=["sampled", "greedy"], default="sampled", help="how it answers (%(default)s)")
    add("--temperature", type=above_zero, default=1.0, help="of sampling (%(default)s: the model itself)")
    add("--top-p", type=mass, default=1.0, help="nucleus of sampling (%(default)s: all of it)")
    add("--max-new-tokens", type=positive, metavar="N", help="limit of an answer (default: a response's, by the data)")
    stop = "a text that ends an answer; may be repeated (default: a new turn, Human: or Assistant:)"
    add("--stop", action="append", metavar="TEXT", help=stop)
    add("--batch-size", type=positive, default=32, metavar="N", help="prompts at a time (%(default)s)")


def _add_rephraser(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("rephrases and human sentences").add_argument
    add("--rephraser", default="none", metavar="WHO", help="none, api (an endpoint) or model:WHO (%(default)s)")
    add("--rephrase-temperature", type=not_negative, default=0.7, metavar="T", help="(%(default)s)")
    add("--tries", type=positive, default=3, metavar="N", help="for a text that is no use, then dropped (%(default)s)")
    add("--templates", type=Path, metavar="DIR", help="your own semantic.txt, format.txt and sentence.txt")
