"""`ldyn probes`: build a probe set from preference data."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ldyn.cli.settings_command import Page, ProgressLines, settings_of, validated_as
from ldyn.errors import ConfigError, RunDirectoryError

if TYPE_CHECKING:
    from ldyn.probe_sets.build import ProbeSetBuild
    from ldyn.probe_sets.settings import BuildRequest

PAGE = Page("probes", "probe_set")


def main(arguments: Sequence[str]) -> int:
    settings = settings_of(PAGE, arguments)
    if settings is None:
        return 0
    if settings.get("dataset") is None:
        raise ConfigError(["dataset: found none, expected dataset=NAME, the pairs that a set is built from"])
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
    from rich.console import Console

    from ldyn.probe_sets.output import built_table

    Console().print(built_table(build), highlight=False)
    if build.n_requests:
        print(f"Asked: {build.n_requests:,} requests", file=sys.stderr)
    print(f"Probe set: {build.plan.request.out}", file=sys.stderr)
