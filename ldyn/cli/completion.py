"""Tab completion: the script that Hydra installs calls `ldyn -sc query=bash` with what was typed in COMP_LINE."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

HYDRA_COMMANDS = ("train", "toy", "images", "decompose")


def completion(words: Sequence[str], commands: Mapping[str, Callable[[Sequence[str]], int]]) -> int:
    """Answer a completion request: command names first, then whatever Hydra proposes for that command."""
    typed = os.environ.get("COMP_LINE", "").split()
    querying = words[1:2] != [] and words[1].startswith("query=")
    if querying and (len(typed) < 2 or typed[1] not in commands):
        start = typed[1] if len(typed) > 1 else ""
        print(" ".join(name for name in commands if name.startswith(start)))
        return 0
    if querying and typed[1] not in HYDRA_COMMANDS:
        return 0  # its arguments are paths; bash completes them by itself
    if querying:
        # Hydra knows nothing of subcommands: it is given the line as if `ldyn train` were the program.
        os.environ["COMP_LINE"] = os.environ["COMP_LINE"].replace(f"{typed[1]} ", "", 1)
        return commands[typed[1]](words)
    return commands["train"](words)
