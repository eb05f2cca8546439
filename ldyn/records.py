"""The records that travel between layers: plain frozen dataclasses, no behaviour, no torch.

A *probe* is one kind of response to a training question (its key is the one in the paper's released files, e.g.
``chosen_gptsemantic``); a *probe example* is one question with its responses, one for each probe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Turn(NamedTuple):
    """What one side said in a conversation; ``role`` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """One training question with the answer that was preferred and the one that was not.

    ``turns``: the prompt as a conversation, where the source says who spoke; ``prompt`` is then the same as plain text.
    ``sampled``: side -> the token ids of an answer that a model sampled; its text is not encoded again.
    """

    pair_id: str
    prompt: str
    chosen: str
    rejected: str
    turns: tuple[Turn, ...] = ()
    sampled: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ProbeExample:
    """One question and the responses to observe on it: probe key -> text. A response may be absent, never empty.

    ``turns``, ``sampled`` (by probe): as in PreferencePair.
    """

    example_id: str
    prompt: str
    responses: Mapping[str, str]
    turns: tuple[Turn, ...] = ()
    sampled: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """What a generated answer claims, judged by a world whose facts are known.

    ``borrowed_from`` is the example id of another training question whose fact the answer states, if any.
    """

    states_a_fact: bool
    is_right: bool
    borrowed_from: str | None


class AnswerChecker(Protocol):
    """Judges an answer to a question of a known world; data sets without known facts have none."""

    def __call__(self, example_id: str, answer: str) -> AnswerCheck: ...


@dataclass(frozen=True, slots=True)
class MissingResponses:
    """A probe that some, but not all, rows of a split lack (an empty text is not missing: it is dropped and counted).

    n_missing of n_rows rows of ``file`` have no such key; ``first_row`` is the first of them, counted from 1.
    """

    split: str
    probe: str
    n_missing: int
    n_rows: int
    file: str
    first_row: int


@dataclass(frozen=True)
class PreferenceData:
    """All that a data source yields.

    pairs: the training pairs, in a fixed order.
    probes: split ("train" or "test") -> probe examples. A train probe has the id of its training pair.
    corpus: documents on which a from-scratch base model is pretrained; empty where the source has none.
    counts: what was read, dropped or repaired, by reason ("rows_read", "dropped_empty_rejected" ...).
    checker: judges generated answers, or None where the facts are not known.
    missing: probes that only some rows carry; an error or a counted drop, as the probe settings say.
    version: which text this is: the commit of a set of the hub, the sha256 of each file; "" for a generated world.
    """

    name: str
    pairs: Sequence[PreferencePair]
    probes: Mapping[str, Sequence[ProbeExample]]
    corpus: Sequence[str] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    checker: AnswerChecker | None = None
    missing: Sequence[MissingResponses] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """Token ids of a training pair after separator and truncation; each response ends with EOS unless it was cut.

    A sampled answer has the tokens that were sampled, an end only where one was.
    """

    pair_id: str
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EncodedProbeExample:
    """Token ids of a probe example: one prompt, and probe key -> response ids (never empty)."""

    split: str
    example_id: str
    prompt_ids: tuple[int, ...]
    responses: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ProbeFamily:
    """How one kind of probe response is called: group, the paper's symbol, and a short description."""

    group: str
    symbol: str
    label: str


PROBE_FAMILIES: Mapping[str, ProbeFamily] = {
    "chosen": ProbeFamily("chosen", "y⁺", "chosen"),
    "chosen_initial": ProbeFamily("chosen", "y_π", "initial model's answer"),
    "chosen_selfr": ProbeFamily("chosen", "y⁺_selfr", "model's own rephrase of chosen"),
    "chosen_gptsemantic": ProbeFamily("chosen", "y⁺_gpts", "rephrase of chosen, same meaning"),
    "chosen_gptformat": ProbeFamily("chosen", "y⁺_gptf", "form of chosen, other meaning"),
    "rejected": ProbeFamily("rejected", "y⁻", "rejected"),
    "reject_gptsemantic": ProbeFamily("rejected", "y⁻_gpts", "rephrase of rejected, same meaning"),
    "reject_gptformat": ProbeFamily("rejected", "y⁻_gptf", "form of rejected, other meaning"),
    "irr_train": ProbeFamily("irrelevant", "y⁺_j≠u", "chosen answer to another training question"),
    "irr_test": ProbeFamily("irrelevant", "y_test", "chosen answer to an unseen question"),
    "irr_hum": ProbeFamily("irrelevant", "y_hum", "random human sentence"),
    "random_permute": ProbeFamily("random", "y_urnd", "words of chosen, shuffled"),
    "random_nonhum": ProbeFamily("random", "y_rnd", "words of an unrelated answer, shuffled"),
}


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """How a model sees one response to one prompt (teacher-forced), over its ``n_tokens`` response tokens (EOS counts).

    Sums over tokens, in nats: ``logp`` (log π(y|x)), ``logp_argmax`` (log π of the most likely token at each position),
    ``log_mass_rest`` (log of the mass outside that token).
    Means over tokens: ``entropy`` (nats), ``prob_norm_sq`` (‖π‖²), ``a_norm`` (‖A‖_F, the mean of the norms),
    ``residual_norm`` (‖π − e_y‖₂), ``p_label`` (π(y)), ``argmax_is_label`` (share of positions).
    """

    split: str
    example_id: str
    probe: str
    n_tokens: int
    logp: float
    logp_argmax: float
    log_mass_rest: float
    entropy: float
    prob_norm_sq: float
    a_norm: float
    residual_norm: float
    p_label: float
    argmax_is_label: float


