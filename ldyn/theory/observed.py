"""What is observed at every moment of a decomposition: probe responses, in one fixed order, and frames about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ldyn.errors import DataError
from ldyn.records import EncodedProbeExample
from ldyn.theory.responses import Response

SPLIT = "train"  # claims are about responses to training questions


@dataclass(frozen=True)
class Observed:
    """Probe examples, and all their responses one after the other: ``keys`` are (example id, probe)."""

    examples: tuple[EncodedProbeExample, ...]
    keys: tuple[tuple[str, str], ...]
    responses: tuple[Response, ...]

    def frame(self, **columns: Sequence[Any] | Any) -> pd.DataFrame:
        """One row a response: example_id, probe, n_tokens, then ``columns`` (a value for each, or one for all)."""
        frame = pd.DataFrame(self.keys, columns=["example_id", "probe"])
        frame["n_tokens"] = [len(one.response_ids) for one in self.responses]
        return frame.assign(**columns)

    def token_frame(self, **columns: Sequence[Sequence[Any]]) -> pd.DataFrame:
        """One row a token: example_id, probe, token (index), token_id, then ``columns``, a list for each response."""
        rows = [
            (*key, token, token_id)
            for key, one in zip(self.keys, self.responses, strict=True)
            for token, token_id in enumerate(one.response_ids)
        ]
        flat: Mapping[str, list[Any]] = {name: [v for one in lists for v in one] for name, lists in columns.items()}
        return pd.DataFrame(rows, columns=["example_id", "probe", "token", "token_id"]).assign(**flat)


def observe(probes: Sequence[EncodedProbeExample], n_examples: int) -> Observed:
    """The first ``n_examples`` train probes, which are a seeded draw. Raises DataError where there is none."""
    examples = tuple(example for example in probes if example.split == SPLIT)[:n_examples]
    if not examples:
        raise DataError(
            f"Found no {SPLIT} probe to observe among {len(probes)} probe examples, expected at least one; raise "
            "probes.n_train, or take data with probes."
        )
    members = [(example, probe, ids) for example in examples for probe, ids in example.responses.items()]
    return Observed(
        examples,
        tuple((example.example_id, probe) for example, probe, _ in members),
        tuple(Response(example.prompt_ids, ids) for example, _, ids in members),
    )
