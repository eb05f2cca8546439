"""From the columns of a published log to measures of the trajectory table; what is known to be wrong is left out.

| published column                    | of which response | here                                        |
|-------------------------------------|-------------------|---------------------------------------------|
| ``logps_eval_prob_train/<probe>``   | that probe        | logp                                        |
| ``argmax_prob_logits``              | chosen            | logp_argmax                                 |
| ``except_argmax_prob_logits``       | chosen            | log_mass_rest, where every number is finite |
| ``p_e``                             | chosen            | residual_norm, ‖π − e‖₂                     |
| ``energy``                          | chosen            | p_label = 1 − energy                        |
| ``<probe>_A_o``, ``A_o``            |                   | left out: averaged wrongly                  |

Early versions of the published code wrote the four columns "of chosen" anew for every probe, so that the *last* probe's
values remained. That shows in single examples: the most likely token at each position is at least as likely as the
response's own, so log π(y*) ≥ log π(y) for the response y along which y* was read, in every example. A log in which
some example breaks this for y = chosen holds another probe's values. (Means rarely show it: the mean of log π(y*) along
shuffled words lies above that of log π(chosen) as well.) Where one probe alone keeps to it, the values are filed under
that probe. Without single examples the layout tells: the same early versions wrote ``A_o`` without a probe's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ldyn.data.columns import OTHER_SPELLINGS
from ldyn.errors import DataError
from ldyn.records import MEAN_EXAMPLE
from ldyn.store.published.files import METRICS_FILE, PublishedLog

Array = NDArray[np.float64]

_LOGP = re.compile(r"logps_eval_prob_train/(?P<probe>[\w.-]+)")
_ALONG_CHOSEN = {
    "argmax_prob_logits": "logp_argmax",
    "except_argmax_prob_logits": "log_mass_rest",
    "p_e": "residual_norm",
    "energy": "p_label",
}
_WORDS = {
    "logp_argmax": "log π(y*)",
    "log_mass_rest": "the log-mass outside y*",
    "residual_norm": "‖π − e‖",
    "p_label": "π(y)",
}
_A_NORM = re.compile(r"(?:[\w.-]+_)?A_o")
_EARLY_LAYOUT = "A_o"
_ROUNDING = 0.01  # nats: both sides are sums of float32 numbers


@dataclass(frozen=True)
class MeasuredLog:
    """probe -> measure -> evaluations × examples, all finite. notes: what was left out or moved, and why, in words."""

    probes: Mapping[str, Mapping[str, Array]]
    example_ids: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of evaluations, and of examples where these are known."""
        evaluations = len(next(iter(self.probes.values()))["logp"])
        known = {} if MEAN_EXAMPLE in self.example_ids else {"examples": len(self.example_ids)}
        return {"evaluations": evaluations, **known}


def measures_of(log: PublishedLog) -> MeasuredLog:
    """The measures of one directory. Raises DataError where it has no log-probability of any probe."""
    numbers = {name: log.numbers[:, place] for place, name in enumerate(log.columns)}
    notes = list(_unused(log))
    logps = {_probe(name): values for name, values in numbers.items() if _LOGP.fullmatch(name)}
    beside = {measure: numbers[name] for name, measure in _ALONG_CHOSEN.items() if name in numbers}
    logps, beside = _finite(logps, notes, "log π({})"), _finite(beside, notes, "{} along chosen")
    if not logps:
        raise DataError(
            f"{log.directory / METRICS_FILE} has no finite log-probability of a response: its columns are "
            f"{', '.join(log.columns[:6])} …, expected logps_eval_prob_train/chosen and the like; is it another file?"
        )
    if "p_label" in beside:
        beside["p_label"] = 1 - beside["p_label"]
    owner = _owner(log, logps, beside, notes)
    probes = {probe: {"logp": values} | (beside if probe == owner else {}) for probe, values in logps.items()}
    return MeasuredLog(probes, _example_ids(log), tuple(f"{log.directory.name}: {note}" for note in notes))


def _probe(column: str) -> str:
    probe = column.split("/", 1)[1]
    return OTHER_SPELLINGS.get(probe, probe)


def _example_ids(log: PublishedLog) -> tuple[str, ...]:
    """As the rows of the probe file are called, see ldyn.data.local_files: rows of the array are its rows."""
    if log.examples is None:
        return (MEAN_EXAMPLE,)
    return tuple(f"row-{number:04d}" for number in range(1, log.examples.shape[2] + 1))


def _unused(log: PublishedLog) -> list[str]:
    """Notes on the columns that are read for no measure, and on the examples that are missing."""
    notes = []
    if log.examples is None:
        notes.append("only means over the examples were published, so no finding has an interval")
    norms = [name for name in log.columns if _A_NORM.fullmatch(name)]
    if norms:
        of = f"{norms[0]} and {len(norms) - 1} like it" if len(norms) > 1 else norms[0]
        notes.append(f"‖A‖ ({of}) is left out: it was averaged as the square of a mean of norms")
    known = {*norms, *_ALONG_CHOSEN, *(name for name in log.columns if _LOGP.fullmatch(name))}
    unknown = [name for name in log.columns if name not in known]
    if unknown:
        notes.append(f"columns of unknown meaning are left out: {', '.join(unknown)}")
    return notes


def _finite(columns: Mapping[str, Array], notes: list[str], words: str) -> dict[str, Array]:
    """The columns whose numbers are all finite; the others are left out, as what is missing is no random share."""
    lost = {name: int((~np.isfinite(values)).sum()) for name, values in columns.items()}
    for name, count in lost.items():
        if count:
            what = words.format(_WORDS.get(name, name))
            notes.append(f"{what} is left out: {count:,} of {columns[name].size:,} numbers are not finite")
    return {name: values for name, values in columns.items() if not lost[name]}


def _owner(log: PublishedLog, logps: Mapping[str, Array], beside: Mapping[str, Array], notes: list[str]) -> str | None:
    """The probe along which the columns ``beside`` were measured; None where none can be named, said in ``notes``."""
    if not beside:
        return None
    what = f"what was published as along chosen ({', '.join(_WORDS[measure] for measure in beside)})"
    greedy = beside.get("logp_argmax")
    if greedy is None or "chosen" not in logps:
        notes.append(f"{what} is left out: without log π(y*) and log π(chosen) it cannot be told of which response")
        return None
    impossible = {probe: int(_below(greedy, values).sum()) for probe, values in logps.items()}
    fits = [probe for probe, count in impossible.items() if not count]
    if "chosen" in fits and (log.examples is not None or _EARLY_LAYOUT not in log.columns):
        return "chosen"
    if "chosen" in fits:
        notes.append(f"{what} is left out: a log with A_o without a probe's name kept the last probe's values instead")
        return None
    broken = f"log π(y*) lies below log π(chosen) in {impossible['chosen']:,} of {greedy.size:,} cases, which cannot be"
    if len(fits) == 1 and log.examples is not None:
        notes.append(f"{what} is filed under {fits[0]}: {broken}; {fits[0]} alone of all probes is never above it")
        return fits[0]
    notes.append(f"{what} is left out: {broken}, so another probe's values overwrote it")
    return None


def _below(greedy: Array, logp: Array) -> NDArray[np.bool_]:
    """Where log π(y*) is less than log π(y) by more than rounding: there y* was not read along y."""
    return greedy < logp - _ROUNDING
