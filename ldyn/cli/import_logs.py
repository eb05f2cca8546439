"""`ldyn import-logs`: logs of other trainings, as a run directory like our own. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, MinLen
from pydantic import BeforeValidator

from ldyn.cli.settings_command import Page, settings_of, validated_as
from ldyn.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ldyn.store import RunDirectory
    from ldyn.store.published_runs import LoggedStage

PAGE = Page("import-logs", "commands/import_logs", main=("logs",), many=True)
ONE_OR_MORE = BeforeValidator(
    lambda value: None if value is None else tuple(value if isinstance(value, list) else [value])
)


@dataclass(frozen=True)
class ImportConfig:
    """Settings of `ldyn import-logs`; configs/commands/import_logs.yaml describes them."""

    logs: Annotated[tuple[Path, ...], ONE_OR_MORE, MinLen(1)]
    out: Path
    stage: Annotated[tuple[Literal["sft", "extend", "dpo"], ...], ONE_OR_MORE] = ()
    beta: Annotated[float, Gt(0)] | None = None
    pairs_per_step: Annotated[int, Ge(1)] | None = None
    wandb_run: str | None = None
    examples_apart: Annotated[tuple[Annotated[int, Gt(0)], ...] | None, ONE_OR_MORE] = None


def main(arguments: Sequence[str]) -> int:
    """Read and check the logs, write the run, judge the claims, draw the report, print findings and notes."""
    settings = settings_of(PAGE, arguments)
    if settings is None:
        return 0
    config = validated_as(ImportConfig, settings)

    from ldyn.store.batch_runs import is_batch_log

    batches = [is_batch_log(path) for path in config.logs]
    _check_together(config, batches)
    return _import_batch_means(config) if all(batches) else _import_published(config)


def _check_together(config: ImportConfig, batches: Sequence[bool]) -> None:
    if missing := [str(path) for path in config.logs if not path.exists()]:
        raise DataError(f"There is no {', no '.join(missing)}. Pass a trainer_state.json, a CSV file or a directory.")
    if any(batches) and not all(batches):
        kinds = f"{sum(batches)} logs of batch means and {len(batches) - sum(batches)} published ones"
        raise ConfigError([f"found {kinds}; import each kind into a run of its own"])
    unfit = ["examples_apart"] if any(batches) else ["beta", "pairs_per_step", "wandb_run"]
    expected = "published logs" if any(batches) else "a trainer_state.json or CSV files"
    if given := [name for name in unfit if getattr(config, name) is not None]:
        raise ConfigError([f"{name}: expected {expected}" for name in given])
    count = 1 if config.logs[0].suffix == ".csv" else len(config.logs)
    numbers = {"stage": len(config.stage) or count, "examples_apart": len(config.examples_apart or ()) or count}
    if wrong := {name: number for name, number in numbers.items() if number != count}:
        raise ConfigError([f"{name}: found {n} values for {count} logs; give one each" for name, n in wrong.items()])


def _import_batch_means(config: ImportConfig) -> int:
    from ldyn.store.batch_runs import import_batch_logs, write_import
    from ldyn.store.imported import import_manifest

    options = {"pairs_per_step": config.pairs_per_step, "beta": config.beta, "wandb_run": config.wandb_run}
    stages = import_batch_logs(config.logs, config.stage or [None] * len(config.logs), **options)
    return _write(config.out, import_manifest(stages), lambda directory: write_import(stages, directory))


def _import_published(config: ImportConfig) -> int:
    from ldyn.store.imported import import_manifest
    from ldyn.store.published_runs import LogSource, import_logs, write_import

    count = len(config.logs)
    given = zip(config.logs, config.stage or [None] * count, config.examples_apart or [1000] * count, strict=True)
    stages = import_logs([LogSource(*values) for values in given])
    content = import_manifest(stages)
    content["notes"] += _untestable(stages)
    return _write(config.out, content, lambda directory: write_import(stages, directory))


def _untestable(stages: Sequence[LoggedStage]) -> list[str]:
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
