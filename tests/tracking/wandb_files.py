"""What wandb has written to the disk, read without a network or an account."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STORY = Path(__file__).with_name("wandb_story.py")
KEY = "0123456789abcdef" * 4


def tell(work: Path, *chapters: str, logger: Mapping[str, Any], **variables: str) -> str:
    """Tell a tracker parts of the story of runs ("PART:RUN"), in one process in ``work``; returns what it said."""
    command = [sys.executable, str(STORY), json.dumps({"kind": "wandb", **logger}), *chapters]
    own = environment(work / "home", **variables)
    done = subprocess.run(command, cwd=work, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}"
    return done.stderr


def environment(home: Path, **variables: str) -> dict[str, str]:
    """An environment in which nobody is logged in, with a home that is empty at first."""
    free_of_wandb = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "XDG"))}
    home.mkdir(exist_ok=True)
    own = {"HOME": str(home), "NETRC": str(home / "none"), "MPLCONFIGDIR": str(home.parent / "matplotlib")}
    return {**free_of_wandb, **own, **variables}


@dataclass
class RecordedRun:
    """A run as a .wandb file has it: rows of history, and the rest as it was last."""

    directory: Path
    about: Any = None
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
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
        elif kind == "metric":
            run.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
            run.hidden |= {record.metric.name} if record.metric.options.hidden else set()
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
