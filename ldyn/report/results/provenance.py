"""How a results page was made: by which command, from which code, on what, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ldyn.report.results.reproduction import Reproduction
from ldyn.report.results.text import table


def head(reproduction: Reproduction) -> str:
    """Title, what this is, and what is missing."""
    state = reproduction.state
    seeds = ", ".join(map(str, state["seeds"]))
    about = (
        f"Written by `{_command(state)}`, never by hand: every claim of the paper at scale *{state['scale']}*, "
        f"seeds {seeds}. How each statistic and its decision rule are defined stands in the docstring of the claim's "
        "function in `ldyn/findings`; how several seeds become one verdict in `ldyn/findings/over_seeds.py`."
    )
    lines = ["# Results", "", about]
    if reproduction.unfinished:
        names = ", ".join(f"{job['name']} ({job['status']})" for job in reproduction.unfinished)
        lines += ["", f"**Not finished, and not in what follows:** {names}."]
    return "\n".join(lines)


def how_it_was_made(reproduction: Reproduction) -> str:
    """Command, code, machine, and the time of each run beside what the plan expected."""
    state = reproduction.state
    versions = ", ".join(f"{name} {version}" for name, version in state["versions"].items())
    git = state["git"]
    code = f"{(git.get('commit') or 'unknown')[:12]}{' with uncommitted changes' if git.get('dirty') else ''}"
    lines = [
        "## How this was made",
        "",
        f"- Command: `{_command(state)}`",
        f"- Code: {code}; {versions}",
        f"- Machine: {state['machine']['platform']}; {state['at_a_time']} runs at a time",
        f"- Wall time of all calls together: {_minutes(state['wall_seconds'])}",
        "",
        *table(["run", "makes", "takes over", "minutes", "expected"], map(_row, reproduction.jobs)),
    ]
    return "\n".join(lines)


def _row(job: Mapping[str, Any]) -> Sequence[str]:
    makes, taken = ", ".join(job["makes"]), ", ".join(job["takes_over"])
    minutes, expected = (f"{job[name] / 60:.1f}" for name in ("seconds", "expected_seconds"))
    return [job["name"], makes or "–", taken or "–", minutes if job["seconds"] else "–", expected]


def _command(state: Mapping[str, Any]) -> str:
    return str(state["command"]).replace("__main__.py", "ldyn")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"
