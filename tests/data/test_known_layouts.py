"""Layouts that preference files have in the wild, by the reader of local files and by that of the hub."""

from __future__ import annotations

import json

import pytest

from ldyn.data.hub import HubConfig, load_hub
from ldyn.data.local_files import FilesConfig, load_files
from ldyn.errors import DataError
from ldyn.records import Turn


@pytest.fixture(params=["files", "hub"])
def load(request, tmp_path):
    """Rows -> the data that the reader makes of them."""

    def read(rows, **settings):
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if request.param == "files":
            return load_files(FilesConfig(str(tmp_path), n_held_out=0, **settings), 0)
        return load_hub(HubConfig("owner/set", path=str(tmp_path), n_held_out=0, **settings), 0)

    return read


def answers(number, chosen="The city lies in the north.", rejected="The town is unknown."):
    return {"chosen": f"{chosen} {number}", "rejected": f"{rejected} {number}"}


def test_a_question_column_is_the_prompt_not_the_words_that_both_answers_begin_with(load):
    rows = [{"question": f"Where is city {n}?", **answers(n)} for n in range(5)]
    data = load(rows)
    assert [pair.prompt for pair in data.pairs] == [row["question"] for row in rows]
    assert [pair.chosen for pair in data.pairs] == [row["chosen"] for row in rows]


def test_a_system_column_becomes_the_first_message_of_every_conversation(load):
    rows = [{"system": "Be brief." if n else "", "question": f"q {n}", **answers(n)} for n in range(3)]
    data = load(rows)
    assert data.pairs[0].turns == (Turn("user", "q 0"),)
    assert data.pairs[1].turns == (Turn("system", "Be brief."), Turn("user", "q 1"))
    assert data.pairs[1].prompt == "System: Be brief.\nHuman: q 1\nAssistant:"
    assert load([{**row, "system": ""} for row in rows]).pairs[0].turns == ()


@pytest.mark.parametrize("as_list", [False, True])
def test_sharegpt(load, as_list):
    def said(speaker, text):
        message = {"from": speaker, "value": text}
        return [message] if as_list and speaker == "gpt" else message

    rows = [
        {
            "conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": f"q {n}"}],
            "chosen": said("gpt", f"yes {n}"),
            "rejected": said("gpt", f"no {n}"),
        }
        for n in range(3)
    ]
    data = load(rows)
    assert data.pairs[2].turns == (Turn("system", "s"), Turn("user", "q 2"))
    assert (data.pairs[2].chosen, data.pairs[2].rejected) == ("yes 2", "no 2")


@pytest.mark.parametrize("name", ["user_input", "query", "Prompt", "first_message"])
def test_an_unread_column_that_is_called_like_a_prompt_is_an_error(load, name):
    rows = [{name: f"q {n}", **answers(n, "Do you know it?", "Do you not?")} for n in range(3)]
    with pytest.raises(DataError, match=f"unread column {name}.*dataset.columns={{prompt: {name}}}"):
        load(rows)
    assert load(rows, columns={"prompt": name}).pairs[1].prompt == "q 1"
    assert load(rows, columns={"prompt": None}).pairs[0].prompt == "Do you"


def test_an_instruction_with_an_input_is_not_read_by_halves(load):
    rows = [{"instruction": "Translate.", "input": f"Haus {n}", **answers(n)} for n in range(3)]
    with pytest.raises(DataError, match=r"unread column input.*the prompt would be instruction alone"):
        load(rows)


def test_a_prompt_that_the_answers_repeat_is_taken_off_them(load):
    questions = [f"Question {n}?" for n in "abc"]
    rows = [{"prompt": q, "chosen": f"{q} Yes", "rejected": f"{q} No"} for q in questions]
    data = load(rows)
    assert [(pair.prompt, pair.chosen) for pair in data.pairs] == [(q, " Yes") for q in questions]
    assert data.counts["train.prompt_taken_off_answers"] == 3
    one_repeats = [rows[0], {"prompt": "q", "chosen": "yes", "rejected": "no"}]
    assert load(one_repeats).pairs[0].chosen == "Question a? Yes"


def test_rows_that_mostly_share_no_beginning_are_an_error(load):
    rows = [{"chosen": f"{n} yes", "rejected": f"{n} no" if n == 0 else f"x{n} no"} for n in range(5)]
    with pytest.raises(DataError, match=r"do not begin with the same prompt: 4.*dataset\.columns"):
        load(rows)


def test_columns_that_hold_no_text_are_not_taken_for_a_prompt(load):
    rows = [
        {"prompt_id": n, "input_tokens": 3, "chosen": f"Why {n}? yes", "rejected": f"Why {n}? no"} for n in range(3)
    ]
    assert load(rows).pairs[0].prompt == "Why 0?"
