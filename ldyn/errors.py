"""The errors a user can meet. Each message says what was found, what was expected and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Collection


class LdynError(Exception):
    """Base of every error that ldyn raises on purpose; the command line prints it without a traceback."""

    exit_code = 1


class ConfigError(LdynError):
    """A configuration that cannot run. Carries every fault found, not only the first."""

    exit_code = 2

    def __init__(self, faults: list[str]):
        self.faults = faults
        head = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"The configuration has {head}:", *(f"  - {fault}" for fault in faults)]))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[str]]]:
        return type(self), (self.faults,)  # jobs of a sweep return their errors pickled


class DataError(LdynError):
    """Input text that cannot be used: a missing or malformed file, a row without a required field."""


class ModelError(LdynError):
    """A model or tokenizer that cannot be loaded, or that does not fit the data."""


class RunDirectoryError(LdynError):
    """A run directory that cannot be written, read or resumed."""


class ApiError(LdynError):
    """An endpoint that cannot be used, or answers that stopped coming; what was answered before is kept."""


class TrainingError(LdynError):
    """Training that cannot continue, for instance a loss that is not finite."""


class LostProcess(LdynError):
    """One of the processes of a run has ended or was killed while the others still needed it."""


class SweepError(LdynError):
    """Jobs of a sweep that did not finish; the others did."""


class Interrupted(LdynError):
    """The run was asked to stop (Ctrl-C, SIGTERM) and saved a checkpoint first."""

    def __init__(self, signal_number: int, message: str):
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
        super().__init__(message)

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int, str]]:
        return type(self), (self.signal_number, str(self))


def expected_one_of(found: str, known: Collection[str]) -> str:
    """How a wrong name is answered: the close matches, if there are any, and everything that exists."""
    close = difflib.get_close_matches(found, known, n=3)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}expected one of {', '.join(sorted(known)) or 'none'}"