@dataclass(frozen=True, slots=True)
class ProbeStep:
    """A point of a run at which probes are scored: after ``step`` updates of ``stage`` (0 = before the first)."""

    stage: str
    algorithm: str
    step: int
    examples_seen: int
    epoch: float


TRAJECTORY_COLUMNS = (*ProbeStep.__dataclass_fields__, *ProbeScore.__dataclass_fields__)

MEAN_EXAMPLE = "mean"
"""The example id of rows that hold means over examples which are not known one by one (imported logs only)."""


@dataclass(frozen=True, slots=True)
class StageInfo:
    """What readers of a run need to know of a stage; the manifest holds one for each, in the order they ran.

    kind: "pointwise" (the loss sees one response: SFT), "pairwise" (chosen against rejected: DPO and its like) or
    "groupwise" (sampled answers to a prompt with rewards: GRPO).
    view: the responses trained on, ("chosen",) or ("chosen", "rejected"); of a groupwise stage none of the data's, ().
    start: "base", or the name of the stage whose last weights this stage starts from (its reference, if it needs one).
    learning_rate: of its optimiser, after warm-up; None where it is not known.
    sampled: the responses of the view that were drawn from the weights of ``start`` (on-policy), not from the data.
    """

    name: str
    algorithm: str
    kind: str
    view: tuple[str, ...]
    start: str
    learning_rate: float | None = None
    sampled: tuple[str, ...] = ()


HOLDS, FAILS, NO_EFFECT, INCONCLUSIVE = "holds", "fails", "no effect found", "inconclusive"
THIS_RUN = "this run"
"""In place of a verdict: one seed shows estimates, and only several seeds a verdict."""
NOT_JUDGED = "not judged"
"""In place of a verdict: a trainer's own log of batch means has no numbers on the claim."""


@dataclass(frozen=True, slots=True)
class FindingPart:
    """One quantity of a claim with its 95 % interval, claimed to lie ``claimed`` ("above" or "below") ``bound``.

    primary: whether it decides the claim. smallest: the smallest effect of interest. n: as in Finding.
    """

    name: str
    primary: bool
    claimed: str
    bound: float
    smallest: float
    unit: str
    n: int
    verdict: str
    estimate: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan


@dataclass(frozen=True)
class Finding:
    """One claim of the paper: its numbers, those of its first primary part, and a verdict; ``reason`` says why.

    ``verdict`` is THIS_RUN for a run of one seed, else HOLDS, FAILS, NO_EFFECT or INCONCLUSIVE; without numbers it is
    NOT_JUDGED.
    ``n`` counts probe examples; in a study what it draws or repeats (random starts, seeds); over runs the seeds.
    ``seeds`` counts the seeds behind them, 1 for a run. ``paper`` is what the paper or its released logs show.
    """

    id: str
    claim: str
    estimate: float
    ci_low: float
    ci_high: float
    unit: str
    n: int
    seeds: int
    verdict: str
    reason: str
    paper: str
    parts: tuple[FindingPart, ...] = ()


FINDING_FIELDS = tuple(name for name in Finding.__dataclass_fields__ if name != "parts")


@dataclass(frozen=True)
class FindingOverSeeds(Finding):
    """The same over the runs of several seeds, or of a study, which repeats itself under several seeds.

    p_value: one-sided, of the claim (the largest of its primary parts); p_adjusted: times the size of its family.
    agreeing: the number of seeds in which every primary part lies on the claimed side.
    seeds_needed: for 80 % power at the effect and spread that were measured; NaN where unknown.
    source: the experiment that measured it.
    """

    p_value: float = math.nan
    p_adjusted: float = math.nan
    agreeing: int = 0
    seeds_needed: float = math.nan
    source: str = ""
