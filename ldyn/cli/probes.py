"""`ldyn probes`: build a probe set from preference data, or check one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldyn.cli.settings_command import Page, ProgressLines, settings_of, validated_as
from ldyn.errors import ConfigError, RunDirectoryError

if TYPE_CHECKING:
    from ldyn.probe_sets.build import ProbeSetBuild
    from ldyn.probe_sets.settings import BuildRequest

PAGE = Page("probes", "probe_set")


def main(arguments: Sequence[str]) -> int:
    """Build or check; 1 where a set that is checked does not pass."""
    settings = settings_of(PAGE, arguments)
    if settings is None:
        return 0
    if settings["check"] is not None:
        return _check(Path(str(settings["check"])))
    if settings.get("dataset") is None:
        raise ConfigError(["found neither data nor check; expected dataset=NAME to build a set, or check=FILE_OR_DIR"])
    return _build(settings)


def _check(path: Path) -> int:
    from ldyn.probe_sets.quality import check_probe_set, findings_table

    report = check_probe_set(path)
    _print([findings_table(report)] if report.findings else [])
    print(report.summary, file=sys.stderr)
    return 1 if report.faults else 0


def _build(settings: Mapping[str, Any]) -> int:
    request = _request(settings)
    file = request.out / "probe_train.jsonl"
    if file.exists() and not settings["overwrite"]:
        raise RunDirectoryError(f"{file} exists already; set another out, or overwrite=true.")

    from ldyn.probe_sets.build import build_probe_set, plan_build

    is_dry = bool(settings["dry_run"])
    plan = plan_build(request)
    for line in plan.summary():
        print(line, file=sys.stdout if is_dry else sys.stderr, flush=True)
    if is_dry:
        print(*plan.sample(), sep="\n")
    else:
        _report(build_probe_set(plan, ProgressLines("rephrases")))
    return 0


def _request(settings: Mapping[str, Any]) -> BuildRequest:
    from ldyn.answers.settings import API
    from ldyn.probe_sets.settings import BuildRequest

    rephraser = dict(settings["rephraser"])
    if rephraser["who"] == API:
        if settings["api"]["model"] is None:
            raise ConfigError(["api.model: found nothing, expected the name of a model at the endpoint"])
        rephraser["endpoint"] = settings["api"]
    names = ("dataset", "out", "cache", "seed", "n_train", "n_test", "keep")
    request = {key: settings[key] for key in names}
    return validated_as(BuildRequest, {**request, "probes": settings["only"], "rephraser": rephraser})


def _report(build: ProbeSetBuild) -> None:
    """Check the set as it is on the disk, against all that is trained on; print what was made and found."""
    from ldyn.probe_sets.output import built_table, rows_lacking
    from ldyn.probe_sets.quality import check_probe_set, findings_table

    out, endpoint = build.plan.request.out, build.plan.request.rephraser.endpoint
    own = {one.example_id for one in build.examples["train"]}
    further = [row for row in build.plan.drawn.training.rows if row.example_id not in own]
    quality = check_probe_set(out, further)
    _print([built_table(build), *([findings_table(quality)] if quality.findings else [])])
    if build.spent is not None and endpoint is not None:
        print(f"Asked: {build.spent.words(endpoint)}", file=sys.stderr)
    if lacking := rows_lacking(build):
        print(f"{lacking} rows lack a probe that others have: train with probes.on_missing=drop", file=sys.stderr)
    print(f"Quality: {quality.summary}\nProbe set: {out}", file=sys.stderr)


def _print(parts: Iterable[Any]) -> None:
    from rich.console import Console

    console = Console()
    for part in parts:
        console.print(part, highlight=False)
