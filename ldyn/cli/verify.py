"""`ldyn verify`: are the findings of a run what its trajectories say? Needs the run directory only, and no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

HELP = "a run directory, outputs/<experiment>/<run>, or a directory of runs that differ in their seed"


def main(arguments: Sequence[str]) -> int:
    """Verify each run directory given; exit code 1 if one cannot be read or stores other findings than it measured."""
    parser = argparse.ArgumentParser(
        prog="ldyn verify",
        description="Computes the findings of runs anew from their trajectories, shows them, and checks that the "
        "findings stored in the run directory are the same. Works on a run that is still going on, and where torch is "
        "not installed. Of a directory of runs that differ in their seed, each run is checked, then all are judged "
        "together, over seeds, with the number of seeds that each claim needs. A claim that fails is a result, not an "
        "error. docs/RULES.md has the rules.",
        epilog="exit code: 0 if what is stored is what was measured, 1 if not. "
        "examples: ldyn verify outputs/dpo_squeeze/latest   ldyn verify outputs/sweeps/SWEEP",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=HELP)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    if "--power" in arguments:
        parser.error("--power: the simulations are a script now, python scripts/rules.py")
    options = parser.parse_args(arguments)

    from ldyn.findings.verify import verify

    return verify(options.runs, as_json=options.json)
