"""How each probe looks, everywhere: one colour, dash and label for each probe key, on figures and in the page.

Families are told apart by hue (chosen blue, rejected vermilion, irrelevant green, random grey; the greedy mass black)
and members of a family also by dash and lightness, so that no meaning hangs on colour alone. The hues stay apart
under simulated protanopia, deuteranopia and tritanopia; lines have a contrast of at least 3:1 on white, text 4.5:1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from ldyn.records import PROBE_FAMILIES, ProbeFamily

GREEDY = "greedy"
"""Key of the curve that is no probe of its own: the mass of the most likely tokens along the chosen response."""

KEY_PROBES = ("chosen", "rejected", "chosen_gptsemantic", "irr_train", "irr_test", "random_permute", GREEDY)
"""What a first look shows."""

GREEDY_FAMILY = ProbeFamily("greedy", "y*", "greedy mass along y⁺: the most likely token at each position")

GROUPS: tuple[str, ...] = ("chosen", "rejected", "irrelevant", "random")

Dash = tuple[float, ...]
SOLID: Dash = ()
DASHED: Dash = (5, 2)
DASH_DOT: Dash = (6, 1.8, 1.5, 1.8)
DOTTED: Dash = (1.5, 1.5)
LOOSELY_DOTTED: Dash = (1.5, 3)
LONG_DASHED: Dash = (9, 3)


@dataclass(frozen=True, slots=True)
class CurveStyle:
    """colour: of the line; text_colour: of its label; dash: lengths on and off, in line widths; width: points.

    mathtext: the paper's symbol for matplotlib; name: two or three words for a label at a line's end.
    """

    colour: str
    text_colour: str
    dash: Dash
    width: float
    mathtext: str
    name: str

    @property
    def line_style(self) -> str | tuple[int, Dash]:
        """The dash as matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"


_BLUE_TEXT, _RED_TEXT, _GREEN_TEXT, _GREY_TEXT, _PURPLE_TEXT = "#0B4F9E", "#A82E00", "#006B35", "#4D4D4D", "#6A2C91"

CURVE_STYLES: Mapping[str, CurveStyle] = {
    "chosen": CurveStyle("#0B4F9E", _BLUE_TEXT, SOLID, 2.2, r"$y^+$", "chosen"),
    "chosen_initial": CurveStyle("#5F86D6", _BLUE_TEXT, DOTTED, 1.6, r"$y_\pi$", "initial answer"),
    "chosen_selfr": CurveStyle("#7390CF", _BLUE_TEXT, LONG_DASHED, 1.6, r"$y^+_{\mathrm{selfr}}$", "self rephrase"),
    "chosen_gptsemantic": CurveStyle("#1F78CC", _BLUE_TEXT, DASHED, 1.6, r"$y^+_{\mathrm{gpts}}$", "same meaning"),
    "chosen_gptformat": CurveStyle("#3F95D9", _BLUE_TEXT, DASH_DOT, 1.6, r"$y^+_{\mathrm{gptf}}$", "same form"),
    "rejected": CurveStyle("#B83200", _RED_TEXT, SOLID, 2.2, r"$y^-$", "rejected"),
    "reject_gptsemantic": CurveStyle("#E2601F", _RED_TEXT, DASHED, 1.6, r"$y^-_{\mathrm{gpts}}$", "same meaning"),
    "reject_gptformat": CurveStyle("#D9782F", _RED_TEXT, DASH_DOT, 1.6, r"$y^-_{\mathrm{gptf}}$", "same form"),
    "irr_train": CurveStyle("#007F3F", _GREEN_TEXT, SOLID, 2.2, r"$y^+_{j\neq u}$", "other train answer"),
    "irr_test": CurveStyle("#2C9C5A", _GREEN_TEXT, DASHED, 1.6, r"$y^+_{\mathrm{test}}$", "unseen answer"),
    "irr_hum": CurveStyle("#5F9E3A", _GREEN_TEXT, DASH_DOT, 1.6, r"$y_{\mathrm{hum}}$", "human sentence"),
    "random_permute": CurveStyle("#5A5A5A", _GREY_TEXT, DOTTED, 2.0, r"$y^+_{\mathrm{urnd}}$", "shuffled chosen"),
    "random_nonhum": CurveStyle("#8C8C8C", _GREY_TEXT, LOOSELY_DOTTED, 2.0, r"$y_{\mathrm{rnd}}$", "shuffled words"),
    GREEDY: CurveStyle("#000000", "#000000", SOLID, 2.8, r"$y^*$", "greedy mass"),
}

_UNKNOWN_DASHES: tuple[Dash, ...] = (SOLID, DASHED, DASH_DOT, DOTTED, LONG_DASHED, LOOSELY_DOTTED)


def curve_style(probe: str) -> CurveStyle:
    """Style of a probe key; a key of the user's own gets purple and a dash that depends on the key only."""
    known = CURVE_STYLES.get(probe)
    if known is not None:
        return known
    dash = _UNKNOWN_DASHES[crc32(probe.encode()) % len(_UNKNOWN_DASHES)]
    name = probe if len(probe) <= 22 else probe[:21] + "…"
    return CurveStyle("#8E44AD", _PURPLE_TEXT, dash, 1.6, "", name)


def family_of(probe: str) -> ProbeFamily:
    """Group, symbol and words of a probe key; keys of the user's own form the group "other"."""
    if probe == GREEDY:
        return GREEDY_FAMILY
    return PROBE_FAMILIES.get(probe, ProbeFamily("other", probe, "a probe of this run's own"))


def order_probes(probes: set[str]) -> list[str]:
    """The probes in the fixed order of PROBE_FAMILIES, keys of the user's own last and sorted."""
    known = [probe for probe in PROBE_FAMILIES if probe in probes]
    return known + sorted(probes.difference(PROBE_FAMILIES, {GREEDY})) + ([GREEDY] if GREEDY in probes else [])


def end_label(probe: str) -> str:
    """Text at the end of a line: the name and the paper's symbol."""
    style = curve_style(probe)
    return f"{style.name} {style.mathtext}".strip().replace("$ $", " ") if style.mathtext else plain(style.name)


def plain(text: str) -> str:
    """A user's text for matplotlib, which a dollar sign would switch to math."""
    return text.replace("$", r"\$")


FIGURE_RC: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "mathtext.fontset": "dejavusans",
}
