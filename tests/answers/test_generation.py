"""Answers against a plain loop without cache, batch or padding; rows of samples.jsonl."""

import random

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ldyn.answers.generation import Decoding, Sampling, answer_prompts, end_ids
from ldyn.answers.samples import SamplePrompt, sample_rows
from ldyn.errors import DataError
from ldyn.records import AnswerCheck

RNG = random.Random(0)
PROMPTS = [tuple(RNG.choices(range(2, 40), k=n)) for n in (3, 1, 7, 5, 2, 4)]


def greedy_oracle(model: PreTrainedModel, prompt: tuple[int, ...], eos_id: int, max_new_tokens: int) -> list[int]:
    ids = list(prompt)
    while len(ids) < len(prompt) + max_new_tokens and eos_id not in ids[len(prompt) :]:
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_greedy_answers_equal_a_plain_loop(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, batch_size: int
) -> None:
    answers = answer_prompts(model, tokenizer, PROMPTS, Decoding(9, batch_size=batch_size))
    model.eval()
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert list(answer.token_ids) == greedy_oracle(model, prompt, 0, 9)
        assert answer.stopped == (0 in answer.token_ids)
        assert answer.text.split() == [f"w{i}" if i > 1 else "<unk>" for i in answer.token_ids if i > 0]


def test_equal_prompts_pass_the_model_once(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    fed: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda _, __, given: fed.append(tuple(given["input_ids"].shape)), with_kwargs=True)
    repeated = [prompt for _ in range(5) for prompt in PROMPTS]
    answers = answer_prompts(model, tokenizer, repeated, Decoding(9))
    assert fed[:2] == [(len(PROMPTS), max(map(len, PROMPTS)) - 1), (len(repeated), 1)]
    assert answers == answer_prompts(model, tokenizer, PROMPTS, Decoding(9)) * 5
    drawn = answer_prompts(model, tokenizer, [PROMPTS[0]] * 30, Decoding(9, Sampling(temperature=20.0)))
    assert len({answer.token_ids for answer in drawn}) > 10


