from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ldyn.errors import RunDirectoryError
from ldyn.store import RunDirectory, files, read_run
from ldyn.store.directory import changed_tables
from ldyn.store.files import write_atomically


def test_a_run_in_progress_is_visibly_in_progress_until_it_is_published(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "squeeze" / "first")
    assert directory.path == tmp_path / "squeeze" / "first.partial"
    directory.write_text("config.yaml", "seed: 1\n")
    assert directory.publish() == tmp_path / "squeeze" / "first"
    assert sorted(entry.name for entry in (tmp_path / "squeeze").iterdir()) == ["first", "latest"]
    assert [entry.name for entry in directory.path.iterdir()] == ["config.yaml"]
    RunDirectory.create(tmp_path / "squeeze" / "second").publish()
    assert (tmp_path / "squeeze" / "latest").readlink() == Path("second")


def test_a_second_run_into_the_same_directory_is_refused_with_the_next_step(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "first")
    directory.write_text("config.yaml", "")
    with pytest.raises(RunDirectoryError, match=r"unfinished run: resume it with .*resume=.*first\.partial"):
        RunDirectory.create(tmp_path / "first")
    directory.publish()
    with pytest.raises(RunDirectoryError, match=r"finished run.*choose another run name"):
        RunDirectory.create(tmp_path / "first")


@pytest.mark.parametrize("name", ["latest", "first.partial"])
def test_reserved_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunDirectoryError, match="reserved"):
        RunDirectory.create(tmp_path / name)


def test_what_cannot_be_resumed_is_refused_with_what_could_be(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "other")
    with pytest.raises(
        RunDirectoryError, match=r"no unfinished run .*first\.partial.*Unfinished runs in .*other\.partial"
    ):
        RunDirectory.reopen(tmp_path / "first")
    RunDirectory.reopen(tmp_path / "other").publish()
    with pytest.raises(RunDirectoryError, match="is finished"):
        RunDirectory.reopen(tmp_path / "other")


def test_two_processes_do_not_write_one_run(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "first")
    code = "from pathlib import Path; from ldyn.store import RunDirectory\n"
    code += f"RunDirectory.reopen(Path({str(directory.path)!r}))"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "being written by another process" in refused.stderr
    directory.write_text("config.yaml", "")
    create = code.replace("reopen", "create").replace(".partial", "")
    refused = subprocess.run([sys.executable, "-c", create], capture_output=True, text=True, check=False)
    assert "being written by another process" in refused.stderr
    assert "delete" not in refused.stderr
    directory.free()
    subprocess.run([sys.executable, "-c", code], check=True)


def test_json_holds_dataclasses_paths_and_no_number_that_json_lacks(tmp_path: Path) -> None:
    @dataclass
    class Row:
        value: float
        places: tuple[Path, ...]

    directory = RunDirectory.create(tmp_path / "first")
    directory.write_json("rows.json", {"rows": [Row(float("nan"), (Path("a/b"),)), Row(1.5, ())]})
    expected = {"rows": [{"value": None, "places": ["a/b"]}, {"value": 1.5, "places": []}]}
    assert json.loads((directory.path / "rows.json").read_text()) == expected


def test_a_full_disk_leaves_the_old_content_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory.create(tmp_path / "first")
    directory.write_text("manifest.json", "old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        RunDirectoryError, match=r"No room on the disk.*MiB are free.*Free some space.*resume=.*first\.partial"
    ):
        directory.write_text("manifest.json", "new")
    assert (directory.path / "manifest.json").read_text() == "old"
    assert sorted(entry.name for entry in directory.path.iterdir()) == [".lock", "manifest.json"]


def test_a_run_does_not_replace_another_that_took_its_name_meanwhile(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "first")
    (tmp_path / "first").mkdir()
    with pytest.raises(RunDirectoryError, match=r"Move that directory away, then .*resume=.*first\.partial"):
        directory.publish()


def test_a_process_killed_while_writing_leaves_the_old_content_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_atomically(path, b"a" * 200_000)
    code = (
        "import os, signal, sys; from pathlib import Path; from ldyn.store import files\n"
        "files.os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"files.write_atomically(Path({str(path)!r}), b'b' * 200_000)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9
    assert path.read_bytes() == b"a" * 200_000
    write_atomically(path, b"c")  # and what the killed process left is no obstacle
    assert path.read_bytes() == b"c"


def test_a_reader_does_not_make_the_directory_of_a_run_that_was_published_meanwhile(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "first")
    partial = directory.path
    directory.publish()
    for name in ("report.html", "figures/panel.png"):
        with pytest.raises(RunDirectoryError, match=r"the run has finished meanwhile. Repeat the command with .*first"):
            write_atomically(partial / name, b"late")
    assert not partial.exists()


def test_a_file_that_is_being_written_while_its_run_is_published_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory.create(tmp_path / "first")
    real = files._write_through

    def published_meanwhile(*arguments: Any) -> None:
        real(*arguments)
        directory.path.rename(tmp_path / "first")

    monkeypatch.setattr(files, "_write_through", published_meanwhile)
    write_atomically(directory.path / "report.html", b"page")
    assert [entry.name for entry in (tmp_path / "first").iterdir() if entry.name != ".lock"] == ["report.html"]


def test_two_processes_may_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with ThreadPoolExecutor(8) as pool:
        contents = [bytes([number]) * 100_000 for number in range(40)]
        list(pool.map(lambda content: write_atomically(path, content), contents))
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_gone_when_the_run_is_published(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "first")
    stage = directory.path / "checkpoints" / "sft"
    for name in ("checkpoint-10", "checkpoint-20", "final"):
        (stage / name).mkdir(parents=True)
    (directory.path / ".report.html.0123456789ab.tmp").touch()
    (stage / ".x.0123456789ab.tmp").touch()
    final = directory.publish()
    assert [path.name for path in final.rglob("*")] == ["checkpoints", "sft", "final"]


def test_tables_that_change_after_the_run_are_named(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "study")
    directory.write_json("manifest.json", {"schema_version": 1, "stages": []})
    for name in ("toy", "images"):
        directory.write_table(name, pd.DataFrame({"change": [0.5]}))
    directory.write_text("samples.jsonl", "{}\n")
    run = read_run(directory.publish())
    assert changed_tables(run.path, run.manifest) == []
    (run.path / "images.parquet").unlink()
    for name in ("samples.jsonl", "toy.parquet"):
        content = bytearray((run.path / name).read_bytes())
        content[-1] ^= 1  # one bit
        (run.path / name).write_bytes(content)
    assert [Path(message.split()[0]).name for message in changed_tables(run.path, run.manifest)] == [
        "images.parquet",
        "samples.jsonl",
        "toy.parquet",
    ]
