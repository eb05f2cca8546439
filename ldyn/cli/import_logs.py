"""`ldyn import-logs`: logs of other trainings, as a run directory like our own. Needs no torch."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldyn.store import RunDirectory
    from ldyn.store.published_runs import LoggedStage, LogSource

DESCRIPTION = """\
Turns logs of other trainings into a finished run directory, with findings and a report as a run of your own. Reads

  trainer_state.json   of transformers' Trainer and TRL: the file, a checkpoint, or a directory of checkpoints
  *.csv                exported from wandb: charts (one metric a file, several files) or the history of a run
  DIR                  a directory that the paper's authors published (prob_train_metrics.json, logp_npy_all_*.npy)

The first two are batch means, other pairs at every step: the report draws log π, rewards, margins and entropy where
they are logged, and prints what these curves can and cannot show. No claim of the paper is judged by them. Of published
logs, columns known to be wrong are excluded; what was excluded, and why, is printed, kept in the manifest and shown on
the report page. Several logs become the stages of one run, in the order given; CSV files are one training."""

EPILOG = """\
examples:
  ldyn import-logs outputs/my_dpo/checkpoint-300 --beta 0.1 --out outputs/imported/my_dpo
  ldyn import-logs wandb_export.csv --wandb-run lucky-sun-7 --out outputs/imported/lucky
  ldyn import-logs logs/qwen_sft logs/qwen_dpo --out outputs/published/qwen
  ldyn import-logs run1 run2 --stage sft dpo --examples-apart 1000 500 --out outputs/published/mine
  ldyn report outputs/dpo/latest --reference outputs/imported/my_dpo

of several logs, give --stage once for each, in their order; --examples-apart once for each, or once for all.
"""


def main(arguments: Sequence[str]) -> int:
    """Read and check the logs, write the run, judge the claims, draw the report, print findings and notes."""
    from ldyn.store.batch_runs import is_batch_log
    from ldyn.store.published_runs import KINDS

    options = _parser(list(KINDS)).parse_args(arguments)
    batches = [is_batch_log(path) for path in options.paths]
    _check_together(options, batches)
    return _import_batch_means(options) if all(batches) else _import_published(options)


def _parser(kinds: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ldyn import-logs",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="LOG", help="a trainer state, a CSV file of wandb, or a directory")
    add("--out", type=Path, required=True, metavar="RUN", help="the run directory to make")
    add(
        "--stage", nargs="+", choices=kinds, metavar="KIND", default=[],
        help="sft, extend (SFT on chosen and rejected) or dpo (default: by the metrics, or the directory's name)",
    )  # fmt: skip
    means = parser.add_argument_group("batch means (trainer_state.json, CSV)")
    means.add_argument(
        "--beta", type=float, metavar="B", help="of the loss: rewards / B is the change of log π in nats"
    )
    means.add_argument(
        "--pairs-per-step",
        type=int,
        metavar="N",
        help="pairs of one update (default: train_batch_size, if it is there)",
    )
    means.add_argument("--wandb-run", metavar="NAME", help="which run, where the CSV files hold several")
    parser.add_argument_group("published logs").add_argument(
        "--examples-apart", nargs="+", type=int, metavar="N",
        help="training examples between two evaluations, which no log has; the paper has 1000, or 500 (default 1000)",
    )  # fmt: skip
    return parser


def _check_together(options: argparse.Namespace, batches: Sequence[bool]) -> None:
    """Raises DataError for a path that is not there, ConfigError for logs of both kinds or options that do not fit."""
    from ldyn.errors import ConfigError, DataError

    if missing := [str(path) for path in options.paths if not path.exists()]:
        raise DataError(f"There is no {', no '.join(missing)}. Pass a trainer_state.json, a CSV file or a directory.")
    if any(batches) and not all(batches):
        kinds = f"{sum(batches)} logs of batch means and {len(batches) - sum(batches)} published ones"
        raise ConfigError([f"found {kinds}; import each kind into a run of its own"])
    unfit = ["examples_apart"] if any(batches) else ["beta", "pairs_per_step", "wandb_run"]
    expected = "published logs" if any(batches) else "a trainer_state.json or CSV files"
    named = [f"--{name.replace('_', '-')}" for name in unfit if getattr(options, name) is not None]
    if named:
        raise ConfigError([f"{name}: expected {expected}" for name in named])


def _import_batch_means(options: argparse.Namespace) -> int:
    from ldyn.store.batch_runs import import_batch_logs, write_import
    from ldyn.store.imported import import_manifest

    count = 1 if options.paths[0].suffix == ".csv" else len(options.paths)
    kinds = options.stage or [None] * count
    _check_one_each({"--stage": kinds}, count, "logs")
    stages = import_batch_logs(
        options.paths, kinds, pairs_per_step=options.pairs_per_step, beta=options.beta, wandb_run=options.wandb_run
    )
    return _write(options.out, import_manifest(stages), lambda directory: write_import(stages, directory))


def _import_published(options: argparse.Namespace) -> int:
    from ldyn.store.imported import import_manifest
    from ldyn.store.published_runs import import_logs, write_import

    stages = import_logs(_sources(options))
    content = import_manifest(stages)
    content["notes"] += _untestable(stages)
    return _write(options.out, content, lambda directory: write_import(stages, directory))


def _sources(options: argparse.Namespace) -> list[LogSource]:
    """The directories with their options; raises ConfigError where an option is given for some of them only."""
    from ldyn.store.published_runs import LogSource

    count = len(options.paths)
    apart = options.examples_apart or [1000]
    given = {"--stage": options.stage or [None] * count, "--examples-apart": apart * (count if len(apart) == 1 else 1)}
    _check_one_each(given, count, "directories")
    return [LogSource(*values) for values in zip(options.paths, *given.values(), strict=True)]


def _check_one_each(given: Mapping[str, Sequence[Any]], count: int, logs: str) -> None:
    """Raises ConfigError with the options that are given for some of the logs only."""
    from ldyn.errors import ConfigError

    wrong = {name: len(values) for name, values in given.items() if len(values) != count}
    if wrong:
        each = f"values for {count} {logs}; give one each"
        raise ConfigError([f"{name}: found {found} {each}" for name, found in wrong.items()])


def _untestable(stages: Sequence[LoggedStage]) -> list[str]:
    """A note on a log of which no claim can be tested: what it has, and what claims need."""
    from ldyn.findings import find_all
    from ldyn.records import TRAJECTORY_COLUMNS
    from ldyn.store.published_runs import rows_of

    if find_all(rows_of(stages).reindex(columns=list(TRAJECTORY_COLUMNS)), [stage.info for stage in stages]):
        return []
    measured = "; ".join(f"{stage.info.name}: {', '.join(stage.log.probes)}" for stage in stages)
    return [f"no claim can be tested with the responses measured ({measured}); every claim about DPO needs chosen"]


def _write(out: Path, content: dict[str, Any], write: Callable[[RunDirectory], None]) -> int:
    from ldyn.run.conclusion import conclude, print_results
    from ldyn.run.manifest import recorded
    from ldyn.store import RunDirectory, read_run

    directory = RunDirectory.create(out)
    content = {"name": "import-logs", "run": out.name, **content}
    with recorded(directory, content, "delete that directory before you import again") as manifest:
        write(directory)
        with manifest.timed("findings and report"):
            conclude(directory, manifest)
    print_results(read_run(directory.publish()))
    for note in content["notes"]:
        print(f"Note: {note}")
    return 0
