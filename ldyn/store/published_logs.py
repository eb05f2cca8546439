"""From the columns of a published log to measures of the trajectory table; what is known to be wrong is excluded.

| published column                    | of which response | here                                        |
|-------------------------------------|-------------------|---------------------------------------------|
| ``logps_eval_prob_train/<probe>``   | that probe        | logp                                        |
| ``argmax_prob_logits``              | chosen            | logp_argmax                                 |
| ``except_argmax_prob_logits``       | chosen            | log_mass_rest, where every number is finite |
| ``p_e``                             | chosen            | residual_norm, ‖π − e‖₂                     |
| ``energy``                          | chosen            | p_label = 1 − energy                        |
| ``<probe>_A_o``, ``A_o``            |                   | excluded: averaged wrongly                  |

Early versions of the published code wrote the four columns "of chosen" again for every probe, so that the values of the
*last* probe remained. Three things show it:

1. In single examples: the most likely token at each position is at least as likely as the response's own, so
   log π(y*) ≥ log π(y) for the response y along which y* was read. Where that fails for y = chosen, the values are
   another probe's. Where one probe alone keeps to it in every example, the values are filed under that probe.
2. In means only, by ‖π‖². From p_e and energy it is p_e² − 1 + 2 (1 − energy); from a probe's A_o = ‖A‖_F it is
   (A_o² + 2) / V − 1, as ‖A‖_F² = V ‖π‖² + V − 2. Both are squares of means of norms, thus a little low. Along chosen
   the first is .64 to .81 of the second, and over twice that of shuffled words; overwritten, 1.00 to 1.06 of theirs.
3. Without a probe's name in ``A_o``: only the early versions wrote it so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ldyn.data.columns import OTHER_SPELLINGS
from ldyn.errors import DataError
from ldyn.records import MEAN_EXAMPLE
from ldyn.store.published_files import METRICS_FILE, Array, PublishedLog

_LOGP = re.compile(r"logps_eval_prob_train/(?P<probe>[\w.-]+)")
_ALONG_CHOSEN = {
    "argmax_prob_logits": "logp_argmax",
    "except_argmax_prob_logits": "log_mass_rest",
    "p_e": "residual_norm",
    "energy": "p_label",
}
_LABELS = {
    "logp_argmax": "log π(y*)",
    "log_mass_rest": "the log-mass outside y*",
    "residual_norm": "‖π − e‖",
    "p_label": "π(y)",
}
_A_NORM = re.compile(r"(?:(?P<probe>[\w.-]+)_)?A_o")
_VOCABULARIES = (50_304, 50_432, 151_936)  # of Pythia's small and large models, and of Qwen1.5
_ROUNDING = 0.01  # nats: both sides are sums of float32 numbers


@dataclass(frozen=True)
class MeasuredLog:
    """probe -> measure -> evaluations × examples, all finite. notes: what was excluded or moved, and why."""

    probes: Mapping[str, Mapping[str, Array]]
    example_ids: tuple[str, ...]
    notes: tuple[str, ...]


def measures_of(log: PublishedLog) -> MeasuredLog:
    """The measures of one directory. Raises DataError where it has no log-probability of any probe."""
    norms = [name for name in log.columns if _A_NORM.fullmatch(name)]
    named = {match["probe"]: name for name in log.columns if (match := _LOGP.fullmatch(name))}
    unknown = [name for name in log.columns if name not in {*norms, *_ALONG_CHOSEN, *named.values()}]
    notes = []
    if log.examples is None:
        notes.append("only means over the examples were published, so no finding has an interval")
    if norms:
        notes.append(f"‖A‖ ({', '.join(norms)}) is excluded: it was averaged as the square of a mean of norms")
    if unknown:
        notes.append(f"columns of unknown meaning are excluded: {', '.join(unknown)}")
    logps = {OTHER_SPELLINGS.get(probe, probe): log.column(name) for probe, name in named.items()}
    along = {measure: log.column(name) for name, measure in _ALONG_CHOSEN.items() if name in log.columns}
    logps, along = _finite(logps, notes, "log π({})"), _finite(along, notes, "{} along chosen")
    if not logps:
        raise DataError(
            f"{log.directory / METRICS_FILE} has no finite log-probability of a response: its columns are "
            f"{', '.join(log.columns[:6])} …, expected logps_eval_prob_train/chosen and the like. Is it another file?"
        )
    if "p_label" in along:
        along["p_label"] = 1 - along["p_label"]
    owner, reason = _owner(log, logps, along) if along else (None, "")
    if reason:
        what = f"what was published as along chosen ({', '.join(_LABELS[measure] for measure in along)})"
        notes.append(f"{what} is {f'filed under {owner}' if owner else 'excluded'}: {reason}")
    probes = {probe: {"logp": values} | (along if probe == owner else {}) for probe, values in logps.items()}
    # Rows of the array are rows of the probe file, and called as those are (ldyn.data.local_files).
    count = 0 if log.examples is None else log.examples.shape[2]
    ids = tuple(f"row-{number:04d}" for number in range(1, count + 1)) or (MEAN_EXAMPLE,)
    return MeasuredLog(probes, ids, tuple(f"{log.directory.name}: {note}" for note in notes))


def _finite(columns: Mapping[str, Array], notes: list[str], label: str) -> dict[str, Array]:
    """The columns whose numbers are all finite; of the others, what is missing is no random share."""
    lost = {name: int((~np.isfinite(values)).sum()) for name, values in columns.items()}
    for name, count in lost.items():
        if count:
            what = label.format(_LABELS.get(name, name))
            notes.append(f"{what} is excluded: {count:,} of {columns[name].size:,} numbers are not finite")
    return {name: values for name, values in columns.items() if not lost[name]}


def _owner(log: PublishedLog, logps: Mapping[str, Array], along: Mapping[str, Array]) -> tuple[str | None, str]:
    """The probe along which the columns "of chosen" were measured, None where none can be named; the reason, if any."""
    greedy = along.get("logp_argmax")
    if greedy is None or "chosen" not in logps:
        return None, "without log π(y*) and log π(chosen) it cannot be checked of which response it is"
    impossible = {probe: int((greedy < values - _ROUNDING).sum()) for probe, values in logps.items()}
    if impossible["chosen"]:
        broken = f"log π(y*) lies below log π(chosen) in {impossible['chosen']:,} of {greedy.size:,} cases, which"
        fits = [probe for probe, count in impossible.items() if not count]
        if len(fits) == 1 and log.examples is not None:
            return fits[0], f"{broken} cannot be; {fits[0]} alone of all probes is never above it"
        return None, f"{broken} cannot be, so another probe's values overwrote it"
    if log.examples is not None:
        return "chosen", ""
    if "A_o" in log.columns:
        return None, "a log with A_o without a probe's name kept the last probe's values instead"
    return _owner_by_norms(log)


def _owner_by_norms(log: PublishedLog) -> tuple[str | None, str]:
    """By the second rule above: chosen, or none if the values are those of the probe that was scored last."""
    norms = {match["probe"]: log.column(name)[:, 0] for name in log.columns if (match := _A_NORM.fullmatch(name))}
    last = list(norms)[-1] if norms else "chosen"
    if last == "chosen" or not {"chosen", *_ALONG_CHOSEN} <= {*norms, *log.columns}:
        return None, "without single examples, and A_o of chosen and of a later probe, it cannot be checked"
    implied = log.column("p_e")[:, 0] ** 2 - 1 + 2 * (1 - log.column("energy")[:, 0])
    squares = np.array(list(norms.values())) ** 2 + 2
    sizes = [size for size in _VOCABULARIES if (squares > size).all() and (squares < 2 * size).all()]
    if not sizes or not (implied > 0).all():
        return None, f"no known vocabulary fits A_o from {squares.min() ** 0.5:.0f} on, so it cannot be checked"
    ratios = {probe: implied / ((norms[probe] ** 2 + 2) / sizes[0] - 1) for probe in ("chosen", last)}
    if np.median(abs(np.log(ratios["chosen"]))) < np.median(abs(np.log(ratios[last]))):
        return "chosen", ""
    shares = {probe: f"{ratio.min():.2f} to {ratio.max():.2f}" for probe, ratio in ratios.items()}
    return None, (
        f"‖π‖² by p_e and energy is {shares[last]} of that by A_o of {last}, {shares['chosen']} of that of chosen, so "
        f"the values of {last} overwrote it"
    )
