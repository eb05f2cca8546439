"""`ldyn report`: figures and page of a run, drawn again from the files in its directory. Needs no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

HELP = "a run directory, outputs/<experiment>/<run>, or the directory of a sweep, whose runs are compared"
REFERENCE = "a run to draw beside each run given, in one more figure with a common axis in nats"
RESULTS = (
    "instead write the results page (RESULTS.md, results.html) of all finished runs below the directories given here"
)

SEEDS = (
    "instead draw one figure of the runs given, which differ in their seed only: means over seeds, bands between them"
)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="ldyn report",
        description="Draws the figures and the report page of runs again, from the files in their directories alone. "
        "Works on a run that has not finished, and where torch is not installed.",
        epilog="examples: ldyn report outputs/dpo_squeeze/latest   ldyn report outputs/sweeps/SWEEP   "
        "ldyn report outputs/hh/seed0 outputs/hh/seed1 outputs/hh/seed2 --seeds seeds.png   "
        "ldyn report outputs/reproduce/tiny outputs/hh --results docs",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=HELP)
    parser.add_argument("--reference", type=Path, metavar="RUN", help=REFERENCE)
    parser.add_argument("--results", type=Path, metavar="DIR", help=RESULTS)
    parser.add_argument("--seeds", type=Path, metavar="FILE.png", help=SEEDS)
    options = parser.parse_args(arguments)

    from ldyn.report import build_report, compare_sweep, draw_seeds, is_sweep, write_results

    if options.seeds:
        print(draw_seeds(options.runs, options.seeds))
        return 0
    if options.results:
        print(*write_results(*options.runs, target=options.results), sep="\n")
        return 0
    sweeps = [path for path in options.runs if is_sweep(path)]
    if options.reference and sweeps:
        parser.error(f"--reference: found a directory of runs, {sweeps[0]}, expected single runs; give one of its runs")
    for path in options.runs:
        print(compare_sweep(path) if path in sweeps else build_report(path, options.reference))
    return 0
