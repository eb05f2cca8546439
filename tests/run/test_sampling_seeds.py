"""Random numbers of one purpose are never those of another, whatever the seed of the run."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from ldyn.run.answering import REPHRASE_TRIES, Answering


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_own_answers_rephrases_and_samples_are_drawn_apart(seed: int) -> None:
    answering = Answering(Mock(), Mock(), None, Mock(), seed)
    purposes = [("own answer",), ("sample",), *(("rephrase", str(attempt)) for attempt in range(REPHRASE_TRIES))]
    seeds = [answering.sampling(*purpose).seed for purpose in purposes]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [answering.sampling(*purpose).seed for purpose in purposes]
