"""`ldyn probes`: build a probe set, or check one."""

from __future__ import annotations

from collections.abc import Sequence

CHECK = "--check"


def main(arguments: Sequence[str]) -> int:
    """Checking needs no torch, so the two are imported apart; each has a help page of its own."""
    if any(word.partition("=")[0] == CHECK for word in arguments):
        from ldyn.cli import probes_check

        return probes_check.main(arguments)

    from ldyn.cli import probes_build

    return probes_build.main(arguments)
