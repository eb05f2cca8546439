"""`OPERATION=K python kill_at_operation.py train ...`: `ldyn train`, killed before its K-th change of a run's file.

K=0 only counts them, into the file COUNT. Opening a file to write, renaming, deleting, linking and making directories
are changes.
"""

import os
import signal
import sys
from pathlib import Path

from ldyn.cli.main import main

KILL_AT, RUNS = int(os.environ["OPERATION"]), os.environ["RUNS"]
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
seen = []


def watch(event, arguments):
    is_change = event in CHANGES or (event == "open" and (arguments[2] or 0) & WRITING)
    if is_change and str(arguments[0]).startswith(RUNS):
        seen.append(event)
        if len(seen) == KILL_AT:
            os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(watch)
code = main(sys.argv[1:])
if KILL_AT == 0:
    Path(os.environ["COUNT"]).write_text(str(len(seen)))
sys.exit(code)
