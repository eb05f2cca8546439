"""Is a probe set fit to be measured with? Reads it as it is and asks the questions of ``quality_checks``. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ldyn.data.files import find_files, probe_files
from ldyn.data.row_files import RowFile, read_row_files
from ldyn.data.rows import Row
from ldyn.errors import DataError
from ldyn.probes.quality_checks import CHECKS
from ldyn.probes.quality_form import word_ratio
from ldyn.probes.quality_record import (
    LOWER_BOUND,
    Check,
    CheckedSet,
    QualityFinding,
    TokenCounts,
    TrainingText,
)

TOLERANCE = 0.02
_UNSEEN_SPLIT = "test"


@dataclass(frozen=True, slots=True)
class Lengths:
    """Words of one probe's responses that are not blank, and how many times as long as its source they are (median)."""

    split: str
    probe: str
    words: tuple[int, ...]
    median_ratio: float | None

    def quantile(self, share: float) -> float:
        """Words of the response below which ``share`` of them lie (0.5: the median)."""
        ordered = sorted(self.words)
        return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])


@dataclass(frozen=True)
class QualityReport:
    """What was checked and found: each check with its findings, in the order of CHECKS, and the lengths.

    rows: split -> number of rows; training_rows: how many rows "trained on" and "unseen" are judged by.
    """

    source: str
    rows: Mapping[str, int]
    training_rows: int
    tokens_exact: bool
    tolerance: float
    findings: Sequence[tuple[Check, QualityFinding]]
    lengths: Sequence[Lengths]

    @property
    def faults(self) -> list[tuple[Check, QualityFinding]]:
        """Findings that stay in the curves that ldyn measures, in more than the tolerated share of the rows."""
        return [(check, one) for check, one in self.findings if self.is_fault(check, one)]

    def is_fault(self, check: Check, one: QualityFinding) -> bool:
        """Whether the finding counts against the probe set."""
        return check.distorts and one.count > self.tolerance * one.of


def check_probe_set(
    path: Path,
    *,
    training: Path | Sequence[Row] = (),
    tokens: TokenCounts = LOWER_BOUND,
    tolerance: float = TOLERANCE,
) -> QualityReport:
    """Check a probe file, or a directory of the paper's layout.

    training: further rows (prompt, chosen and rejected) that are trained on, or a file of them, to judge by what is
        unseen.
    tolerance: the share of a probe's rows that may have a fault. Raises DataError if a file cannot be read.
    """
    probes = _read(path, training, tokens)
    of_probe = (_lengths(split, probe, texts) for split, probe, texts in probes.responses())
    return QualityReport(
        source=str(path),
        rows={split: len(rows) for split, rows in probes.splits.items()},
        training_rows=len(probes.training.rows),
        tokens_exact=tokens.exact,
        tolerance=tolerance,
        findings=[(check, one) for check in CHECKS for one in check.find(probes)],
        lengths=[lengths for lengths in of_probe if lengths.words],
    )


def _read(path: Path, training: Path | Sequence[Row], tokens: TokenCounts) -> CheckedSet:
    further_files, known = (_training_files(training), []) if isinstance(training, Path) else ([], list(training))
    read = read_row_files([*probe_files(path, unique_ids=False), *further_files])
    probes = [part for part in read if part.split != _TRAINING]
    further = known + [row for part in read if part.split == _TRAINING for row in part.rows]
    if not any(row.responses for part in probes for row in part.rows):
        raise DataError(f"{path} has no response; expected rows with a prompt and probes (chosen, rejected, …).")
    trained = [row for part in probes if part.split != _UNSEEN_SPLIT for row in part.rows]
    return CheckedSet(
        {part.split: part.rows for part in probes},
        TrainingText([*trained, *further]),
        [gap for part in probes for gap in part.missing],
        tokens,
    )


_TRAINING = "further training rows"


def _training_files(path: Path) -> list[RowFile]:
    train_file, _ = find_files(path)
    return [RowFile(train_file, _TRAINING, ("prompt", "chosen"), unique_ids=False)]


def _lengths(split: str, probe: str, texts: Sequence[tuple[Row, str]]) -> Lengths:
    filled = [(row, text) for row, text in texts if text.strip()]
    words = [len(text.split()) for _, text in filled]
    ratios = [ratio for row, text in filled if (ratio := word_ratio(row, probe, text)) is not None]
    return Lengths(split, probe, tuple(words), median(ratios) if ratios else None)
