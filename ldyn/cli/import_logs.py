"""`ldyn import-logs`: logs that others published, as a run directory like our own. Needs no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldyn.store.published_runs import LoggedStage, LogSource

DESCRIPTION = """\
Turns directories of logs that the paper's authors published (prob_train_metrics.json, and logp_npy_all_*.npy where
there is one) into a finished run directory, with the same table of trajectories, findings and report as a run of your
own. Several directories become the stages of one run, in the order given. Columns known to be wrong are excluded; what
was excluded, and why, is printed, kept in the manifest and shown on the report page."""

EPILOG = """\
examples:
  ldyn import-logs logs/pythia410m_sft --out outputs/published/pythia_sft
  ldyn import-logs logs/qwen_sft logs/qwen_dpo --out outputs/published/qwen
  ldyn import-logs run1 run2 --stage sft dpo --examples-apart 1000 500 --out outputs/published/mine

of several directories, give --stage once for each, in their order; --examples-apart once for each, or once for all.
"""


def main(arguments: Sequence[str]) -> int:
    """Read and check the directories, write the run, judge the claims, draw the report, print the findings."""
    from ldyn.store.published_runs import KINDS, import_logs

    options = _parser(list(KINDS)).parse_args(arguments)
    return _write(import_logs(_sources(options)), options.out)


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
        help="sft, extend (SFT on chosen and rejected) or dpo (default: the one in the directory's name)",
    )  # fmt: skip
    add(
        "--examples-apart", nargs="+", type=int, metavar="N", default=[1000],
        help="training examples between two evaluations, which no log has; the paper has 1000, or 500 (%(default)s)",
    )  # fmt: skip
    return parser


def _sources(options: argparse.Namespace) -> list[LogSource]:
    """The directories with their options; raises ConfigError where an option is given for some of them only."""
    from ldyn.errors import ConfigError
    from ldyn.store.published_runs import LogSource

    count = len(options.directories)
    apart = options.examples_apart * (count if len(options.examples_apart) == 1 else 1)
    given: dict[str, list[Any]] = {"--stage": options.stage or [None] * count, "--examples-apart": apart}
    wrong = {name: len(values) for name, values in given.items() if len(values) != count}
    if wrong:
        each = f"values for {count} directories; give one each"
        raise ConfigError([f"{name}: found {found} {each}" for name, found in wrong.items()])
    return [LogSource(*values) for values in zip(options.directories, *given.values(), strict=True)]


def _untestable(stages: Sequence[LoggedStage]) -> list[str]:
    """A note on a log of which no claim can be tested: what it has, and what claims need."""
    from ldyn.findings import find_all
    from ldyn.records import TRAJECTORY_COLUMNS
    from ldyn.store.published_runs import rows_of

    if find_all(rows_of(stages).reindex(columns=list(TRAJECTORY_COLUMNS)), [stage.info for stage in stages]):
        return []
    measured = "; ".join(f"{stage.info.name}: {', '.join(stage.log.probes)}" for stage in stages)
    return [f"no claim can be tested with the responses measured ({measured}); every claim about DPO needs chosen"]


def _write(stages: Sequence[LoggedStage], out: Path) -> int:
    from ldyn.run.conclusion import conclude, print_results
    from ldyn.run.manifest import recorded
    from ldyn.store import RunDirectory, read_run
    from ldyn.store.published_runs import import_manifest, write_import

    directory = RunDirectory.create(out)
    content = {"name": "import-logs", "run": out.name, **import_manifest(stages)}
    content["notes"] += _untestable(stages)
    with recorded(directory, content, "delete that directory before you import again") as manifest:
        write_import(stages, directory)
        with manifest.timed("findings and report"):
            conclude(directory, manifest)
    print_results(read_run(directory.publish()))
    for note in content["notes"]:
        print(f"Note: {note}")
    return 0
