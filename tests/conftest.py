"""What all tests share: no network, one thread, where the real text lies, and a quick way to start a process."""

from __future__ import annotations

import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false", MPLBACKEND="Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; tiny models gain nothing from more

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "tracking"))  # wandb_files.py is no test module and belongs to no package
AS_COMMAND = Path(__file__).with_name("as_command.py")

Forked = Callable[..., "subprocess.CompletedProcess[str]"]
Ranks = Callable[[Path, int, Path], None]


def pytest_collection_finish() -> None:
    """What was imported lives on: accelerate collects garbage at the start of every training, which looks at it all."""
    gc.freeze()


@pytest.fixture(scope="session")
def shared_directory() -> Path:
    """The directory with real text and logs, which are not part of the project; tests that need it skip without it."""
    directory = Path(os.environ.get("LDYN_SHARED", ROOT.parent / "shared"))
    if not (directory / "data").is_dir():
        pytest.skip(f"no real text at {directory}; set LDYN_SHARED to the directory that holds it")
    return directory


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Forked:
    """``forked([script, *words], cwd=, env=)``, as subprocess.run([python, script, *words]), with its output captured.

    The process is forked from one that has torch and TRL imported, which takes longer than most of what tests start.
    What must hold in a process that begins with nothing is tested with subprocess.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ldyn.run.run", "ldyn.cli.train", "ldyn.cli.report", "ldyn.run.generate"])
    outputs = tmp_path_factory.mktemp("forked")

    def run(
        command: Sequence[str | Path], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        words, environment = [str(word) for word in command], dict(os.environ if env is None else env)
        own = mkdtemp(dir=outputs)  # several may run at once
        files = {"STDOUT": f"{own}/stdout", "STDERR": f"{own}/stderr"}
        given = {"COMMAND": words, "DIR": str(cwd), "ENVIRONMENT": environment, **files}
        process = context.Process(target=runpy.run_path, args=(str(AS_COMMAND), given))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(words, timeout)
        said = (Path(path).read_text(encoding="utf-8") for path in files.values())
        return subprocess.CompletedProcess(words, process.exitcode, *said)

    return run


@pytest.fixture(scope="session")
def ranks(forked: Forked) -> Ranks:
    """``ranks(script, number, directory)`` runs `python script RANK directory` for each rank, all at once, to their
    end.
    """

    def run(script: Path, number: int, directory: Path) -> None:
        with ThreadPoolExecutor(number) as threads:
            done = list(threads.map(lambda rank: forked([script, str(rank), directory]), range(number)))
        assert [one.returncode for one in done] == [0] * number, [one.stderr for one in done]

    return run
