"""Weights & Biases: curves of every probe and metric, then findings, report, settings and manifest.

Offline by default: the files lie in ``wandb`` beside the run directory, for all runs of a sweep, and `wandb sync`
uploads them later. They cannot lie in the run directory, which is renamed at the end: wandb knows files by their path.
Nothing of the machine, the console or the code is recorded; the key stays in the environment.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil
import wandb
import yaml

from ldyn.records import FINDING_FIELDS, Finding, ProbeScore, ProbeStep, StageInfo
from ldyn.tracking import LoggerConfig, quiet_wandb
from ldyn.tracking.means import Charts
from ldyn.tracking.observers import Observer, StagePast

_logger = logging.getLogger(__name__)
_SECONDS_TO_CONNECT, _SECONDS_TO_FINISH, _SECONDS_TO_END = 30, 120, 5
IDENTITY_FILE = "wandb.json"
_LONGEST_NAME = 120
_SETTINGS: dict[str, Any] = {
    "init_timeout": _SECONDS_TO_CONNECT, "console": "off", "silent": True, "save_code": False, "disable_git": True,
    "host": "", "program": "ldyn", "x_disable_stats": True, "x_disable_meta": True, "x_save_requirements": False,
}  # fmt: skip


class WandbTracker(Observer):
    """One wandb run. Each stage has its charts, named ``<stage>/…``, over its own steps ``<stage>/step``.

    wandb's own step counts the updates of all stages (and one for the start of each), so it is the same when a resumed
    run replays its past: what wandb has already is skipped, and what a killed process lost is sent.
    """

    def __init__(self, logger: LoggerConfig, directory: Path, experiment: str):
        self._directory, self._charts = directory, Charts()
        self._first_steps: dict[str, int] = {}  # stage -> wandb's step of its step 0
        self._next_step, self._is_open = 0, True
        quiet_wandb(str((directory.parent / "wandb").resolve()))  # else its files lie in the user's home
        self._run = _begin(logger, directory, experiment)
        self._known_steps = self._run.starting_step

    def stage_recalled(self, stage: StageInfo, total_steps: int, past: StagePast) -> None:
        self._place(stage.name, total_steps)
        past.replay(self.probes_scored, partial(self.step_logged, stage.name))

    def stage_started(self, stage: StageInfo, total_steps: int) -> None:
        self._place(stage.name, total_steps)

    def step_logged(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self._log(stage, step, {f"{stage}/train/{key}": value for key, value in metrics.items()})

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        place = {f"{probe_step.stage}/{axis}": getattr(probe_step, axis) for axis in ("epoch", "examples_seen")}
        self._log(probe_step.stage, probe_step.step, {**place, **self._charts.points(probe_step, scores)})

    def run_finished(self, findings: Sequence[Finding], report: Path | None) -> None:
        within(_SECONDS_TO_FINISH, lambda: self._log_results(findings, report))

    def close(self) -> None:
        within(_SECONDS_TO_FINISH, lambda: self._finish(exit_code=1))

    def _log_results(self, findings: Sequence[Finding], report: Path | None) -> None:
        rows: list[Iterable[Any]] = [[getattr(finding, name) for name in FINDING_FIELDS] for finding in findings]
        table = wandb.Table(columns=list(FINDING_FIELDS), data=rows)
        page = {"report": wandb.Html(str(report), inject=False)} if report else {}
        self._run.log({"findings": table, **page}, step=max(self._next_step, self._known_steps))
        for finding in findings:
            values = {name: getattr(finding, name) for name in ("verdict", "estimate", "ci_low", "ci_high")}
            self._run.summary.update({f"finding/{finding.id}/{name}": value for name, value in values.items()})
        manifest = json.loads((self._directory / "manifest.json").read_text(encoding="utf-8"))
        self._run.config.update({"manifest": manifest}, allow_val_change=True)
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

    def _finish(self, exit_code: int) -> None:
        if self._is_open:
            self._is_open = False
            self._run.finish(exit_code=exit_code)


def _begin(logger: LoggerConfig, directory: Path, experiment: str) -> wandb.Run:
    """The wandb run of this run directory, the same after a resume; recorded offline where no server is in reach."""
    identity = directory / IDENTITY_FILE
    known = json.loads(identity.read_text(encoding="utf-8"))["id"] if identity.exists() else None
    name = logger.run_name or f"{experiment}/{directory.name.removesuffix('.partial')}"
    names: dict[str, Any] = {
        "project": logger.project, "group": logger.group or experiment, "job_type": experiment,
        "name": name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…",
    }  # fmt: skip
    config = dict(yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8")))
    begin = partial(
        wandb.init, id=known, entity=logger.entity, tags=list(logger.tags), config=config,
        dir=directory.parent, settings=wandb.Settings(**_SETTINGS), **names,
    )  # fmt: skip
    # Offline, a new file has all of the run in it; with `resume`, wandb would continue the count of its steps.
    resume: Literal["allow"] | None = "allow" if known and logger.mode == "online" else None
    try:
        run = begin(mode=logger.mode, resume=resume)
    except Exception as error:
        if logger.mode != "online":
            raise
        run = begin(mode="offline")
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        home = Path(run.dir).parent
        _logger.warning("wandb could not go online (%s); it records offline. Later: wandb sync %s", reason, home)
    home = Path(run.dir).parent  # ``dir`` are the files in it
    _drop_superseded(home, run.id)
    content = {"id": run.id, **names, "files": str(Path("..", *home.parts[-2:]))}
    identity.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return run


def _drop_superseded(home: Path, run_id: str) -> None:
    """Remove the offline records of earlier processes of this run: this one replays them, and they would double."""
    for other in (path for form in ("", "-*") for path in home.parent.glob(f"offline-run-*-{run_id}{form}")):
        if other != home:  # "-*": how wandb calls the second of two records that begin in the same second
            shutil.rmtree(other, ignore_errors=True)


def within(seconds: float, action: Callable[[], None]) -> None:
    """Do ``action``, but wait only so long; then end wandb's service, which has all of the run on the disk.

    wandb's own limit (``finish_timeout``) leaves a run waiting where a table is uploaded, and its exit hook waits, too.
    Raises what the action raises, and TimeoutError if it is not done in time.
    """
    try:
        _start(action).result(seconds)
    except FutureTimeout:
        for child in psutil.Process().children():
            if child.name().startswith("wandb-core"):
                child.kill()
        with contextlib.suppress(Exception, SystemExit):  # wandb exits with the code of its service, which was killed
            _start(wandb.teardown).result(_SECONDS_TO_END)
        raise TimeoutError(f"not done in {seconds} s; later: wandb sync --include-online") from None


def _start(action: Callable[[], None]) -> Future[None]:
    outcome: Future[None] = Future()

    def act() -> None:
        try:
            action()
            outcome.set_result(None)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=act, daemon=True).start()
    return outcome
