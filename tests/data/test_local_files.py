"""Local files as preference data: what is read, what is dropped and counted, and how faults are told."""

from __future__ import annotations

import pytest

from ldyn.data.local_files import FilesConfig, load_files, read_probe_examples
from ldyn.errors import DataError
from ldyn.records import PROBE_FAMILIES, MissingResponses


def row(number, **changes):
    texts = {"prompt": f"Human: q{number}\n\nAssistant:", "chosen": f" yes {number}", "rejected": f" no {number}"}
    return {key: text for key, text in {**texts, **changes}.items() if text is not ...}


def load(path, seed=0, **settings):
    return load_files(FilesConfig(str(path), **settings), seed)


def error_of(path, **settings):
    with pytest.raises(DataError) as caught:
        load(path, **settings)
    return str(caught.value)


# --------------------------------------------------------------------------------------------------------------
# What is read


def test_a_directory_with_both_files(tmp_path, write_rows):
    write_rows("probe_train.jsonl", [row(0), row(1, irr_hum="A cat.")])
    write_rows("probe_test.jsonl", [row(2)])
    data = load(tmp_path)
    assert [(pair.pair_id, pair.chosen) for pair in data.pairs] == [("row-0001", " yes 0"), ("row-0002", " yes 1")]
    assert [example.example_id for example in data.probes["train"]] == ["row-0001", "row-0002"]
    assert data.probes["train"][1].responses == {"chosen": " yes 1", "rejected": " no 1", "irr_hum": "A cat."}
    assert [example.prompt for example in data.probes["test"]] == ["Human: q2\n\nAssistant:"]
    assert data.counts == {"train.rows_read": 2, "test.rows_read": 1, "pairs": 2, "corpus.documents": 2}
    assert [part.split(" sha256:")[0] for part in data.version.split(", ")] == ["probe_train.jsonl", "probe_test.jsonl"]


def test_ids_spellings_null_and_other_keys(write_rows):
    path = write_rows(
        "rows.jsonl",
        [row(0, id="a", rejected_gptsemantic="nope", score=3), row(1, id=7, reject_gptsemantic=None, irr_hum=None), ""],
    )
    data = load(path)
    assert [pair.pair_id for pair in data.pairs] == ["a", "7"]
    assert data.probes["train"][0].responses["reject_gptsemantic"] == "nope"
    assert data.missing == (MissingResponses("train", "reject_gptsemantic", 1, 2, "rows.jsonl", 2),)
    assert data.counts["train.ignored_key.score"] == 1


# --------------------------------------------------------------------------------------------------------------
# What is dropped and counted


def test_unusable_rows_are_dropped_by_reason(tmp_path, write_rows):
    same = " the same"
    write_rows(
        "train.jsonl",
        [
            row(0, irr_hum="  "),
            row(1, chosen=" "),
            row(2, rejected=""),
            row(3, prompt="\n"),
            row(4, chosen=same, rejected=same + " "),
            row(0, chosen="a second answer to the first question"),
        ],
    )
    write_rows("test.jsonl", [row(10), row(11, chosen=""), row(12, rejected=""), row(0), row(10)])
    data = load(tmp_path)
    assert [pair.pair_id for pair in data.pairs] == ["row-0001"]
    assert list(data.probes["train"][0].responses) == ["chosen", "rejected"]
    assert [list(example.responses) for example in data.probes["test"]] == [["chosen", "rejected"], ["chosen"]]
    assert data.counts == {
        "train.rows_read": 6,
        "train.empty_response.irr_hum": 1,
        "train.empty_response.chosen": 1,
        "train.dropped_empty_chosen": 1,
        "train.empty_response.rejected": 1,
        "train.dropped_empty_rejected": 1,
        "train.dropped_empty_prompt": 1,
        "train.dropped_chosen_equals_rejected": 1,
        "train.dropped_repeated_prompt": 1,
        "test.rows_read": 5,
        "test.empty_response.chosen": 1,
        "test.dropped_empty_chosen": 1,
        "test.empty_response.rejected": 1,
        "test.dropped_prompt_in_train": 1,
        "test.dropped_repeated_prompt": 1,
        "pairs": 1,
        "corpus.documents": 1,
    }


