"""`ldyn probes --check`: is a probe set fit to be measured with? Needs no torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ldyn.cli.arguments import positive, share

if TYPE_CHECKING:
    from ldyn.probe_sets.quality_checks import TokenCounts

DESCRIPTION = """\
Checks a probe set: leading spaces, missing, identical and repeated responses, markup that a language model left around
a rephrase, lengths, truncation, and "unseen" answers that are trained on. Prints each finding with its effect on the
curves, and writes a page with examples."""

EPILOG = """\
examples:
  ldyn probes --check probes.jsonl
  ldyn probes --check DIR --training train_pairs.jsonl --tokenizer EleutherAI/pythia-410m-deduped --json

DIR holds probe_train.jsonl and probe_test.jsonl (or train.jsonl and test.jsonl), a file one JSON object a line:
  {"prompt": "...", "chosen": "...", "rejected": "...", "chosen_gptsemantic": "...", "irr_train": "..."}
"""


def main(arguments: Sequence[str]) -> int:
    """Check the probe set, print what was found, write the report."""
    options = _options(arguments)
    out = options.out or Path("outputs", "probes", f"{datetime.now():%Y-%m-%d_%H-%M-%S}")

    from ldyn.probe_sets.quality import check_probe_set, findings_tables
    from ldyn.report.probe_quality import write_quality_report

    report = check_probe_set(
        options.check, training=options.training or (), tokens=_tokens(options), tolerance=options.tolerance
    )
    page = write_quality_report(report.as_object(), out)
    if options.json:
        print(json.dumps(report.as_object(), indent=1))
    else:
        from rich.console import Console

        console = Console()
        for part in findings_tables(report):
            console.print(part, highlight=False)
    print(f"{report.summary}\nReport: {page}", file=sys.stderr)
    return 1 if options.strict and report.faults else 0


def _tokens(options: argparse.Namespace) -> TokenCounts | None:
    if options.tokenizer is None:
        return None

    from ldyn.probe_sets.quality import counts_of

    return counts_of(
        options.tokenizer,
        max_prompt_tokens=options.max_prompt_tokens,
        max_response_tokens=options.max_response_tokens,
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ldyn probes",
        usage="ldyn probes --check FILE_OR_DIR [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--check", type=Path, required=True, metavar="FILE_OR_DIR", help="the probe set")
    add("--training", type=Path, metavar="FILE", help="further rows that are trained on: prompt, chosen and rejected")
    add("--tokenizer", metavar="MODEL", help="directory or hub name; truncation is checked with one only")
    add("--max-prompt-tokens", type=positive, default=256, metavar="N", help="limit of a prompt (%(default)s)")
    add("--max-response-tokens", type=positive, default=256, metavar="N", help="of a response, with EOS (%(default)s)")
    add("--tolerance", type=share, default=0.02, help="share of a probe's rows that may have a fault (%(default)s)")
    add("--out", type=Path, metavar="DIR", help="where the report goes (default: outputs/probes/<time>)")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    add("--strict", action="store_true", help="exit with 1 if the probe set does not pass")
    return parser.parse_args(arguments)
