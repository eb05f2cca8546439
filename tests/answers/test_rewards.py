"""Rewards by name, and a user's function that does not do what it should."""

import pytest

from ldyn.answers.rewards import find_reward, reward_fault
from ldyn.errors import DataError, TrainingError
from ldyn.records import AnswerCheck

IDS, TEXTS, TOKENS = ["q1", "q2"], [" right ", "borrowed"], [(3, 0), (4, 5)]
MODULE = """
def by_length(prompts, completions, completion_ids, example_id):
    assert (prompts, completion_ids, example_id) == (["one", "two"], [[3, 0], [4, 5]], ["q1", "q2"])
    return [len(text) for text in completions]

def raises(**columns): raise KeyError("no such column")
def nothing(**columns): return None
def none(**columns): return [1.0, None]
def nan(**columns): return [float("nan"), 0.0]
def infinite(**columns): return [0.0, float("inf")]
def short(**columns): return [1.0]
def judge(example_id, answers, prompt): return [1.0]
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "reward_of_mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def called(name, checker=None):
    return find_reward(name, checker, {"q1": "one", "q2": "two"})(IDS, TEXTS, TOKENS)


def test_facts_are_1_for_a_right_answer_that_borrows_nothing():
    def checker(example_id, answer):
        return AnswerCheck(states_a_fact=True, is_right=True, borrowed_from="q9" if answer == "borrowed" else None)

    assert called("facts", checker) == [1.0, 0.0]
    with pytest.raises(DataError, match="found facts, which knows the microworld only"):
        called("facts")


def test_a_function_of_the_users_gets_trls_columns():
    assert called("reward_of_mine:by_length") == [5.0, 8.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", "raised KeyError: 'no such column'"),
        ("nothing", "raised TypeError"),
        ("none", "returned None for the answer 'borrowed', expected a finite number"),
        ("nan", "returned nan for the answer ' right '"),
        ("infinite", "returned inf for the answer 'borrowed'"),
        ("short", "returned 1 numbers for 2 answers"),
    ],
)
def test_what_is_no_number_for_each_answer_is_an_error(name, message):
    with pytest.raises(TrainingError, match=f"reward_of_mine:{name} {message}"):
        called(f"reward_of_mine:{name}")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("facts", None),
        ("reward_model:some/model", None),
        ("reward_of_mine:by_length", None),
        ("reward_of_mine:judge", "found 'reward_of_mine:judge' (TypeError"),
        ("reward_of_mine:no_such", "found 'reward_of_mine:no_such' (KeyError"),
        ("no_module:f", "found 'no_module:f' (ModuleNotFoundError"),
        ("api", "found 'api', expected one of facts, reward_model:NAME, MODULE:FUNCTION"),
        ("fact", "found 'fact', expected one of facts"),
    ],
)
def test_faults_of_a_name(name, fault):
    found = reward_fault(name)
    assert found is None if fault is None else found.startswith(fault)