def test_test_rows_that_are_all_trained_on_are_an_error(tmp_path, write_rows):
    for name in ("train.jsonl", "test.jsonl"):
        write_rows(name, [row(0), row(1)])
    message = error_of(tmp_path)
    assert "no test question is left" in message
    assert "test.dropped_prompt_in_train: 2" in message


def test_blank_responses_of_a_probe_file_reach_the_encoder_which_counts_them(write_rows):
    path = write_rows("probe_mine.jsonl", [row(0, irr_hum=" "), row(1, chosen="", rejected=""), {"prompt": "q"}])
    (examples,) = read_probe_examples(path).values()
    assert [one.responses.get("irr_hum") for one in examples] == [" ", None]
    assert examples[1].responses == {"chosen": "", "rejected": ""}
    with pytest.raises(DataError, match="has no response to score"):
        read_probe_examples(write_rows("blank.jsonl", [row(0, chosen=" ", rejected="")]))


# --------------------------------------------------------------------------------------------------------------
# Faults


def test_missing_paths_say_what_was_looked_for(tmp_path, write_rows):
    suffixes = ".jsonl, .json, .csv, .tsv, .parquet"
    assert "no such file or directory" in error_of(tmp_path / "nowhere")
    assert suffixes in error_of(tmp_path / "nowhere")
    write_rows("rows.xlsx", ["a"])
    assert "holds rows.xlsx; expected a file called probe_train or train" in error_of(tmp_path)
    assert f"is a .xlsx; expected one of {suffixes}" in error_of(tmp_path / "rows.xlsx")
    for name in ("train.jsonl", "train.csv"):
        write_rows(name, [row(0)])
    assert "holds train.jsonl and train.csv; expected one of them" in error_of(tmp_path)


def test_all_faults_of_all_files_are_told_together(tmp_path, write_rows):
    write_rows(
        "train.jsonl",
        [
            row(0, id="x"),
            "nonsense",
            row(2, chosen=...),
            "[1, 2]",
            row(4, prompt=3),
            row(5, id="x"),
            row(6, chosen=[{"role": "assistant"}]),
            *[row(number, rejected=...) for number in range(7, 14)],
            row(14),
        ],
    )
    write_rows("test.jsonl", [row(20, prompt=..., rejected=...)])
    message = error_of(tmp_path)
    assert message.startswith(f"{tmp_path / 'train.jsonl'} cannot be used:")
    for fault in (
        "not valid JSON: 1 of 15 rows (row 2; first: Expecting value: line 1 column 1 (char 0))",
        "not a JSON object: 1 of 15 rows (row 4; first: found list)",
        "without a value of a column: 8 of 15 rows (row 3, 8, 9, 10, 11, …; first: found no chosen)",
        "with a value that is neither text nor messages: 1 of 15 rows (row 5; first: prompt is of type int)",
        "with a list that holds something other than messages: 1 of 15 rows (row 7; first: chosen holds the keys role)",
        "with the id of an earlier row: 1 of 15 rows (row 6; first: 'x'); give each row its own id",
        f"{tmp_path / 'test.jsonl'} cannot be used:\n  - without prompt: found the columns chosen",
    ):
        assert fault in message


# --------------------------------------------------------------------------------------------------------------
# The paper's files


def test_the_papers_probe_files_as_they_are(shared_directory):
    data = load(shared_directory / "data" / "hh_helpful")
    assert (len(data.pairs), len(data.probes["train"]), len(data.probes["test"])) == (499, 499, 500)
    assert data.missing == ()
    assert data.counts["train.empty_response.chosen_initial"] == 21
    assert data.counts["train.dropped_empty_rejected"] == 1
    assert sum("chosen_initial" not in example.responses for example in data.probes["train"]) == 21
    for split in ("train", "test"):
        assert {probe for example in data.probes[split] for probe in example.responses} == set(PROBE_FAMILIES)
