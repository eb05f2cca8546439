"""Probes can be told apart by colour and dash, and stand out from white."""

from __future__ import annotations

import numpy as np
import pytest

from ldyn.records import PROBE_FAMILIES
from ldyn.report.style import CURVE_STYLES, GREEDY, curve_style, end_label, family_of, order_probes


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast_on_white(colour: str) -> float:
    return 1.05 / (float(linear(colour) @ [0.2127, 0.7152, 0.0722]) + 0.05)


def test_every_probe_has_a_style_and_no_two_look_alike() -> None:
    assert set(CURVE_STYLES) == {*PROBE_FAMILIES, GREEDY}
    looks = [(style.colour, style.dash) for style in CURVE_STYLES.values()]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize("probe", CURVE_STYLES)
def test_lines_and_labels_stand_out_from_white(probe: str) -> None:
    assert contrast_on_white(CURVE_STYLES[probe].colour) >= 3.0
    assert contrast_on_white(CURVE_STYLES[probe].text_colour) >= 4.5


def test_a_key_of_the_users_own_has_a_style_that_depends_on_it_alone() -> None:
    assert curve_style("my_probe") == curve_style("my_probe")
    assert family_of("my_probe").group == "other"
    assert "\\$" in end_label("price_$x$")
    assert order_probes({"zeta", "rejected", GREEDY, "chosen"}) == ["chosen", "rejected", "zeta", GREEDY]
