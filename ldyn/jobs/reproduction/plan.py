"""The plan of a reproduction: ordinary runs, what each makes that others take over, and which wait for which.

A run of a seed that is the first to need a base model or a stage makes it; the others of that seed wait for it and take
it over (``ldyn.models.cache``, ``ldyn.run.stage_cache``). Studies and imports wait for nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose

from ldyn.config.hashes import settings_hash
from ldyn.config.jobs import job_config
from ldyn.config.loading import load_study_config
from ldyn.config.schema import RunConfig
from ldyn.config.studies import ImagesStudy, RepeatedStudy, ToyStudy
from ldyn.jobs.reproduction.costs import Work, stage_work
from ldyn.jobs.reproduction.settings import PartConfig, ReproduceConfig
from ldyn.models.settings import TinyConfig

STUDIES: dict[str, type[RepeatedStudy]] = {"toy": ToyStudy, "images": ImagesStudy}
LOGS = "logs"
NOT_IN_THE_TEXT = {"test_probes"}
"""Settings of a data set that its base model does not depend on."""


@dataclass(frozen=True)
class Job:
    """One run of the plan: `ldyn` with ``arguments`` makes ``directory``.

    settings: the hash of what decides its numbers, as its manifest will hold it; None for an import, which has none.
    makes, takes_over: "base" and stages by name; of what is taken over, the job that makes it.
    after: the jobs that must have ended before. seconds: how long it is expected to take.
    """

    name: str
    part: str
    arguments: tuple[str, ...]
    directory: Path
    settings: str | None = None
    makes: tuple[str, ...] = ()
    takes_over: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def after(self) -> set[str]:
        """The jobs that this one waits for."""
        return set(self.takes_over.values())


def make_plan(config: ReproduceConfig, speed: float) -> list[Job]:
    """All jobs; to be called where Hydra is initialised with our YAML files.

    ``speed`` multiplies the costs of the scale. Raises ConfigError where one of the runs would not be valid.
    """
    jobs = [_import(config, name, directories) for name, directories in config.logs.items()]
    parts = config.scale.parts.items()
    jobs += [_study(config, name, part, speed) for name, part in parts if part.command != "train"]
    makers: dict[str, tuple[str, frozenset[int]]] = {}
    experiments = [(name, part) for name, part in parts if part.command == "train"]
    for seed in config.all_seeds:
        jobs += [_run(config, name, part, seed, makers, speed) for name, part in experiments]
    return jobs


def _import(config: ReproduceConfig, name: str, directories: Sequence[Path]) -> Job:
    target = config.paths.run / LOGS / name
    return Job(
        f"{LOGS}/{name}", LOGS, ("import-logs", *map(str, directories), "--out", str(target)), target, seconds=5.0
    )


def _study(config: ReproduceConfig, name: str, part: PartConfig, speed: float) -> Job:
    overrides = (f"paths.outputs={config.paths.run}", "run=all", *part.overrides)
    study = load_study_config(STUDIES[part.command], compose(part.command, list(overrides)))
    seconds = config.scale.costs.study * speed
    arguments = (part.command, *overrides)
    return Job(name, name, arguments, study.paths.run, settings_hash(study), seconds=seconds)


def _run(
    config: ReproduceConfig,
    name: str,
    part: PartConfig,
    seed: int,
    makers: dict[str, tuple[str, frozenset[int]]],
    speed: float,
) -> Job:
    """``makers``: by what it is, which job makes a base or a stage and the steps at which it probes it; added to."""
    overrides = (
        f"+exp={part.experiment or name}",
        f"seed={seed}",
        f"run=seed-{seed}",
        f"paths.outputs={config.paths.run}",
        f"paths.cache={config.paths.cache}",
        f"paths.stages={config.paths.run / 'stages'}",
        *config.scale.overrides,
        *part.overrides,
    )
    run = job_config(compose("train", list(overrides)), [], [])
    job, work = f"{name}/seed-{seed}", list(_work(run))
    takes_over = {one.name: makers[one.identity][0] for one in work if _is_made(one, makers)}
    makers |= {one.identity: (job, one.steps) for one in work if not _is_probed(one, makers)}
    costs = config.scale.costs
    seconds = costs.start + sum(one.seconds(costs, taken_over=one.name in takes_over) for one in work)
    makes = tuple(one.name for one in work if one.name not in takes_over)
    arguments = ("train", *overrides)
    return Job(job, name, arguments, run.paths.run, settings_hash(run), makes, takes_over, seconds * speed)


def _is_made(work: Work, makers: Mapping[str, tuple[str, frozenset[int]]]) -> bool:
    return _is_probed(work, makers) and not work.keeps_snapshots


def _is_probed(work: Work, makers: Mapping[str, tuple[str, frozenset[int]]]) -> bool:
    """Whether another job makes it and probes it at all the same steps."""
    return work.identity in makers and work.steps <= makers[work.identity][1]


def _work(run: RunConfig) -> Iterator[Work]:
    """The base and the stages, each with an identity that covers all that it is made of."""
    model, data = _plain(run.model), _plain(run.dataset)
    if isinstance(run.model, TinyConfig):
        text = {key: value for key, value in data.items() if key not in NOT_IN_THE_TEXT}
        yield Work("base", _identity([model, text, run.seed]), pretraining_steps=run.model.steps)
    probes = {key: value for key, value in _plain(run.probes).items() if key != "schedule"}
    identities = {"base": _identity([model, data, run.seed, probes])}
    for name, stage in run.stages.items():
        settings = {**_plain(stage), "start": identities[stage.start]}
        settings["trainer"] = {k: v for k, v in settings["trainer"].items() if k != "snapshots"}
        identities[name] = _identity(settings)
        yield stage_work(name, identities[name], run)


def _plain(settings: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=str))
    return plain


def _identity(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
