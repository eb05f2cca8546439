"""A run that is killed before any change of a file resumes to the same tables: a sample of the operations, or all.

LDYN_KILLS=N kills at N operations, evenly spread (8 by default).
"""

import os
import signal
from pathlib import Path

import pytest

from ldyn.cli.main import main
from ldyn.store import read_run

SCRIPT = Path(__file__).with_name("kill_at_operation.py")
SETTINGS = ("sft.max_steps=3", "preference.max_steps=3", "trainer.checkpoint_every=2", "probes.schedule.every=2")
KILLS = int(os.environ.get("LDYN_KILLS", "8"))

pytestmark = pytest.mark.slow  # two runs for each kill


def test_a_run_killed_at_any_operation_resumes_to_the_same_tables(words, outputs, forked, tmp_path):
    runs = outputs / "smoke"
    environment = {**os.environ, "OPERATION": "0", "RUNS": str(runs), "COUNT": str(tmp_path / "count")}
    assert forked([SCRIPT, *words("untouched", *SETTINGS)], env=environment).returncode == 0
    whole, operations = read_run(runs / "untouched"), int((tmp_path / "count").read_text())
    assert operations > 50
    failed = []
    for kill in sorted({1 + round(number * (operations - 1) / max(1, KILLS - 1)) for number in range(KILLS)}):
        name = f"killed-{kill}"
        done = forked([SCRIPT, *words(name, *SETTINGS)], env=environment | {"OPERATION": str(kill)})
        if done.returncode == 0:
            break  # the first run made what this one found: it had some operations more
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert main([*words(name, *SETTINGS), "resume=auto"]) == 0
        again = read_run(runs / name)
        tables = ((whole.trajectories, again.trajectories), (whole.train_log, again.train_log))
        if not all(one.equals(other) for one, other in tables) or whole.samples != again.samples:
            failed.append(kill)
        assert repr(whole.findings) == repr(again.findings)  # with NaN where there is no interval
    assert not failed, f"other tables after a kill at operations {failed} of {operations}"
