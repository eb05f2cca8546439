"""`ldyn score`: how a model sees the responses of a probe file, without any training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ldyn.cli.arguments import positive
from ldyn.errors import RunDirectoryError

DESCRIPTION = """\
Scores every response of a probe file with a model: how likely the response is given its prompt, what the model would
rather say at each position, and how sure it is. Nothing is trained. Prints the mean of each probe and writes one row
for each response, in the columns of a run's trajectories.parquet (stage "score", step 0), to be read with pandas."""

EPILOG = """\
examples:
  ldyn score outputs/dpo_squeeze/latest/checkpoints/dpo/final probes.jsonl
  ldyn score EleutherAI/pythia-410m-deduped probes.jsonl --out scores/pythia_410m.parquet

a row of a probe file (the paper's format; any of the responses may be missing):
  {"prompt": "...", "chosen": "...", "rejected": "...", "chosen_gptsemantic": "...", "irr_train": "..."}
"""


def main(arguments: Sequence[str]) -> int:
    """Score, write the table, print the means."""
    options = _options(arguments)
    out = options.out or Path("outputs", "score", f"{datetime.now():%Y-%m-%d_%H-%M-%S}.parquet")
    if out.exists() and not options.overwrite:
        raise RunDirectoryError(f"{out} exists already; give another --out, or --overwrite to replace it.")

    from rich.console import Console

    from ldyn.models.settings import PretrainedConfig
    from ldyn.run.score_file import TokenLimits, means_tables, score_file

    model = PretrainedConfig(
        options.model, revision=options.revision, dtype=options.dtype, trust_remote_code=options.trust_remote_code
    )
    limits = TokenLimits(options.max_prompt_tokens, options.max_tokens, options.keep_prompt)
    scored = score_file(model, options.probes, limits, options.token_budget, options.device)
    scored.write(out)
    Console().print(*means_tables(scored))
    for note in (*scored.notes, f"Rows: {out}"):
        print(note, file=sys.stderr)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ldyn score",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_arguments(parser)
    options = parser.parse_args(arguments)
    if options.out is not None and options.out.suffix != ".parquet":
        parser.error(f"--out: found {options.out}, expected a file name that ends in .parquet")
    return options


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="the directory of a saved model (a run's checkpoints/<stage>/final), or a hub name",
    )
    add("probes", metavar="PROBES", type=Path, help="a .jsonl file of probes, or a directory with probe_train.jsonl")
    add("--out", type=Path, metavar="FILE.parquet", help="where the rows go (default: outputs/score/<time>.parquet)")
    add("--overwrite", action="store_true", help="replace a file that is there already")
    add("--max-prompt-tokens", type=positive, metavar="N", help="longer prompts are cut (half of --max-tokens)")
    add("--max-tokens", type=positive, metavar="N", help="room of prompt and response (512, or the model's context)")
    add("--keep-prompt", choices=["start", "end"], default="end", help="what is kept of a long prompt (%(default)s)")
    add("--token-budget", type=_budget, default="auto", metavar="N", help="tokens of one forward pass (%(default)s)")
    add("--dtype", choices=["float32", "bfloat16", "float16"], default="float32", help="of the weights (%(default)s)")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto takes a GPU where there is one")
    add("--revision", default="main", help="branch, tag or commit of a hub model (%(default)s)")
    add("--trust-remote-code", action="store_true", help="let code that comes with the model run")


def _budget(text: str) -> int | str:
    return text if text == "auto" else positive(text)
