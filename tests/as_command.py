"""A Python script in this process, which was forked for it, as `python SCRIPT WORDS...` would run it in one of its own.

Run by ``forked`` of conftest.py through runpy.run_path, with these globals: COMMAND (the script and its words), DIR
(where it runs), ENVIRONMENT (all of it), STDOUT and STDERR (files).
"""

import gc
import os
import runpy
import sys

gc.freeze()  # what was imported before the fork need not be looked at by every collection after it
given = globals()
for path, descriptor in ((given["STDOUT"], 1), (given["STDERR"], 2)):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
os.environ.clear()
os.environ.update(given["ENVIRONMENT"])
os.chdir(given["DIR"])
sys.argv = list(given["COMMAND"])
runpy.run_path(sys.argv[0], run_name="__main__")
