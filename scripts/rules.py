"""Write docs/RULES.md: the rules as declared, and the simulated power of each claim (a few minutes)."""

from pathlib import Path

from ldyn.findings.rules_page import POWER, power_lines, rules_text
from ldyn.findings.simulation import TRIALS, power_table

PAGE = Path(__file__).parents[1] / "docs" / "RULES.md"

if __name__ == "__main__":
    table = power_lines(list(power_table()))
    PAGE.write_text(rules_text() + POWER.format(trials=TRIALS) + "\n".join(table) + "\n", encoding="utf-8")
