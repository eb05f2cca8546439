"""Files of users: CSV as spreadsheets write it, JSON, Parquet, and text in other encodings."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ldyn.data.local_files import FilesConfig, load_files
from ldyn.data.row_reading import RowFaults
from ldyn.data.tables import read_table
from ldyn.errors import DataError

ROWS = [
    {"prompt": "Why, and\nhow?", "chosen": 'She said "yes".', "rejected": "no; never"},
    {"prompt": "Où ça ?", "chosen": "ici\tlà", "rejected": "日本 🐈"},
]


def records(path):
    faults = RowFaults(path)
    rows = read_table(path, faults)
    faults.raise_if_any(rows)
    return rows


def error_of(path, **settings):
    with pytest.raises(DataError) as caught:
        load_files(FilesConfig(str(path), **settings), 0)
    return str(caught.value)


def pairs_of(path, **settings):
    return [
        (pair.prompt, pair.chosen, pair.rejected) for pair in load_files(FilesConfig(str(path), **settings), 0).pairs
    ]


# --------------------------------------------------------------------------------------------------------------
# What is read


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_csv_of_any_dialect(tmp_path, delimiter, line_end, encoding):
    path = tmp_path / "rows.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]), delimiter=delimiter, lineterminator=line_end)
        writer.writeheader()
        writer.writerows(ROWS)
        file.write(line_end * 2)
    assert records(path) == {2: ROWS[0], 3: ROWS[1]}


def test_json_lines_an_array_and_parquet_are_the_same_rows(tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\r\n" for row in ROWS), encoding="utf-8-sig")
    (tmp_path / "rows.json").write_text(json.dumps(ROWS, indent=1))
    (tmp_path / "lines.json").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    for name in ("rows.jsonl", "rows.json", "lines.json", "rows.parquet"):
        assert records(tmp_path / name) == {1: ROWS[0], 2: ROWS[1]}, name


def test_columns_of_other_names(write_rows):
    path = write_rows("rows.csv", ["question,good answer,rejected,prompt", "q,yes,no,a note"])
    columns = {"prompt": "question", "chosen": "good answer"}
    assert pairs_of(path, columns=columns) == [("q", "yes", "no")]
    assert load_files(FilesConfig(str(path), columns=columns), 0).counts["train.ignored_key.prompt"] == 1


# --------------------------------------------------------------------------------------------------------------
# Faults


def test_a_csv_without_the_columns_says_which_it_has_and_how_to_map_them(write_rows):
    path = write_rows("rows.csv", ["My Question,good,worse,score", "q,yes,no,3"])
    assert error_of(path) == (
        f"{path} cannot be used:\n"
        "  - without prompt, chosen, rejected: found the columns My Question, good, worse, score; "
        "expected prompt, chosen, rejected; map them by "
        """'dataset.columns={prompt: "My Question", chosen: good, rejected: worse}', or rename them"""
    )


def test_a_mapping_that_cannot_be(write_rows):
    with pytest.raises(ValueError, match="'good' is unknown"):
        FilesConfig("rows.csv", columns={"good": "chosen"})
    with pytest.raises(ValueError, match="'text' is given twice"):
        FilesConfig("rows.csv", columns={"chosen": "text", "rejected": "text"})
    path = write_rows("rows.csv", ["prompt,chosen,bad", "q,yes,no"])
    assert "found the columns prompt, chosen, bad" in error_of(path, columns={"rejected": "nope"})


def test_all_faults_of_a_csv_at_once(write_rows):
    head = "prompt,chosen,rejected"
    many = write_rows("many.csv", [head, "q,yes,no", "too,few", "q2,yes,no,more", '"two\nlines",yes,no', "few"])
    fields = "with another number of fields than the header: 3 of 5 rows (row 3, 4, 6; first: found 2, expected 3)"
    assert fields in error_of(many)
    unclosed = write_rows("unclosed.csv", [head, '"two\nlines",yes,no', 'q,"yes,no', "r,yes,no"])
    assert "not valid CSV: 1 of 2 rows (row 3; first: unexpected end of data, in the row that begins in line 4" in (
        error_of(unclosed)
    )
    doubled = write_rows("doubled.csv", ["prompt,chosen,chosen,rejected", "q,a,b,c"])
    assert "2 columns are called 'chosen'" in error_of(doubled)
    assert "has no rows" in error_of(write_rows("head.csv", [head]))
    assert "has no rows" in error_of(write_rows("empty.csv", []))


def test_text_that_is_not_utf8(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("prompt,chosen,rejected\nq,yes,no\ncafé,oui,non\n".encode("cp1252"))
    assert "is not UTF-8 text (byte 0xE9 in line 3); save it as UTF-8, for instance by: iconv -f" in error_of(path)
    path.write_bytes("prompt,chosen,rejected\n".encode("utf-16"))
    assert "is not UTF-8 text (byte 0xFF in line 1)" in error_of(path)


def test_files_that_are_something_else(tmp_path, write_rows):
    (tmp_path / "rows.parquet").write_bytes(b"no parquet")
    assert "cannot be read as Parquet" in error_of(tmp_path / "rows.parquet")
    assert "is not valid JSON" in error_of(write_rows("rows.json", ["[1, "]))
    assert "not valid JSON: 1 of 1 rows" in error_of(write_rows("deep.jsonl", ["[" * 100_000]))


# --------------------------------------------------------------------------------------------------------------
# Real text


def test_real_dialogues_are_the_same_pairs_in_every_form(shared_directory, tmp_path):
    lines = (shared_directory / "data" / "hh_helpful" / "probe_train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [{key: json.loads(line)[key] for key in ("prompt", "chosen", "rejected")} for line in lines]
    with (tmp_path / "explicit.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    whole = [{key: row["prompt"] + row[key] for key in ("chosen", "rejected")} for row in rows]
    pq.write_table(pa.Table.from_pylist(whole), tmp_path / "implicit.parquet")
    expected = pairs_of(shared_directory / "data" / "hh_helpful" / "probe_train.jsonl", n_held_out=0)
    assert len(expected) == 499
    assert pairs_of(tmp_path / "explicit.csv", n_held_out=0) == expected
    assert pairs_of(tmp_path / "implicit.parquet", n_held_out=0) == expected
