"""Weights & Biases: curves of every probe and metric, then findings, figures, report, settings and manifest.

Offline by default: the files lie in ``wandb`` beside the run directory, as those of all runs of a sweep do, and go up
later by `wandb sync`. Not in the run directory: what waits to be uploaded is known by its path, and that directory is
renamed when the run is finished. Nothing of the machine, the console or the code is recorded; the key stays in the
user's environment.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any, Literal

import wandb
import yaml

from ldyn.records import FINDING_FIELDS, Finding, ProbeScore, ProbeStep, StageInfo
from ldyn.tracking.naming import NamedRun, wandb_names
from ldyn.tracking.observer import StagePast
from ldyn.tracking.settings import LoggerConfig
from ldyn.tracking.summaries import Charts
from ldyn.tracking.wandb_environment import keep_files_in, keep_to_itself, unset
from ldyn.tracking.wandb_service import within

_logger = logging.getLogger(__name__)
_SECONDS_TO_CONNECT, _SECONDS_TO_FINISH = 30, 120
_ATTACHED = ("config.yaml", "manifest.json")
IDENTITY_FILE = "wandb.json"


class WandbTracker:
    """One wandb run. Each stage has its charts, named ``<stage>/…``, over its own steps ``<stage>/step``.

    wandb's own step counts the updates of all stages (and one for the start of each), so it is the same whenever a run
    is told again: after a resume, what wandb has already is left out, and what a killed process lost is made good.
    """

    def __init__(self, logger: LoggerConfig, directory: Path, named: NamedRun):
        self._directory, self._charts = directory, Charts()
        self._first_steps: dict[str, int] = {}  # stage -> wandb's step of its step 0
        self._next_step, self._is_open = 0, True
        self._variables = [*keep_to_itself(), *keep_files_in(directory.parent / "wandb")]
        self._run = _begin(logger, directory, named)
        self._known_steps = self._run.starting_step

    def stage_recalled(self, stage: StageInfo, total_steps: int, past: StagePast) -> None:
        self._place(stage.name, total_steps)
        past.tell(self.probes_scored, partial(self.step_logged, stage.name))

    def stage_started(self, stage: StageInfo, total_steps: int) -> None:
        self._place(stage.name, total_steps)

    def step_logged(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self._log(stage, step, {f"{stage}/train/{key}": value for key, value in metrics.items()})

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        place = {f"{probe_step.stage}/{axis}": getattr(probe_step, axis) for axis in ("epoch", "examples_seen")}
        self._log(probe_step.stage, probe_step.step, {**place, **self._charts.points(probe_step, scores)})

    def stage_finished(self, stage: StageInfo) -> None:
        """Nothing: the last scores have been logged."""

    def run_finished(self, findings: Sequence[Finding], figures: Sequence[Path], report: Path | None) -> None:
        within(_SECONDS_TO_FINISH, lambda: self._tell_results(findings, figures, report))

    def close(self) -> None:
        within(_SECONDS_TO_FINISH, lambda: self._finish(exit_code=1))

    def _tell_results(self, findings: Sequence[Finding], figures: Sequence[Path], report: Path | None) -> None:
        table = wandb.Table(columns=list(FINDING_FIELDS), data=[list(astuple(finding)) for finding in findings])
        media = {f"figures/{figure.stem}": wandb.Image(str(figure)) for figure in figures}
        page = {"report": wandb.Html(str(report), inject=False)} if report else {}
        self._run.log({"findings": table, **media, **page}, step=max(self._next_step, self._known_steps))
        for finding in findings:
            values = {name: getattr(finding, name) for name in ("verdict", "estimate", "ci_low", "ci_high")}
            self._run.summary.update({f"finding/{finding.id}/{name}": value for name, value in values.items()})
        manifest = json.loads((self._directory / "manifest.json").read_text(encoding="utf-8"))
        self._run.config.update({"manifest": manifest}, allow_val_change=True)
        for path in (*(self._directory / name for name in _ATTACHED), *([report] if report else [])):
            self._attach(path)
        self._finish(exit_code=0)

    def _place(self, stage: str, total_steps: int) -> None:
        """Give a stage its part of wandb's steps, and its charts their axis; the axes themselves get no charts."""
        if stage in self._first_steps:
            return
        self._first_steps[stage] = self._next_step
        self._next_step += total_steps + 1
        for axis in ("step", "epoch", "examples_seen"):
            self._run.define_metric(f"{stage}/{axis}", hidden=True)
        self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")

    def _log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        overall = self._first_steps[stage] + step
        if overall >= self._known_steps:
            self._run.log({f"{stage}/step": step, **values}, step=overall)

    def _attach(self, path: Path) -> None:
        """Copy a file into the wandb run; a link, which wandb would make, breaks when the run directory is renamed."""
        copy = shutil.copy(path, self._run.dir)
        self._run.save(copy, base_path=self._run.dir, policy="now")

    def _finish(self, exit_code: int) -> None:
        if self._is_open:
            self._is_open = False
            unset(self._variables)
            self._run.finish(exit_code=exit_code)


def _begin(logger: LoggerConfig, directory: Path, named: NamedRun) -> wandb.Run:
    """The wandb run of this run directory, the same after a resume; recorded offline where the server is out of
    reach.
    """
    identity = directory / IDENTITY_FILE
    known = json.loads(identity.read_text(encoding="utf-8"))["id"] if identity.exists() else None
    names: dict[str, Any] = {"project": logger.project, "entity": logger.entity, **wandb_names(logger, named)}
    chosen: dict[str, Any] = {
        "id": known,
        "tags": list(logger.tags),
        "config": _settings(directory),
        "settings": _quiet_settings(),
    }
    # Offline, a file starts anew and has all of the run in it; with `resume` its steps would be counted on.
    resume: Literal["allow"] | None = "allow" if known and logger.mode == "online" else None
    try:
        run = wandb.init(mode=logger.mode, dir=directory.parent, resume=resume, **names, **chosen)
    except Exception as error:
        if logger.mode != "online":
            raise
        run = wandb.init(mode="offline", dir=directory.parent, **names, **chosen)
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        _logger.warning("wandb could not go online (%s); it records offline. Later: wandb sync %s", reason, _home(run))
    _drop_superseded(_home(run), run.id)
    files = Path("..", *_home(run).parts[-2:])
    content = {"id": run.id, "project": logger.project, **wandb_names(logger, named), "files": str(files)}
    identity.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return run


def _drop_superseded(home: Path, run_id: str) -> None:
    """Remove what earlier processes of this run recorded offline: all of it is told again, and would go up twice."""
    same_run = f"offline-run-*-{run_id}"
    numbered = f"{same_run}-*"  # how wandb calls the second of two records that begin in the same second
    for other in (*home.parent.glob(same_run), *home.parent.glob(numbered)):
        if other != home:
            shutil.rmtree(other, ignore_errors=True)


def _home(run: wandb.Run) -> Path:
    """The directory of a wandb run; its ``dir`` are the files in it."""
    return Path(run.dir).parent


def _quiet_settings() -> wandb.Settings:
    return wandb.Settings(
        console="off",
        silent=True,
        save_code=False,
        disable_git=True,
        host="",
        program="ldyn",
        init_timeout=_SECONDS_TO_CONNECT,
        x_disable_stats=True,
        x_disable_meta=True,
        x_save_requirements=False,
    )


def _settings(directory: Path) -> dict[str, Any]:
    """The run's configuration as stored in its directory."""
    return dict(yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8")))
