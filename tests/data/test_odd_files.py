"""Whatever bytes a file has, the answer is rows or one DataError."""

from __future__ import annotations

import gzip
import json
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ldyn.data.hub import HubConfig, load_hub
from ldyn.data.local_files import FilesConfig, load_files, read_probe_examples
from ldyn.errors import DataError

HEAD = "prompt,chosen,rejected"
ROWS = [{"prompt": f"q {n}", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(4)]


def load(path, **settings):
    return load_files(FilesConfig(str(path), n_held_out=0, **settings), 0)


def error_of(path):
    with pytest.raises(DataError) as caught:
        load(path)
    return str(caught.value)


def test_old_mac_line_ends(tmp_path):
    (tmp_path / "rows.csv").write_bytes(f"{HEAD}\rq,yes,no\rr,so,not\r".encode())
    assert [pair.prompt for pair in load(tmp_path / "rows.csv").pairs] == ["q", "r"]


@pytest.mark.parametrize("text", [f'{HEAD}\n"q,yes,no\n', '"prompt,chosen,rejected\nq,yes,no\n'])
def test_a_quotation_mark_that_is_never_closed_is_not_a_file_without_rows(tmp_path, text):
    (tmp_path / "rows.csv").write_text(text)
    assert "not valid CSV" in error_of(tmp_path / "rows.csv")


def test_parquet_with_values_that_python_has_no_text_or_time_for(tmp_path):
    years = pa.array([2**62] * 4, pa.timestamp("us"))
    pq.write_table(pa.Table.from_pylist(ROWS).append_column("made", years), tmp_path / "years.parquet")
    assert "cannot be read as Parquet" in error_of(tmp_path / "years.parquet")
    wrong = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    table = pa.table({"prompt": wrong, "chosen": ["yes"], "rejected": ["no"]})
    pq.write_table(table, tmp_path / "bytes.parquet")
    assert "cannot be read as Parquet" in error_of(tmp_path / "bytes.parquet")


def test_half_characters_in_ids_and_column_names(tmp_path):
    (tmp_path / "ids.jsonl").write_text(json.dumps({**ROWS[0], "id": "a\ud83d"}) + "\n")
    assert "half a surrogate pair" in error_of(tmp_path / "ids.jsonl")
    (tmp_path / "names.jsonl").write_text(json.dumps({**ROWS[0], "x\ud83d": 1}) + "\n")
    assert all(key.encode() for key in load(tmp_path / "names.jsonl").counts)


def test_gzipped_files_and_directories_of_them(tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    for name in ("train.jsonl.gz", "test.jsonl.gz"):
        (tmp_path / name).write_bytes(gzip.compress(lines.replace(b"q ", name[:2].encode())))
    data = load(tmp_path)
    assert (len(data.pairs), len(data.probes["test"])) == (4, 4)
    assert list(read_probe_examples(tmp_path / "test.jsonl.gz")) == ["test"]
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(lines)[:-9])
    assert "cannot be read as gzip" in error_of(tmp_path / "cut.jsonl.gz")


def test_a_directory_with_a_test_file_only(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    assert "holds test.jsonl; expected a file called probe_train or train" in error_of(tmp_path)
    for split in ("train", "auto"):
        with pytest.raises(DataError, match=r"found the splits test, expected .*set dataset.train_split"):
            load_hub(HubConfig("owner/set", train_split=split, test_split=None, path=str(tmp_path)), 0)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet", "jsonl.gz"])
def test_damaged_files_give_rows_or_one_error(tmp_path, suffix):
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    path = tmp_path / f"rows.{suffix}"
    whole = {
        "jsonl": lines.encode(),
        "json": json.dumps(ROWS).encode(),
        "csv": "\n".join([HEAD, *('"{prompt}","{chosen}",{rejected}'.format(**row) for row in ROWS)]).encode(),
        "jsonl.gz": gzip.compress(lines.encode()),
    }
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
        whole[suffix] = path.read_bytes()
    random, outcomes = Random(0), set()
    for _ in range(300):
        data = bytearray(whole[suffix])
        for _ in range(random.randrange(1, 4)):
            data[random.randrange(len(data))] = random.choice(b'\x00\xff"\r\n{[,\\e9')
        path.write_bytes(data[: random.choice([len(data), len(data), random.randrange(len(data))])])
        try:
            outcomes.add(len(load(path).pairs) > 0)
        except DataError:
            outcomes.add(False)
    assert False in outcomes
