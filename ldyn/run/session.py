"""The open run: its directory, its store, its manifest and whoever watches. Opened once, closed whatever happens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ldyn.config.hashes import settings_hash
from ldyn.config.loading import config_to_yaml
from ldyn.config.schema import RunConfig
from ldyn.errors import RunDirectoryError
from ldyn.processes.group import in_main, process_count
from ldyn.records import ProbeScore, ProbeStep, StageInfo, TokenRecord
from ldyn.run.conclusion import conclude
from ldyn.run.manifest import Manifest, recorded
from ldyn.store import RunDirectory, TrajectoryStore
from ldyn.store.directory import how_to_resume, partial_path
from ldyn.tracking import Observer, StagePast, make_observer
from ldyn.training.stage import StagePlan


class Session:
    """What the parts of a run share. Scores and log rows go to the store first, then to the observers."""

    def __init__(self, directory: RunDirectory, manifest: Manifest, observer: Observer):
        self.directory, self.manifest, self.observer = directory, manifest, observer
        self.store = TrajectoryStore(directory.path)
        self._unwritten: list[Mapping[str, float]] = []

    @property
    def path(self) -> Path:
        """Where the run's files are while it goes on."""
        return self.directory.path

    def stage_directory(self, stage: str) -> Path:
        """Where a stage keeps its checkpoints and its last weights."""
        return self.path / "checkpoints" / stage

    def timed(self, part: str) -> AbstractContextManager[None]:
        """Count the wall time of a part of the run in the manifest's ``seconds``."""
        return self.manifest.timed(part)

    def describe(self, **values: Any) -> None:
        """Set top-level fields of the manifest; a mapping is merged into the mapping that is there."""
        self.manifest.update(**values)

    def check_same_data(self, hashes: Mapping[str, str]) -> None:
        """Raises RunDirectoryError if the run began with other data: a file was edited, say, before it was resumed."""
        before = self.manifest.content["hashes"].get("data")
        if before is not None and before != hashes["data"]:
            raise RunDirectoryError(
                f"The data are not those that this run began with (found hash {hashes['data'][:12]}, expected "
                f"{before[:12]}): the input files, the data set or the code that reads them have changed; put them "
                "back, or begin a new run."
            )

    def begin_stage(self, stage: StageInfo, total_steps: int, *, after_step: int) -> None:
        """Go back to ``after_step`` (-1: before the stage), dropping what was scored later, and tell the observers."""
        self.store.discard_after(stage.name, after_step)
        self.recall_stage(stage, total_steps)
        self.observer.stage_started(stage, total_steps)

    def recall_stage(self, stage: StageInfo, total_steps: int) -> None:
        """Tell the observers what an earlier process stored of a stage; nothing where the run is not resumed."""
        if scored := self.store.scored(stage.name):
            self.observer.stage_recalled(stage, total_steps, StagePast(self.store.log(stage.name), scored))

    def finish_stage(self, stage: StageInfo) -> None:
        self.observer.stage_finished(stage)

    def add_seconds(self, part: str, seconds: float) -> None:
        """The same for a part that comes back often; it is written with the next change of the manifest."""
        self.manifest.add_seconds(part, seconds)

    def record_scores(
        self, probe_step: ProbeStep, scores: Sequence[ProbeScore], tokens: Sequence[TokenRecord] = ()
    ) -> None:
        self.store.append(probe_step, scores, tokens)
        self.observer.probes_scored(probe_step, scores)

    def record_log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self._unwritten.append({"step": step, **metrics})
        self.observer.step_logged(stage, step, metrics)

    def commit_log(self, stage: str) -> None:
        """Write the rows logged so far; they are kept back until then, as a write to the disk at each step is slow."""
        self.store.append_log(stage, self._unwritten)
        self._unwritten = []

    def conclude(self, *, with_report: bool) -> None:
        """Merge the trajectories, judge the claims, draw and write the report; then tell whoever watches."""
        with self.timed("findings and report"):
            self.store.publish()
            results = conclude(self.directory, self.manifest, with_report=with_report)
        self.observer.run_finished(*results)  # now, as trackers attach the manifest, which has all times in it

    def publish(self) -> Path:
        """Give the directory its final name and return it."""
        return self.directory.publish()


class SilentSession(Session):
    """The session of a process beside the main one: it reads where the main one writes, and writes nothing itself."""

    def __init__(self, final: Path):
        self._final = final
        self.store = TrajectoryStore(self.path)

    @property
    def path(self) -> Path:
        return partial_path(self._final)

    def timed(self, part: str) -> AbstractContextManager[None]:
        return nullcontext()

    def describe(self, **values: Any) -> None: ...

    def check_same_data(self, hashes: Mapping[str, str]) -> None: ...

    def begin_stage(self, stage: StageInfo, total_steps: int, *, after_step: int) -> None: ...

    def recall_stage(self, stage: StageInfo, total_steps: int) -> None: ...

    def finish_stage(self, stage: StageInfo) -> None: ...

    def add_seconds(self, part: str, seconds: float) -> None: ...

    def record_scores(
        self, probe_step: ProbeStep, scores: Sequence[ProbeScore], tokens: Sequence[TokenRecord] = ()
    ) -> None: ...

    def record_log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None: ...

    def commit_log(self, stage: str) -> None: ...

    def publish(self) -> Path:
        return self._final


@contextmanager
def open_session(config: RunConfig, plans: Sequence[StagePlan]) -> Iterator[Session]:
    """Make the run directory, or reopen the one to resume; on the way out say in the manifest how the run ended.

    Of several processes the main one does so; the others get a session that writes nothing.
    """
    directory = in_main(lambda: _open_directory(config))
    if directory is None:
        yield SilentSession(config.paths.run)
        return
    content = first_content(config, plans)
    content["hashes"] = {**_hashes_so_far(directory), **content["hashes"]}
    with recorded(directory, content, how_to_resume(directory.path)) as manifest:
        observer = make_observer(config.logger, directory.path, config)
        try:
            yield Session(directory, manifest, observer)
        finally:
            observer.close()


def _open_directory(config: RunConfig) -> RunDirectory:
    directory = RunDirectory.reopen(config.resume) if config.resume else RunDirectory.create(config.paths.run)
    directory.write_text("config.yaml", config_to_yaml(config))
    return directory


def _hashes_so_far(directory: RunDirectory) -> dict[str, str]:
    """Those of the run that is resumed; empty for a new run, or one that was lost before it had read anything."""
    try:
        return dict(json.loads((directory.path / "manifest.json").read_text(encoding="utf-8"))["hashes"])
    except (OSError, ValueError, KeyError):
        return {}


def first_content(config: RunConfig, plans: Sequence[StagePlan]) -> dict[str, Any]:
    """What the manifest of a training run says from the start."""
    return {
        "name": config.name,
        "run": config.run,
        "seed": config.seed,
        "hashes": {"settings": settings_hash(config)},
        "processes": {"number": process_count(), "threads_each": torch.get_num_threads()},
        "stages": [describe_stage(plan) for plan in plans],
    }


def describe_stage(plan: StagePlan, steps: int | None = None) -> dict[str, Any]:
    """A stage as readers of the run need it; its number of updates is known once the pairs are counted."""
    return {**asdict(plan.info), "steps": steps, "parameters": dict(plan.parameters), "trainer": asdict(plan.trainer)}
