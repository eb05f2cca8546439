"""`ldyn import-logs`: logs that others published, as a run directory like our own. Needs no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldyn.store.published import ImportedRun, LogSource

DESCRIPTION = """\
Turns directories of logs that the paper's authors published (prob_train_metrics.json, and logp_npy_all_*.npy where
there is one) into a finished run directory, with the same table of trajectories, findings and report as a run of our
own. Several directories become the stages of one run, in the order given. Columns known to be wrong are left out; what
was left out, and why, is printed, kept in the manifest and shown on the report page."""

EPILOG = """\
examples:
  ldyn import-logs logs/pythia410m_sft --out outputs/published/pythia_sft
  ldyn import-logs logs/qwen_sft logs/qwen_dpo --out outputs/published/qwen
  ldyn import-logs run1 run2 --stage sft dpo --start base sft --examples-apart 1000 500 --out outputs/published/mine

of several directories, each of these options is given once for each of them, in their order; the numbers may also be
given once for all.
"""


def main(arguments: Sequence[str]) -> int:
    """Read and check the directories, write the run, judge the claims, draw the report, print the findings."""
    from ldyn.store.published import KINDS, import_logs

    options = _parser(list(KINDS)).parse_args(arguments)
    imported = import_logs(_sources(options))
    return _write(imported, options.out)


def _parser(kinds: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ldyn import-logs",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("directories", nargs="+", type=Path, metavar="DIR", help="a directory with prob_train_metrics.json")
    add("--out", type=Path, required=True, metavar="RUN", help="the run directory to make")
    add(
        "--stage", nargs="+", choices=kinds, metavar="KIND", default=[],
        help="sft, extend (SFT on chosen and rejected) or dpo (default: the word that the directory's name has)",
    )  # fmt: skip
    add(
        "--start", nargs="+", metavar="STAGE", default=[],
        help="weights it started from: base, unknown or an earlier stage (default: the one whose log π(chosen) is the "
        "same at that point)",
    )  # fmt: skip
    add(
        "--examples-apart", nargs="+", type=_positive, metavar="N", default=[1000],
        help="training examples between two evaluations, which no log tells; the paper has 1000, or 500 (%(default)s)",
    )  # fmt: skip
    add(
        "--batch-size", nargs="+", type=_positive, metavar="N", default=[4],
        help="examples of one update, the paper's by default (%(default)s)",
    )  # fmt: skip
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)


def _sources(options: argparse.Namespace) -> list[LogSource]:
    """The directories with their options; raises ConfigError where an option is given for some of them only."""
    from ldyn.errors import ConfigError
    from ldyn.store.published import LogSource

    count = len(options.directories)
    given: dict[str, list[Any]] = {
        "--stage": options.stage or [None] * count,
        "--start": options.start or [None] * count,
        "--examples-apart": _for_each(options.examples_apart, count),
        "--batch-size": _for_each(options.batch_size, count),
    }
    wrong = {name: values for name, values in given.items() if len(values) != count}
    if wrong:
        raise ConfigError(
            [
                f"{name}: found {len(values)} values for {count} directories; give one each"
                for name, values in wrong.items()
            ]
        )
    return [LogSource(*values) for values in zip(options.directories, *given.values(), strict=True)]


def _for_each(numbers: list[int], count: int) -> list[int]:
    return numbers * count if len(numbers) == 1 else numbers


def _write(imported: ImportedRun, out: Path) -> int:
    from ldyn.run.conclusion import conclude, print_results
    from ldyn.run.manifest import recorded
    from ldyn.store import RunDirectory, read_run
    from ldyn.store.published import write_run

    directory = RunDirectory.create(out)
    content = {"name": "import-logs", "run": out.name, **imported.manifest()}
    with recorded(directory, content, "delete that directory before you import again") as manifest:
        write_run(imported, directory)
        with manifest.timed("findings and report"):
            conclude(directory, manifest)
    print_results(read_run(directory.publish()))
    for note in content["notes"]:
        print(f"Note: {note}")
    return 0
