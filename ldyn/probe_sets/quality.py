"""Check a probe set: run the checks of ``quality_checks`` and report counts and examples. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ldyn.data.encoder import Encoder, EncodingConfig
from ldyn.data.layouts import Row
from ldyn.data.local_files import RowFile, find_files, probe_files, read_row_files
from ldyn.data.text import one_line
from ldyn.errors import DataError
from ldyn.probe_sets.quality_checks import CHECKS, UNSEEN_SPLIT, CheckedSet, Hit, TokenCounts, TrainingText

TOLERANCE = 0.02
_EXAMPLES, _EXAMPLE_LENGTH, _EXAMPLE_WIDTH = 3, 160, 100
_TRAINING = "further training rows"
_NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True)
class Example:
    """A row in which something was found, and a piece of its text."""

    row_id: str
    text: str


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """``count`` of ``of`` rows of one split have ``what`` in ``probe`` (a probe key or "prompt").

    fault: whether it counts against the set: more than the tolerated share, and nothing that ldyn handles.
    """

    check: str
    split: str
    probe: str
    what: str
    count: int
    of: int
    fault: bool
    effect: str
    handled: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class QualityReport:
    """rows: split -> number of rows; training_rows: how many rows "trained on" and "unseen" are judged by."""

    source: str
    rows: Mapping[str, int]
    training_rows: int
    tolerance: float
    findings: Sequence[QualityFinding]

    @property
    def faults(self) -> list[QualityFinding]:
        return [finding for finding in self.findings if finding.fault]

    @property
    def summary(self) -> str:
        """Whether the set passes, and why not."""
        rows = " and ".join(f"{number} {split}" for split, number in self.rows.items())
        compared = f"{rows} rows, compared with {self.training_rows} training rows"
        if not self.faults:
            return f"passed: no fault in more than {self.tolerance:.0%} of a probe's rows ({compared})"
        names = ", ".join(sorted({finding.check for finding in self.faults}))
        return f"not passed: {names} in more than {self.tolerance:.0%} of a probe's rows ({compared})"

    def as_object(self) -> dict[str, Any]:
        """The report for JSON and for its page."""
        return {**asdict(self), "passed": not self.faults, "summary": self.summary}


def check_probe_set(
    path: Path,
    *,
    training: Path | Sequence[Row] = (),
    tokens: TokenCounts | None = None,
    tolerance: float = TOLERANCE,
) -> QualityReport:
    """Check a probe file, or a directory of the paper's layout.

    training: further rows (prompt, chosen and rejected) that are trained on, or a file of them.
    tokens: to check truncation, see ``counts_of``. tolerance: the share of a probe's rows that may have a fault.
    Raises DataError if a file cannot be read.
    """
    probes = _read(path, training, tokens)
    return QualityReport(
        source=str(path),
        rows={split: len(rows) for split, rows in probes.splits.items()},
        training_rows=len(probes.training.rows),
        tolerance=tolerance,
        findings=list(_findings(probes, tolerance)),
    )


def counts_of(name_or_path: str, *, max_prompt_tokens: int = 256, max_response_tokens: int = 256) -> TokenCounts:
    """Counts by the tokenizer of a hub model or a local directory. Raises ModelError where it cannot be loaded."""
    from ldyn.models.pretrained import pretrained_tokenizer
    from ldyn.models.settings import PretrainedConfig

    tokenizer = pretrained_tokenizer(PretrainedConfig(name_or_path), ())
    encoder = Encoder(tokenizer, EncodingConfig(max_prompt_tokens=_NO_LIMIT, max_tokens=2 * _NO_LIMIT))
    return TokenCounts(
        lambda text: len(encoder.prompt(text)),
        lambda text: len(encoder.response(text)),
        max_prompt_tokens,
        max_response_tokens,
    )


def _read(path: Path, training: Path | Sequence[Row], tokens: TokenCounts | None) -> CheckedSet:
    files = probe_files(path)
    if isinstance(training, Path):
        files.append(RowFile(find_files(training)[0], _TRAINING, ("prompt", "chosen"), unique_ids=False))
    read = {part.split: part.rows for part in read_row_files(files)}
    further = read.pop(_TRAINING, ()) if isinstance(training, Path) else training
    if not any(row.responses for rows in read.values() for row in rows):
        raise DataError(f"{path} has no response; expected rows with a prompt and probes (chosen, rejected, …).")
    trained = [row for split, rows in read.items() if split != UNSEEN_SPLIT for row in rows]
    return CheckedSet(read, TrainingText([*trained, *further]), tokens)


def _findings(probes: CheckedSet, tolerance: float) -> Iterator[QualityFinding]:
    """The hits of each check, counted by split, probe and kind."""
    for check in CHECKS:
        hits: dict[tuple[str, str, str], list[Hit]] = {}
        for hit in check.find(probes):
            hits.setdefault((hit.split, hit.probe, hit.what), []).append(hit)
        for (split, probe, what), found in hits.items():
            of = len(probes.splits[split]) if what == "missing" else probes.number(split, probe)
            fault = not check.handled and len(found) > tolerance * of
            examples = tuple(map(_example, found[:_EXAMPLES]))
            yield QualityFinding(
                check.name, split, probe, what, len(found), of, fault, check.effect, check.handled, examples
            )


def _example(hit: Hit) -> Example:
    start = max(0, hit.around - _EXAMPLE_LENGTH // 4)
    end = start + _EXAMPLE_LENGTH
    piece = ("…" if start else "") + hit.text[start:end] + ("…" if end < len(hit.text) else "")
    return Example(hit.row.row_id, piece)


def findings_tables(report: QualityReport) -> Iterator[Table | str]:
    """One table for each check that found something in more than the tolerated share; rare findings are named."""
    common = [one for one in report.findings if one.count > report.tolerance * one.of]
    for name in dict.fromkeys(one.check for one in common):
        yield _table(report, [one for one in common if one.check == name])
    if rare := sorted({one.check for one in report.findings} - {one.check for one in common}):
        yield f"In at most {report.tolerance:.0%} of a probe's rows, see the report: {', '.join(rare)}."


def _table(report: QualityReport, found: Sequence[QualityFinding]) -> Table:
    first = found[0]
    mark = "[bold red]✗[/]" if any(one.fault for one in found) else "[yellow]○[/]"
    caption = escape(f"{first.effect} {first.handled}".rstrip())
    table = Table(title=f"{mark} {first.check}", caption=caption, title_style="", box=SIMPLE_HEAD)
    table.title_justify = table.caption_justify = "left"
    table.add_column("probe", no_wrap=True)
    table.add_column("what")
    for split in report.rows:
        table.add_column(escape(one_line(split, 20)), justify="right", no_wrap=True)
    table.add_column("for example", ratio=1, overflow="fold")
    for probe, what in dict.fromkeys((one.probe, one.what) for one in found):
        of_row = {one.split: one for one in found if (one.probe, one.what) == (probe, what)}
        counts = [f"{of_row[split].count} of {of_row[split].of}" if split in of_row else "" for split in report.rows]
        example = next(iter(of_row.values())).examples[0]
        shown = escape(f"{one_line(example.row_id, 20)}: {one_line(example.text, _EXAMPLE_WIDTH)}")
        table.add_row(*(escape(one_line(text, 60)) for text in (probe, what)), *counts, shown)
    return table
