"""Labels at line ends: apart, in order, moved no further than needed, and so on the drawn figures as well."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldyn.records import StageInfo
from ldyn.report.curves import summarise
from ldyn.report.figures.canvas import spread
from ldyn.report.figures.curves import overview, stage_panel
from ldyn.report.figures.material import Material

TARGETS = st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=8)


@given(TARGETS)
def test_spread_keeps_distance_bounds_and_order(targets: list[float]) -> None:
    placed = spread(targets, gap=9, low=-10, high=110)
    ordered = placed[np.argsort(targets, kind="stable")]
    assert (np.diff(ordered) >= 9 - 1e-9).all()
    assert ordered[0] >= -10 - 1e-9
    assert ordered[-1] <= 110 + 1e-9


def test_spread_leaves_labels_that_have_room_and_parts_the_others_evenly() -> None:
    assert spread([0, 30, 60], 10, 0, 100).tolist() == [0, 30, 60]
    assert spread([50, 50], 10, 0, 100).tolist() == [45, 55]
    # 40 and 42 part to 36 and 46; 60 is far enough to stay.
    assert spread([60, 42, 40], 10, 0, 100).tolist() == [60, 46, 36]


def test_spread_narrows_the_gaps_where_the_room_does_not_suffice() -> None:
    assert spread([5, 5, 5], 10, 0, 10).tolist() == [0, 5, 10]


@pytest.mark.parametrize("kind", ["overview", "panel"])
def test_no_text_of_a_figure_covers_another_or_leaves_the_page(synthetic: Any, kind: str) -> None:
    stages = [StageInfo(**{**stage, "view": tuple(stage["view"])}) for stage in synthetic.squeeze]
    material = Material(summarise(synthetic.trajectories(synthetic.squeeze, n_examples=9, evaluations=4)), stages)
    drawing = overview(material) if kind == "overview" else stage_panel(material, stages[1])
    canvas = drawing.canvas
    canvas.canvas.draw()
    labels = [text for axes in canvas.axes for text in axes.texts if text.get_text() and text.get_ha() == "left"]
    boxes = [text.get_window_extent() for text in labels]
    assert len(boxes) >= 13
    for box in boxes:
        assert canvas.bbox.x0 <= box.x0
        assert box.x1 <= canvas.bbox.x1
    heights = [box.height for box in boxes]
    for one, other in combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        along = min(one.y1, other.y1) - max(one.y0, other.y0)
        # Superscripts and subscripts of neighbours may interlock, letters may not.
        assert across <= 0 or along <= 0.45 * min(heights)
