"""The first paragraph of the results page: five sentences on what held, what did not, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ldyn.findings import CLAIMS
from ldyn.findings.claim import FAMILIES
from ldyn.findings.tables import finding_row
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, NO_EFFECT, Finding, FindingOverSeeds
from ldyn.report.collection import MICROWORLD, REAL_MODEL
from ldyn.report.published import PublishedRun

Found = Mapping[str, FindingOverSeeds]
CENTRAL = "D3"
_WHERE = {MICROWORLD: "in the microworld", REAL_MODEL: "on the real model"}
_VERBS = {
    HOLDS: ("holds", "hold"),
    FAILS: ("fails", "fail"),
    NO_EFFECT: ("shows no effect", "show no effect"),
    INCONCLUSIVE: ("is inconclusive", "are inconclusive"),
}


def abstract(worlds: Mapping[str, Found], logs: Mapping[str, PublishedRun]) -> str:
    """The sentences. ``worlds``: MICROWORLD and REAL_MODEL -> claim -> its finding over seeds, where runs finished."""
    ours = worlds.get(MICROWORLD, {})
    real = worlds.get(REAL_MODEL, {})
    sentences = [
        _central(worlds),
        _held(ours, MICROWORLD),
        _not_held(ours, MICROWORLD),
        " ".join((_held(real, REAL_MODEL).removesuffix(".") + ";", _not_held(real, REAL_MODEL)))
        if real
        else "No run on a real model has finished.",
        _published(logs),
    ]
    return " ".join(sentence[:1].upper() + sentence[1:] for sentence in sentences)


def _central(worlds: Mapping[str, Found]) -> str:
    name = f"that DPO squeezes ({CENTRAL})"
    parts = []
    for where, one in ((where, own[CENTRAL]) for where, own in worlds.items() if CENTRAL in own):
        row = finding_row(one)
        verb = _VERBS[one.verdict][0]
        numbers = f"{row['estimate']} {row['interval']} {row['unit']}; {row['alone']}"
        parts.append(f"{verb} {_WHERE[where]} over {row['n']} ({numbers})")
    return f"{name} {' and '.join(parts)}." if parts else f"no finished run measures {name}."


def _held(found: Found, where: str) -> str:
    if not found:
        return f"no claim was measured {_WHERE[where]}."
    held = [name for name, one in found.items() if one.verdict == HOLDS]
    which = f": {by_family(held)}" if held else ""
    return f"{_WHERE[where]} {len(held)} of {len(found)} claims that were measured hold{which}."


def _not_held(found: Found, where: str) -> str:
    """The claims with every other verdict; in the microworld also those that no run measures."""
    others = {
        verbs: names
        for verdict, (_, verbs) in _VERBS.items()
        if verdict != HOLDS and (names := [name for name, one in found.items() if one.verdict == verdict])
    }
    parts = [f"{verbs}: {by_family(names)}" for verbs, names in others.items()]
    missing = [name for name in CLAIMS if name not in found] if where == MICROWORLD else []
    rest = f"of the others some {'; some '.join(parts)}" if parts else "no other claim was measured"
    return rest + (f"; no finished run measures {by_family(missing)}" if missing else "") + "."


def _published(logs: Mapping[str, PublishedRun]) -> str:
    if not logs:
        return "No published logs were read."
    told = []
    for name, log in logs.items():
        agree = [one.id for one in log.findings if _as_claimed(one)]
        contrary = [one.id for one in log.findings if one.id not in agree]
        told.append(f"{name} as claimed in {by_family(agree) or 'none'}, not in {by_family(contrary) or 'none'}")
    return f"the published logs, one run each and so without verdicts: {'; '.join(told)}."


def _as_claimed(one: Finding) -> bool:
    primary = [part for part in one.parts if part.primary]
    beyond = (part.estimate - part.bound if part.claimed == "above" else part.bound - part.estimate for part in primary)
    return bool(primary) and all(one > 0 for one in beyond)


def by_family(names: Sequence[str]) -> str:
    """E.g. "SFT (S1, S4), DPO (D1, D3)", in the order of the families."""
    own = {family: [name for name in about.claims if name in names] for family, about in FAMILIES.items()}
    return ", ".join(f"{family} ({', '.join(ids)})" for family, ids in own.items() if ids)
