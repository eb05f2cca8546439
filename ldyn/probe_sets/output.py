"""The files of a probe set (rows in the paper's key names, a manifest) and its table for a terminal."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ldyn.data.local_files import DIR_STEMS
from ldyn.data.text import normal_response
from ldyn.probe_sets.examples import Examples
from ldyn.records import PROBE_FAMILIES, ProbeExample
from ldyn.store.directory import plain
from ldyn.store.files import write_atomically

if TYPE_CHECKING:
    from ldyn.probe_sets.build import ProbeSetBuild

FILES: Mapping[str, str] = {split: f"{stem}.jsonl" for split, stem in zip(("train", "test"), DIR_STEMS[0], strict=True)}
MANIFEST_FILE = "manifest.json"


def write_examples(examples: Examples, separator: str, directory: Path) -> dict[str, str]:
    """Write a file for each split; returns file name -> sha256. A file of a split that has no example is removed.

    The separator is put before every response here: see ``as_row``.
    """
    for split in FILES.keys() - examples.keys():
        (directory / FILES[split]).unlink(missing_ok=True)
    hashes = {}
    for split, members in examples.items():
        # ASCII with escapes, as the paper's files: whatever a text holds, each row stays one line of valid UTF-8.
        content = "".join(json.dumps(as_row(one, separator)) + "\n" for one in members).encode()
        write_atomically(directory / FILES[split], content)
        hashes[FILES[split]] = hashlib.sha256(content).hexdigest()
    return hashes


def as_row(example: ProbeExample, separator: str) -> dict[str, Any]:
    """One line of a probe file; every response begins with the separator, whoever wrote it.

    A prompt that is a conversation stays a list of messages, so that it is encoded as its training pair is.
    """
    known = [probe for probe in PROBE_FAMILIES if probe in example.responses]
    texts = {probe: separator + normal_response(example.responses[probe]) for probe in known}
    messages = [{"role": turn.role, "content": turn.content} for turn in example.turns]
    return {"id": example.example_id, "prompt": messages or example.prompt, **texts}


def write_manifest(content: Mapping[str, Any], directory: Path) -> None:
    write_atomically(directory / MANIFEST_FILE, (json.dumps(plain(content), indent=1, default=str) + "\n").encode())


def built_table(build: ProbeSetBuild) -> Table:
    """Probe by probe: how many rows of each split have it, and why the others do not."""
    table = Table(title="Probe set", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("probe", no_wrap=True)
    table.add_column("what")
    for split, rows in build.examples.items():
        table.add_column(f"{split} ({len(rows)})", justify="right", no_wrap=True)
    table.add_column("missing", overflow="fold")
    had = {probe for rows in build.examples.values() for one in rows for probe in one.responses}
    had |= {key.rpartition(".")[2] for key in build.counts}
    for probe in (probe for probe in PROBE_FAMILIES if probe in had):
        numbers = [str(sum(probe in one.responses for one in rows)) for rows in build.examples.values()]
        table.add_row(probe, PROBE_FAMILIES[probe].label, *numbers, _missing(build, probe))
    return table


def _missing(build: ProbeSetBuild, probe: str) -> str:
    reasons: Counter[str] = Counter()
    for key, number in build.counts.items():
        parts = key.split(".")
        if parts[-1] == probe and parts[1] in ("dropped", "not_constructible"):
            reasons[parts[2] if parts[1] == "dropped" else "none fits"] += number
    return ", ".join(f"{number} {reason.replace('_', ' ')}" for reason, number in reasons.most_common())
