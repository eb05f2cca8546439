from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ldyn.tracking.tensorboard_tracker import TensorboardTracker


def test_event_files_hold_every_curve_and_the_findings(follow: Callable[..., None], tmp_path: Path) -> None:
    follow(TensorboardTracker(tmp_path), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    curve = [(event.step, event.value) for event in events.Scalars("dpo/logp/rejected")]
    assert curve == [(0, -11), (2, -17), (4, -23)]
    assert [event.step for event in events.Scalars("dpo/train/loss")] == [1, 2, 3, 4]
    assert "findings/text_summary" in events.Tags()["tensors"]
