"""Judges by name: facts, your own functions, reward models; chats as token ids."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from ldyn.answers.comparison import Comparison, GivenAnswer, judge_comparisons
from ldyn.answers.generation import Answer
from ldyn.answers.judges import ScoringJudge, checked_answer, facts_score, find_scorer
from ldyn.data.chat_tokens import chat_ids
from ldyn.errors import DataError, ModelError
from ldyn.models.tokenizers import build_tokenizer
from ldyn.records import AnswerCheck


def comparison(a: GivenAnswer | str, b: GivenAnswer | str) -> Comparison:
    first, second = (GivenAnswer(one) if isinstance(one, str) else one for one in (a, b))
    return Comparison("test", "q", "greedy", 0, "Why?", first, second)


def test_the_rule_of_the_judge_facts() -> None:
    def score(text: str, *, right: bool = True, borrows: bool = False, stopped: bool | None = True) -> int:
        return facts_score(GivenAnswer(text, stopped, right, borrows))

    endless = score("Ada lives in Oslo.", stopped=False)
    repeats = score("is in the home of is in the home of")
    wrong = score("Ada lives in Rome.", right=False)
    borrowed = score("Ada lives in Oslo. Ben is a baker.", borrows=True)
    assert score("Ada lives in Oslo.") == score("Ada lives in Oslo.", stopped=None) == 7
    assert 7 > repeats > endless > wrong == borrowed


def test_answers_are_checked_where_the_facts_are_known() -> None:
    def checker(example_id: str, answer: str) -> AnswerCheck:
        return AnswerCheck(True, answer.startswith("right"), "q9" if "borrowed" in answer else None)

    texts = ["right", "wrong", "right but borrowed", "right a b c d a b c d"]
    answers = [checked_answer(checker, "q", Answer(text, (5, 0), stopped=True)) for text in texts]
    assert find_scorer("facts")("q", answers, "?") == [7, 3, 3, 6]
    assert checked_answer(None, "q", Answer("right", (5,), False)) == GivenAnswer("right", False, None, None, 1, (5,))


def test_scores_become_verdicts_and_each_text_is_scored_once() -> None:
    calls: list[tuple[str, ...]] = []

    def by_length(example_id: str, answers: Sequence[GivenAnswer], prompt: str) -> list[float]:
        calls.append(tuple(answer.text for answer in answers))
        return [math.nan if answer.text == "?" else float(len(answer.text)) for answer in answers]

    comparisons = [comparison("aa", "b"), comparison("b", "aa"), comparison("a", "b"), comparison("?", "b")]
    found = judge_comparisons(ScoringJudge("length", by_length), comparisons)
    assert [one.outcome for one in found] == ["a", "b", "tie", None]
    assert calls == [("aa", "b"), ("a",), ("?",)]


@pytest.fixture
def my_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current directory."""
    (tmp_path / "my_judge.py").write_text(
        "def shortest(example_id, answers, prompt): return [-len(a) for a in answers]\n"
        "def backwards(answers): return answers\n"
        "def mute(example_id, answers, prompt): return [1.0]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_judge", raising=False)
    return "my_judge"


def test_your_own_function_judges(my_judge: str) -> None:
    answers = [GivenAnswer("xxx"), GivenAnswer("x")]
    assert find_scorer(f"{my_judge}:shortest")("a", answers, "?") == [-3, -1]
    with pytest.raises(DataError, match=r"returned \[1.0\]; expected a number for each answer"):
        find_scorer(f"{my_judge}:mute")("a", answers, "?")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("orcale", "expected one of facts, reward_model:NAME, MODULE:FUNCTION, api"),
        ("oracle", "this judge is now called 'facts'"),
        ("model:./judge", "serve the model"),
        ("", "found ''"),
        ("reward_model:", "found 'reward_model:'"),
        ("no.such:thing", "No module named 'no'"),
        ("my_judge:thing", "KeyError: 'thing'"),
        (
            "my_judge:backwards",
            r"too many positional arguments\), expected a function .* \(example_id, answers, prompt\)",
        ),
        ("api", "compares two answers; expected a judge that scores answers"),
        ("local:./judge", "then use the judge api with its base_url"),
    ],
)
def test_names_that_are_no_judge_of_single_answers(name: str, words: str, my_judge: str) -> None:
    with pytest.raises(DataError, match=words):
        find_scorer(name)


TEMPLATE = (
    "{% for message in messages %}<|user|>{{ message['content'] | trim }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEXTS = ["Which answer is better? Answer 1 or answer 2.", "winner tie {}\"':,;.<>/_|-[]()*`", "a b c d e f"]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('only users here') }}", "does not take the roles user, system: only users here"),
        ("{{ messages[0]['content'] }}", "drops 1 of the messages"),
        (None, "no chat template"),
    ],
)
def test_templates_that_do_not_fit(template: str | None, words: str) -> None:
    tokenizer = build_tokenizer("bpe", TEXTS, 400)
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match=words):
        chat_ids(tokenizer, [("user", "a"), ("system", "b")], add_generation_prompt=True)


def test_a_reward_model_scores_prompt_and_answer(tmp_path: Path) -> None:
    tokenizer = build_tokenizer("bpe", TEXTS, 400)
    config = AutoConfig.for_model(
        "gpt_neox", vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=64, num_labels=1, pad_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    model.save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    judge = find_scorer(f"reward_model:{tmp_path / 'reward'}")
    answers = ["Answer 1.", "Answer 2, which is longer.", "a b c"]
    given = [GivenAnswer(answer) for answer in answers]
    ids = [tokenizer("Which answer?", answer)["input_ids"] for answer in answers]
    with torch.no_grad():
        expected = [float(model(input_ids=torch.tensor([one])).logits[0, 0]) for one in ids]
    assert judge("q", given, "Which answer?") == pytest.approx(expected)
    assert judge("q", given[::-1], "Which answer?") == pytest.approx(expected[::-1])
    assert len(set(expected)) == 3

    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path / "reward")
    in_template = find_scorer(f"reward_model:{tmp_path / 'reward'}")("q", given, "Which answer?")
    assert in_template != pytest.approx(expected)
