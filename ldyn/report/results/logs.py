"""What others' logs show, judged by the same rules, and their curves laid over ours."""

from __future__ import annotations

from collections.abc import Iterator

from ldyn.records import Finding
from ldyn.report.results.figures import AddPicture
from ldyn.report.results.reproduction import LOGS, Reproduction
from ldyn.report.results.text import estimate, mark, table
from ldyn.store import Run


def log_sections(reproduction: Reproduction, add_picture: AddPicture) -> str:
    """Empty where no logs were set beside."""
    if not reproduction.logs:
        return ""
    about = "Imported by `ldyn import-logs`, which leaves out what is known to be broken in them."
    lines = ["## Others' logs", "", about]
    for name, run in reproduction.logs.items():
        lines += ["", f"### {name}", "", *_findings(run.findings), "", *_notes(run)]
        overlay = run.path / "figures" / "reference_overlay.png"
        if overlay.exists():
            path = add_picture(overlay, f"{LOGS}_{name}_overlay.png")
            lines += ["", f"![The curves of {name} and ours, each in units of its own range]({path})"]
    return "\n".join(lines)


def _findings(findings: list[Finding]) -> list[str]:
    rows = [[f"**{one.id}**", one.claim, f"{mark(one.verdict)} {estimate(one)}", one.reason] for one in findings]
    return table(["", "claim", "these logs", "why"], rows)


def _notes(run: Run) -> Iterator[str]:
    yield from (f"- {note}" for note in run.manifest.get("notes", []))
