"""Probes can be told apart: by colour, also under simulated colour blindness, by dash, and against white."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ldyn.records import PROBE_FAMILIES
from ldyn.report.style import CURVE_STYLES, GREEDY, curve_style, end_label, family_of, order_probes

# Linear-RGB simulations of severe deficiency: G. Machado et al., IEEE TVCG 15 (2009) 1291.
VISION = {
    "full": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
TO_XYZ = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.0888])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast_on_white(colour: str) -> float:
    return 1.05 / (float(linear(colour) @ TO_XYZ[1]) + 0.05)


def test_every_probe_has_a_style_and_no_two_look_alike() -> None:
    assert set(CURVE_STYLES) == {*PROBE_FAMILIES, GREEDY}
    looks = [(style.colour, style.dash) for style in CURVE_STYLES.values()]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize("probe", CURVE_STYLES)
def test_lines_and_labels_stand_out_from_white(probe: str) -> None:
    assert contrast_on_white(CURVE_STYLES[probe].colour) >= 3.0
    assert contrast_on_white(CURVE_STYLES[probe].text_colour) >= 4.5


@pytest.mark.parametrize("vision", VISION)
def test_the_leading_curves_of_the_families_stay_apart(vision: str) -> None:
    leading = ["chosen", "rejected", "irr_train", "random_permute", GREEDY]
    seen = {probe: lab(VISION[vision] @ linear(CURVE_STYLES[probe].colour)) for probe in leading}
    for one, other in combinations(leading, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 12, (one, other)


def test_a_key_of_the_users_own_has_a_style_that_depends_on_it_alone() -> None:
    assert curve_style("my_probe") == curve_style("my_probe")
    assert family_of("my_probe").group == "other"
    assert "\\$" in end_label("price_$x$")
    assert order_probes({"zeta", "rejected", GREEDY, "chosen"}) == ["chosen", "rejected", "zeta", GREEDY]
