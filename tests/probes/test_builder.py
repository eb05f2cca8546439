"""Which probe examples are observed, what is completed or refused, and when they are scored."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ldyn.data.local_files import FilesConfig, load_files
from ldyn.data.microworld import MicroworldConfig, load_microworld
from ldyn.errors import DataError
from ldyn.probes.builder import (
    ProbesConfig,
    build_probes,
    check_probes,
    probe_fingerprint,
    with_model_answers,
)
from ldyn.probes.families import FAMILIES
from ldyn.probes.schedule import ScheduleConfig, scheduled_steps
from ldyn.records import MissingResponses, PreferenceData, PreferencePair, ProbeExample

ALL = ProbesConfig(n_train=100, n_test=100)


def pair(number):
    return PreferencePair(f"row-{number}", f"q{number}", f"the answer is {number}", f"no {number}")


def example(number, **responses):
    texts = {"chosen": f"the answer is {number}", "rejected": f"no {number}", **responses}
    return ProbeExample(f"row-{number}", f"q{number}", texts)


def data(train=range(10), test=range(10, 16), **changes):
    train, test = list(train), list(test)
    whole = PreferenceData(
        "rows", tuple(map(pair, train)), {"train": tuple(map(example, train)), "test": tuple(map(example, test))}
    )
    return replace(whole, **changes)


def with_train_responses(**responses):
    """The data whose first train example carries these responses, and the others none of them."""
    whole = data()
    return replace(whole, probes={**whole.probes, "train": (example(0, **responses), *whole.probes["train"][1:])})


def ids(examples):
    return [member.example_id for member in examples]


def test_a_seeded_draw_in_the_order_of_the_data():
    config = ProbesConfig(n_train=4, n_test=3)
    drawn = build_probes(data(), config, 0)
    assert (len(drawn.examples["train"]), len(drawn.examples["test"])) == (4, 3)
    assert ids(drawn.examples["train"]) == sorted(ids(drawn.examples["train"]))
    assert build_probes(data(), config, 0) == drawn
    assert len({tuple(ids(build_probes(data(), config, seed).examples["train"])) for seed in range(5)}) > 1


def test_only_the_wanted_families_in_one_order():
    config = replace(ALL, families=("irr_train", "chosen"))
    built = build_probes(data(), config, 0)
    assert {tuple(member.responses) for members in built.examples.values() for member in members} == {
        ("chosen", "irr_train")
    }


def test_pairs_alone_get_every_family_that_can_be_made():
    built = build_probes(data(), ALL, 0)
    for members in built.examples.values():
        for member in members:
            assert set(member.responses) == {"chosen", "rejected", *FAMILIES}
    for split, number in (("train", 10), ("test", 6)):
        assert all(built.counts[f"{split}.constructed.{family}"] == number for family in FAMILIES)


def test_what_cannot_be_made_is_counted():
    built = build_probes(data(train=[0], test=()), ALL, 0)
    assert set(built.examples["train"][0].responses) == {"chosen", "rejected", "random_permute"}
    assert built.counts["train.not_constructible.irr_train"] == 1
    assert built.counts["train.not_constructible.irr_test"] == 1


def test_a_gap_in_a_family_of_the_rows_stays_a_gap():
    built = build_probes(with_train_responses(random_permute="is the 0 answer"), ALL, 0)
    assert ["random_permute" in member.responses for member in built.examples["train"]] == [True] + [False] * 9


@pytest.mark.parametrize(
    ("probe", "text"),
    [
        ("irr_train", "the answer is 0"),  # its own answer
        ("irr_train", "an answer to no training question"),
        ("irr_train", "the answer is 12"),  # to a test question
        ("irr_test", " the answer is 3"),  # trained on, as chosen
        ("irr_test", "no 4"),  # trained on, as rejected
    ],
)
def test_a_response_that_its_name_belies_is_replaced_and_counted(probe, text):
    rows = with_train_responses(**{probe: text})
    built = build_probes(rows, ALL, 0)
    assert built.counts[f"train.mislabelled.{probe}"] == 1
    made = built.examples["train"][0].responses[probe]
    others = range(1, 10) if probe == "irr_train" else range(10, 16)
    assert made in [f"the answer is {number}" for number in others]


@pytest.mark.parametrize(("probe", "text"), [("irr_train", " the answer is 7 "), ("irr_test", "something new")])
def test_a_true_response_is_kept(probe, text):
    built = build_probes(with_train_responses(**{probe: text}), ALL, 0)
    assert built.examples["train"][0].responses[probe] == text
    assert f"train.mislabelled.{probe}" not in built.counts


MISSING = MissingResponses("train", "chosen_gptformat", 12, 500, "probes.jsonl", 31)


def test_a_family_missing_from_some_rows_is_an_error_or_a_counted_drop():
    rows = data(missing=(MISSING, replace(MISSING, split="test", probe="irr_hum")))
    with pytest.raises(DataError) as caught:
        build_probes(rows, ALL, 0)
    tail = "skip those responses with probes.on_missing=drop, or add the key to every row."
    assert str(caught.value).splitlines() == [
        f"Probe {probe!r} is missing from 12 of 500 rows of probes.jsonl (first: row 31); {tail}"
        for probe in ("chosen_gptformat", "irr_hum")
    ]
    assert build_probes(rows, replace(ALL, on_missing="drop"), 0).counts["test.rows_missing.irr_hum"] == 12
    assert "train.rows_missing.chosen_gptformat" not in build_probes(rows, replace(ALL, families=("chosen",)), 0).counts


def test_a_family_that_cannot_be_had_is_an_error():
    with pytest.raises(DataError, match="'chosen_gptsemantic' is in no training row of rows and cannot be made"):
        build_probes(data(), replace(ALL, families=("chosen", "chosen_gptsemantic")), 0)


def test_an_unknown_family_is_a_fault_of_the_config():
    with pytest.raises(ValidationError, match="unknown probes chosen_gpt; the probes are chosen, chosen_initial"):
        TypeAdapter(ProbesConfig).validate_python({"families": ["chosen", "chosen_gpt"]})
    with pytest.raises(ValidationError, match="families: found an empty list"):
        TypeAdapter(ProbesConfig).validate_python({"families": []})


def test_checks_of_the_promises():
    with pytest.raises(DataError, match="question of test probe 'row-3' is that of training pair 'row-3'"):
        build_probes(data(test=[3]), ALL, 0)
    with pytest.raises(DataError, match="Train probe 'row-9' is not a training pair"):
        check_probes({"train": [example(9)]}, [pair(1)])
    with pytest.raises(DataError, match="Probe 'irr_hum' of test example 'row-9' is empty"):
        check_probes({"test": [example(9, irr_hum=" ")]}, [pair(1)])
    with pytest.raises(DataError, match="2 test probes have the id 'row-9'"):
        check_probes({"test": [example(9), example(9)]}, [pair(1)])
    with pytest.raises(DataError, match="and 2 more"):
        check_probes({"train": [example(number) for number in range(7)]}, [])


def test_model_answers_fill_gaps_only():
    examples = [example(0), example(1, chosen_initial="kept"), example(2), example(3)]
    filled = with_model_answers(
        examples, "chosen_initial", {"row-0": " new ", "row-1": "lost", "row-2": " \n", "row-9": "nobody's"}
    )
    assert [member.responses.get("chosen_initial") for member in filled] == [" new ", "kept", None, None]


def test_the_fingerprint_sees_every_text():
    first = {"train": [example(0), example(1)], "test": [example(2)]}
    others = [
        {"train": [example(1), example(0)], "test": [example(2)]},
        {"train": [example(0), example(1)], "test": []},
        {"train": [example(0)], "test": [example(2)]},
        {"train": [example(0), example(1, rejected="never")], "test": [example(2)]},
    ]
    prints = [probe_fingerprint(item) for item in (first, *others)]
    assert len(set(prints)) == 5
    assert probe_fingerprint({"test": first["test"], "train": first["train"]}) == prints[0]


def test_the_microworld_is_true_to_its_names():
    rows = load_microworld(MicroworldConfig(documents=50), 0)
    built = build_probes(rows, ProbesConfig(), 0)
    assert not [reason for reason in built.counts if "mislabelled" in reason or "not_constructible" in reason]
    assert {split: len(members) for split, members in built.examples.items()} == {
        split: len(members) for split, members in rows.probes.items()
    }


def test_the_papers_files(shared_directory):
    rows = load_files(FilesConfig(str(shared_directory / "data" / "hh_helpful")), 0)
    built = build_probes(rows, ProbesConfig(), 0)
    assert built.counts["train.examples"] == 499
    assert built.counts["train.mislabelled.irr_train"] == 2
    assert built.counts["test.mislabelled.irr_train"] == 492
    trained = {member.chosen.strip() for member in rows.pairs}
    for members in built.examples.values():
        for member in members:
            irr_train = member.responses["irr_train"].strip()
            assert irr_train in trained
            assert irr_train != member.responses["chosen"].strip()
            assert member.responses["irr_test"].strip() not in trained


@pytest.mark.parametrize(
    ("total", "schedule", "expected"),
    [
        (0, ScheduleConfig(), (0,)),
        (120, ScheduleConfig(points=5), (0, 30, 60, 90, 120)),
        (10, ScheduleConfig(points=4), (0, 3, 7, 10)),
        (120, ScheduleConfig(every=50), (0, 50, 100, 120)),
        (3, ScheduleConfig(every=60), (0, 3)),
        # From step 1 in equal ratios of the sixth root of 1000 = 3.162: 1, 3.16, 10, 31.6, 100, 316, 1000
        (1000, ScheduleConfig("log", points=8), (0, 1, 3, 10, 32, 100, 316, 1000)),
        # 15 steps an epoch: 30, 60 and 90; half an epoch is 7.5, to the even 8; what the stage does not come to is left
        (400, ScheduleConfig(epochs=(2, 4, 6)), (0, 30, 60, 90, 400)),
        (90, ScheduleConfig(epochs=(0.5, 6, 7)), (0, 8, 90)),
    ],
)
def test_schedules_by_hand(total, schedule, expected):
    assert scheduled_steps(total, schedule, steps_per_epoch=15) == expected


@given(total=st.integers(1, 5000), points=st.integers(2, 60), kind=st.sampled_from(["linear", "log"]))
def test_every_schedule_ascends_from_start_to_end(total, points, kind):
    steps = scheduled_steps(total, ScheduleConfig(kind, points=points), steps_per_epoch=15)
    assert (steps[0], steps[-1]) == (0, total)
    assert list(steps) == sorted(set(steps))
    assert len(steps) <= points
    if kind == "linear" and points <= total + 1:
        assert len(steps) == points


@pytest.mark.parametrize("other", [{"kind": "log"}, {"epochs": (2, 4)}])
def test_a_fixed_distance_excludes_log_spacing_and_epochs(other):
    with pytest.raises(ValueError, match="every=5 with"):
        ScheduleConfig(every=5, **other)