def test_an_answer_ends_with_eos(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    model.eval()
    endless = [greedy_oracle(model, prompt, -1, 9) for prompt in PROMPTS]
    eos_id = max(endless, key=lambda ids: ids.index(ids[-1]))[-1]  # from now on it ends that answer, late
    tokenizer.eos_token = f"w{eos_id}"
    answers = answer_prompts(model, tokenizer, PROMPTS, Decoding(9))
    for answer, ids in zip(answers, endless, strict=True):
        assert answer.stopped == (eos_id in ids)
        assert list(answer.token_ids) == (ids[: ids.index(eos_id) + 1] if answer.stopped else ids)
        assert f"w{eos_id}" not in answer.text.split()
    assert any(answer.stopped for answer in answers)


@pytest.mark.parametrize("named_by", ["generation settings", "chat template"])
def test_an_answer_ends_with_the_end_of_a_turn(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, named_by: str
) -> None:
    endless = answer_prompts(model, tokenizer, PROMPTS, Decoding(9))
    end = max((answer.token_ids for answer in endless), key=lambda ids: ids.index(ids[-1]))[-1]
    model.generation_config.eos_token_id = 12 if end != 12 else 13  # a word: the architecture's default, no end
    assert end_ids(model, tokenizer) == (0,)
    tokenizer.add_special_tokens({"additional_special_tokens": [f"w{end}"]})
    if named_by == "chat template":
        tokenizer.chat_template = "{% for m in messages %}" + "{{ m['content'] }} " + f"w{end} " + "{% endfor %}"
    else:
        model.generation_config.eos_token_id = [0, end]
    assert end_ids(model, tokenizer) == (0, end)
    answers = answer_prompts(model, tokenizer, PROMPTS, Decoding(9))
    for answer, before in zip(answers, endless, strict=True):
        ids = list(before.token_ids)
        assert list(answer.token_ids) == (ids[: ids.index(end) + 1] if end in ids else ids)
        assert answer.stopped == (end in ids or before.stopped)
        assert f"w{end}" not in answer.text.split()
    assert any(answer.stopped for answer in answers)


def test_a_checkpoints_generation_settings_are_ignored_and_kept(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    plain = answer_prompts(model, tokenizer, PROMPTS, Decoding(9))
    model.generation_config.update(repetition_penalty=50.0, do_sample=True, top_k=2, min_new_tokens=9)
    settings = model.generation_config.to_dict()
    assert answer_prompts(model, tokenizer, PROMPTS, Decoding(9)) == plain
    assert model.generation_config.to_dict() == settings


def test_sampled_answers_follow_their_seed_and_have_no_side_effect(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    random_state = torch.get_rng_state()
    first, again, other = (
        answer_prompts(model, tokenizer, PROMPTS, Decoding(9, Sampling(temperature=3.0, seed=seed)))
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(module.training for module in model.modules())


def test_samples_are_drawn_from_the_whole_distribution(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    # One token after one prompt, 2,000 times. (The library's silent top_k = 50 could not show at V = 40.)
    model.eval()
    with torch.no_grad():
        p = model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].div(20).softmax(-1)
    prompts = [PROMPTS[0]] * 2000
    drawn = answer_prompts(model, tokenizer, prompts, Decoding(1, Sampling(temperature=20.0), batch_size=2000))
    counts = torch.bincount(torch.tensor([answer.token_ids[0] for answer in drawn]), minlength=40) / 2000
    assert float((counts - p).abs().max()) < 5 * (0.25 / 2000) ** 0.5
    narrow = Sampling(temperature=20.0, top_p=1e-6)
    likeliest = answer_prompts(model, tokenizer, prompts[:50], Decoding(1, narrow))
    assert {answer.token_ids[0] for answer in likeliest} == {int(p.argmax())}


def test_a_full_context_ends_an_answer_and_no_room_is_an_error(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.eos_token = "w39"
    answers = answer_prompts(model, tokenizer, [(2,) * 30, (2,)], Decoding(9, batch_size=1))
    assert answers[0].n_tokens <= 2
    with pytest.raises(DataError, match="Prompt 1 has 32 tokens"):
        answer_prompts(model, tokenizer, [(2,), (2,) * 32], Decoding(9))
    with pytest.raises(DataError, match="Prompt 0 has 0 tokens"):
        answer_prompts(model, tokenizer, [()], Decoding(9))


def test_rows_of_samples(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    prompts = [SamplePrompt("train", f"id{i}", tokenizer.decode(ids), ids) for i, ids in enumerate(PROMPTS)]

    def checker(example_id: str, answer: str) -> AnswerCheck:
        return AnswerCheck(bool(answer), example_id == "id0", "id9" if example_id == "id1" else None)

    rows = sample_rows(model, tokenizer, prompts, Decoding(9), stage="sft", checker=checker)
    answers = answer_prompts(model, tokenizer, PROMPTS, Decoding(9))
    assert [row["text"] for row in rows] == [answer.text for answer in answers]
    assert [row["is_right"] for row in rows] == [True] + [False] * 5
    assert [row["borrowed_from"] for row in rows] == [None, "id9", None, None, None, None]
    assert rows[2].keys() == {
        "stage", "example_id", "split", "prompt", "mode", "text", "n_tokens", "stopped", "repeated_4grams",
        "distinct_1", "distinct_2", "distinct_3", "longest_loop", "states_a_fact", "is_right", "borrowed_from",
    }  # fmt: skip
    assert {row["mode"] for row in rows} == {"greedy"}
    sampled = sample_rows(model, tokenizer, prompts, Decoding(9, Sampling()), stage="base")
    assert {(row["mode"], row["stage"], row["is_right"]) for row in sampled} == {("sampled", "base", None)}
