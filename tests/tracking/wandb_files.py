"""What wandb has written to the disk, read without a network or an account; and as a script, what it is to record.

`python wandb_files.py LOGGER PART:DIR ...` follows small runs in two stages, sft and dpo. LOGGER: settings as JSON.
PART: "whole"; "interrupted" after step 3 of dpo; "resumed" from the checkpoint at its step 2.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ldyn.records import ProbeScore, ProbeStep, StageInfo
from ldyn.tracking import LoggerConfig, StagePast, make_observer

KEY = "0123456789abcdef" * 4


def record(work: Path, *parts: str, logger: Mapping[str, Any], **variables: str) -> str:
    """Follow parts of runs ("PART:RUN") in one process in ``work``; returns what it printed on standard error."""
    command = [sys.executable, __file__, json.dumps({"kind": "wandb", **logger}), *parts]
    free_of_wandb = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "XDG"))}
    home = work / "home"  # where nobody is logged in
    home.mkdir(exist_ok=True)
    own = {"HOME": str(home), "NETRC": str(home / "none"), "MPLCONFIGDIR": str(work / "matplotlib")}
    environment = {**free_of_wandb, **own, **variables}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}"
    return done.stderr


@dataclass
class RecordedRun:
    """A run as a .wandb file has it: rows of history, and the rest as it was last."""

    directory: Path
    about: Any = None
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    artifact_paths: list[Path] = field(default_factory=list)
    exit_code: int | None = None

    def series(self, name: str, axis: str) -> dict[Any, Any]:
        """A curve: the values of ``name`` over those of ``axis``, which must be different."""
        points = [(row[axis], row[name]) for row in self.history if name in row]
        assert len({place for place, _ in points}) == len(points), f"{name} has a place on {axis} twice"
        return dict(points)


def recorded_run(directory: Path) -> RecordedRun:
    """Read the one .wandb file in a wandb run's directory."""
    from wandb.proto.wandb_internal_pb2 import Record

    [path] = directory.glob("*.wandb")
    run = RecordedRun(directory)
    for data in _records(path):
        record = Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.about = record.run
            run.config.update(_values(record.run.config.update))
        elif kind == "config":
            run.config.update(_values(record.config.update))
        elif kind == "history":
            run.history.append(_values(record.history.item))
        elif kind == "summary":
            run.summary.update(_values(record.summary.update))
        elif kind == "files":
            run.files += [file.path for file in record.files.files]
        elif kind == "artifact":
            run.artifact_paths += [Path(entry.local_path) for entry in record.artifact.manifest.contents]
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(path: Path, block: int = 32768) -> Iterator[bytes]:
    """Raw records of a .wandb file: a 7-byte header, then LevelDB log blocks (crc32 u32, length u16, type u8, data)."""
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    place, part = 7, b""
    while place + 7 <= len(content):
        left = block - place % block
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        part = content[place + 7 : place + 7 + length] if kind in (1, 2) else part + content[place + 7 :][:length]
        place += 7 + length
        if kind in (1, 4):
            yield part


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


def fill(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text("seed: 3\nname: squeeze\nmodel: {layers: 2}\n")
    (directory / "manifest.json").write_text('{"status": "finished", "hashes": {"data": "ab12"}}')
    (directory / "report.html").write_text("<p>report</p>")


def follow_part(final: Path, logger: LoggerConfig, part: str) -> None:
    """The directory of a finished run gets its final name before the tracker is closed, as that of a real run does."""
    directory = final.with_name(final.name + ".partial")
    fill(directory)
    observer = make_observer(logger, directory, "squeeze")
    if part == "resumed":
        observer.stage_recalled(SFT, STEPS["sft"], past("sft", STEPS["sft"]))
        observer.stage_recalled(STAGE, STEPS["dpo"], past("dpo", 2))
    else:
        observer.stage_started(SFT, STEPS["sft"])
        past("sft", STEPS["sft"]).replay(observer.probes_scored, partial(observer.step_logged, "sft"))
        observer.stage_finished(SFT)
    observer.stage_started(STAGE, STEPS["dpo"])
    first, last = (3 if part == "resumed" else 0), (3 if part == "interrupted" else STEPS["dpo"])
    past("dpo", last, first).replay(observer.probes_scored, partial(observer.step_logged, "dpo"))
    if part != "interrupted":
        observer.stage_finished(STAGE)
        observer.run_finished([FINDING], directory / "report.html")
        directory.rename(final)
    observer.close()


if __name__ == "__main__":
    from conftest import FINDING, STAGE, scores_at

    for word in sys.argv[2:]:
        part, _, directory = word.partition(":")
        follow_part(Path(directory), LoggerConfig(**json.loads(sys.argv[1])), part)
