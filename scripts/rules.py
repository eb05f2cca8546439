"""Write docs/RULES.md: the rules as declared, and the simulated power of each claim (a few minutes)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from simulation import TRIALS, power_table

from ldyn.findings import CLAIMS
from ldyn.findings.claim import FAMILIES, Claim, Part
from ldyn.findings.sources import DEPTHS, SOURCES

PAGE = Path(__file__).parents[1] / "docs" / "RULES.md"

HEAD = """# Rules

For readers of verdicts. This page is written by `python scripts/rules.py` from `ldyn/findings`; a test compares them.
The power table below is simulated by `scripts/simulation.py`.

- A claim has **primary** parts, which decide, and **secondary** parts, which are shown with a verdict of their own.
- A part is the mean of a quantity, claimed to lie above or below a bound. Its **smallest effect of interest** is
  declared before any run.
- **One run** shows estimates with 95 % intervals over its probe examples (Student's t), labelled *this run*. It has no
  verdict: another seed is another matter.
- **Over seeds** the unit is the seed. At the one-sided level of its family a part *holds* if its interval lies on the
  claimed side, *fails* if it lies on the other side by more than the smallest effect, has *no effect found* if the
  interval lies within ± the smallest effect, and is *inconclusive* otherwise, as with fewer than three seeds.
- A claim *fails* if a primary part fails, *holds* if all hold, has *no effect found* if one of them has none.
- **Families are fixed**, one for each figure, table or question: the level is 5 % divided by the number of claims of
  the family (Bonferroni). A verdict does not depend on what else ran. The 95 % intervals shown are not corrected.
- **Sources are fixed**: which experiment decides a claim is [declared](#which-experiment-decides), so runs that look
  alike change no verdict. A sweep of one experiment is judged by itself.
- `ldyn verify SWEEP` prints for each claim how many seeds 80 % power takes at the effect and spread measured.
- **Bells** (S2, S3): each seed is read at the peak of the *other* seeds' mean curve, so the maximum is not biased by
  the seed's own noise; both the rise to it and the fall from it must hold.
- T3 to T5 are about every condition of the toy: each random start is read in the condition in which the *others* do
  worst. T1 and T2 say *always*: each start is read in its own worst step.
"""

POWER = """## Power

Simulated experiments with the planned number of seeds, {trials} for each number (five times as many where the primary
quantity is drawn). *Power*: how often the claim holds at the effect. *False*: how often it holds although one primary
part has no effect, at most, over its parts. Seeds differ by a quarter or by a half of the effect, independently in each
curve. Examples differ as in the released arrays: effects by a half, values by 2 nats. S2 has log-spaced evaluations,
since the logged bell peaks at the first of 40; the others have 7 evenly spaced ones. A simulated rate near 5 % may be
off by a point; a claim that is a family of its own has a true one of 5 %.

"""


def rules_text() -> str:
    """The rules, without the simulations."""
    lines = [HEAD]
    for name, family in FAMILIES.items():
        level = f"one-sided level {100 * family.alpha:.2g} % for each claim, {family.seeds} seeds planned"
        lines += [f"## Family {name}", "", f"{family.about}; {level}.", ""]
        for claim in (CLAIMS[one] for one in family.claims):
            lines += [f"**{claim.id}** {claim.text}.{' ' + claim.note if claim.note else ''}", "", *_table(claim), ""]
    return "\n".join([*lines, *_sources(), "", ""])


def _sources() -> list[str]:
    """Which experiment decides which claim, claims with the same sources in one row."""
    claims: dict[tuple[str, ...], list[str]] = {}
    for claim in CLAIMS:
        claims.setdefault(SOURCES[claim], []).append(claim)
    rows = [f"| {', '.join(own)} | {', '.join(f'`{name}`' for name in names)} |" for names, own in claims.items()]
    depths = ", ".join(f"`{name}`" for name in DEPTHS)
    about = f"""On a page with several experiments the first of these that measures the claim decides it. A part of
`ldyn reproduce` is an experiment of its own. The depth series is {depths} together."""
    return ["## Which experiment decides", "", about, "", "| claims | decided by |", "|---|---|", *rows]


def _table(claim: Claim) -> list[str]:
    head = ["| | quantity | claimed | smallest effect | unit |", "|---|---|---|---|---|"]
    return [*head, *map(_row, claim.parts)]


def _row(part: Part) -> str:
    kind, name = (
        ("primary", f"**{part.quantity}**") if part.primary else ("secondary", f"{part.quantity} {part.each}".strip())
    )
    return f"| {kind} | {name} | {part.claimed} {part.bound:g} | {part.smallest:g} | {part.unit} |"


def power_lines(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """The table of ``simulation.power_table`` as Markdown."""
    shares = [name for name in rows[0] if name.startswith(("power", "false"))]
    head = ["| claim | seeds | effect | " + " | ".join(shares) + " |", "|---|---|---|" + "---|" * len(shares)]
    return head + [
        f"| {row['claim']} | {row['seeds']} | {row['effect']} | "
        + " | ".join(f"{100 * float(str(row[share])):.1f} %" for share in shares)
        + " |"
        for row in rows
    ]


if __name__ == "__main__":
    table = power_lines(list(power_table()))
    PAGE.write_text(rules_text() + POWER.format(trials=TRIALS) + "\n".join(table) + "\n", encoding="utf-8")
