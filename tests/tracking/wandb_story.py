"""`python wandb_story.py LOGGER PART:DIR ...`: tells a tracker of small runs in two stages, sft and dpo.

LOGGER: settings as JSON. PART: "whole"; "interrupted" after step 3 of dpo; "resumed" from the checkpoint at its step 2.
The directory of a finished run gets its final name before the tracker is closed, as that of a real run does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import numpy as np
from conftest import FINDING, STAGE, scores_at

from ldyn.records import ProbeScore, ProbeStep, StageInfo
from ldyn.tracking import LoggerConfig, Observer, StagePast, make_observer, wandb_tracker

SFT = StageInfo("sft", "sft", "pointwise", ("chosen",), "base")
STEPS = {"sft": 2, "dpo": 4}


def log(first: int, last: int) -> Iterator[dict[str, float]]:
    yield from ({"step": step, "loss": 1.0 / step} for step in range(max(first, 1), last + 1))


def scored(stage: str, first: int, last: int) -> Iterator[tuple[ProbeStep, list[ProbeScore]]]:
    for step in range(first, last + 1):
        if step % 2 == 0:
            yield ProbeStep(stage, stage, step, 8 * step, step / 4), scores_at(step)


def past(stage: str, last: int, first: int = 0) -> StagePast:
    return StagePast(list(log(first, last)), list(scored(stage, first, last)))


def tell(observer: Observer, stage: str, told: StagePast) -> None:
    told.tell(observer.probes_scored, partial(observer.step_logged, stage))


def fill(directory: Path) -> list[Path]:
    (directory / "figures").mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text("seed: 3\nname: squeeze\nmodel: {layers: 2}\n")
    (directory / "manifest.json").write_text('{"status": "finished", "hashes": {"data": "ab12"}}')
    (directory / "report.html").write_text("<p>report</p>")
    matplotlib.image.imsave(directory / "figures" / "panel.png", np.zeros((4, 4, 3)))
    return [directory / "figures" / "panel.png"]


def main(final: Path, logger: LoggerConfig, part: str) -> None:
    directory = final.with_name(final.name + ".partial")
    figures = fill(directory)
    observer = make_observer(logger, directory, SimpleNamespace(name="squeeze", run=final.name))
    if part == "resumed":
        observer.stage_recalled(SFT, STEPS["sft"], past("sft", STEPS["sft"]))
        observer.stage_recalled(STAGE, STEPS["dpo"], past("dpo", 2))
    else:
        observer.stage_started(SFT, STEPS["sft"])
        tell(observer, "sft", past("sft", STEPS["sft"]))
        observer.stage_finished(SFT)
    observer.stage_started(STAGE, STEPS["dpo"])
    first, last = (3 if part == "resumed" else 0), (3 if part == "interrupted" else STEPS["dpo"])
    tell(observer, "dpo", past("dpo", last, first))
    if part != "interrupted":
        observer.stage_finished(STAGE)
        observer.run_finished([FINDING], figures, directory / "report.html")
        directory.rename(final)
    observer.close()


if __name__ == "__main__":
    for limit in ("_SECONDS_TO_CONNECT", "_SECONDS_TO_FINISH"):  # shorter where waiting is of no use
        setattr(wandb_tracker, limit, int(os.environ.get(limit, getattr(wandb_tracker, limit))))
    for chapter in sys.argv[2:]:
        part, _, directory = chapter.partition(":")
        main(Path(directory), LoggerConfig(**json.loads(sys.argv[1])), part)
