"""The open run: its directory, store, manifest and observers. Opened once, closed whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ldyn.config.loading import config_to_yaml, settings_hash
from ldyn.config.schema import RunConfig
from ldyn.errors import RunDirectoryError
from ldyn.processes.group import in_main, process_count
from ldyn.records import ProbeScore, ProbeStep, StageInfo
from ldyn.run.conclusion import conclude
from ldyn.run.manifest import Manifest, recorded
from ldyn.store import RunDirectory, TrajectoryStore
from ldyn.store.directory import partial_path
from ldyn.tracking import Observer, StagePast
from ldyn.training.plan import StagePlan

RESUMED_WITH = {"data": "data", "base_model": "weights and config of the base model", "probes": "probes"}
"""What must be the same when a run is resumed: key of the manifest's ``hashes`` -> words."""


class Session:
    """What the parts of a run share. Scores and log rows go to the store first, then to the observers.

    Of several processes only the main one writes. In the others ``directory`` and ``observer`` are None: methods that
    write do nothing there.
    """

    def __init__(self, final: Path, directory: RunDirectory | None, manifest: Manifest):
        self.final, self.manifest = final, manifest
        self.store = TrajectoryStore(self.path)
        self._directory = directory
        self._observer: Observer | None = None
        self._unwritten: list[Mapping[str, float]] = []

    def observe(self, make: Callable[[], Observer]) -> None:
        """Start the console and the trackers, once the inputs are known to be valid: a refused run leaves no record."""
        if self._directory:
            self._observer = make()

    def close_observer(self) -> None:
        if self._observer:
            self._observer.close()

    @property
    def path(self) -> Path:
        """The directory of the unfinished run."""
        return partial_path(self.final)

    @property
    def directory(self) -> RunDirectory:
        """In the main process only."""
        assert self._directory is not None
        return self._directory

    def stage_directory(self, stage: str) -> Path:
        """Where a stage keeps its checkpoints and its last weights."""
        return self.path / "checkpoints" / stage

    def timed(self, part: str) -> AbstractContextManager[None]:
        return self.manifest.timed(part)

    def check_same_inputs(self, hashes: Mapping[str, str]) -> None:
        """Raises RunDirectoryError if a resumed run began with other data, another base model or other probes."""
        before = self.manifest.content.get("hashes", {})
        for name, words in RESUMED_WITH.items():
            if name in before and before[name] != hashes[name]:
                raise RunDirectoryError(
                    f"The {words} are not those that this run began with (found hash {hashes[name][:12]}, expected "
                    f"{before[name][:12]}): the input files, the model's revision or the code changed. Restore them, "
                    "or start a new run."
                )

    def begin_stage(self, stage: StageInfo, total_steps: int, *, after_step: int) -> None:
        """Go back to ``after_step`` (-1: before the stage) and drop what was scored later."""
        if self._observer:
            self.store.discard_after(stage.name, after_step)
            self.recall_stage(stage, total_steps)
            self._observer.stage_started(stage, total_steps)

    def recall_stage(self, stage: StageInfo, total_steps: int) -> None:
        """Pass to the observers what an earlier process stored of a stage; nothing where the run is not resumed."""
        if self._observer and (scored := self.store.scored(stage.name)):
            self._observer.stage_recalled(stage, total_steps, StagePast(self.store.log(stage.name), scored))

    def finish_stage(self, stage: StageInfo) -> None:
        if self._observer:
            self._observer.stage_finished(stage)

    def record_scores(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        if self._observer:
            self.store.append(probe_step, scores)
            self._observer.probes_scored(probe_step, scores)

    def append_to_table(self, name: str, rows: pd.DataFrame) -> None:
        """Add rows of one stage to ``<name>.parquet``; its rows of this stage from their first step on are replaced."""
        if self._directory and len(rows):
            file = self.path / f"{name}.parquet"
            before = pd.read_parquet(file) if file.exists() else rows.iloc[:0]
            kept = before[(before["stage"] != rows["stage"].iloc[0]) | (before["step"] < rows["step"].min())]
            self._directory.write_table(name, pd.concat([kept, rows], ignore_index=True))

    def record_log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """Rows are written by ``commit_log``, as a write to the disk at each step is slow."""
        if self._observer:
            self._unwritten.append({"step": step, **metrics})
            self._observer.step_logged(stage, step, metrics)

    def commit_log(self, stage: str) -> None:
        self.store.append_log(stage, self._unwritten)
        self._unwritten = []

    def conclude(self, *, with_report: bool) -> None:
        """Merge the trajectories, judge the claims, write the report; then inform the observers."""
        with self.timed("findings and report"):
            self.store.publish()
            results = conclude(self.directory, self.manifest, with_report=with_report)
        if self._observer:
            self._observer.run_finished(*results)  # trackers attach the manifest, which has all times by now

    def publish(self) -> Path:
        return self._directory.publish() if self._directory else self.final


@contextmanager
def open_session(config: RunConfig, plans: Sequence[StagePlan]) -> Iterator[Session]:
    """Make the run directory, or reopen the one to resume; on the way out write to the manifest how the run ended."""
    resumed = config.resume
    directory = in_main(lambda: RunDirectory.reopen(resumed) if resumed else RunDirectory.create(config.paths.run))
    if directory is None:
        yield Session(config.paths.run, None, Manifest(None, {}))
        return
    directory.write_text("config.yaml", config_to_yaml(config))
    content = {
        "name": config.name,
        "run": config.run,
        "seed": config.seed,
        "hashes": {**earlier_hashes(directory), "settings": settings_hash(config)},
        "processes": {"number": process_count(), "threads_each": torch.get_num_threads()},
        "stages": [describe_stage(plan) for plan in plans],
    }
    with recorded(directory, content, f"resume with: ldyn train resume={directory.path}") as manifest:
        session = Session(directory.final, directory, manifest)
        try:
            yield session
        finally:
            session.close_observer()


def earlier_hashes(directory: RunDirectory) -> dict[str, str]:
    """Those of the run that is resumed; empty for a new run, or one that was lost before it had read anything."""
    try:
        return dict(json.loads((directory.path / "manifest.json").read_text(encoding="utf-8"))["hashes"])
    except (OSError, ValueError, KeyError):
        return {}


def describe_stage(plan: StagePlan, steps: int | None = None) -> dict[str, Any]:
    """A stage as the manifest has it; its number of updates is known once the pairs are counted."""
    trainer = plan.trainer
    return {
        **asdict(plan.info),
        "steps": steps,
        "parameters": dict(plan.parameters),
        "trainer": asdict(trainer),
        "probe_precision": trainer.precision if trainer.parallel == "fsdp" else "fp32",
    }
