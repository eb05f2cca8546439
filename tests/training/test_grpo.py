"""GRPO on TRL's trainer: its loss by hand, ratios, arms, token weights, the rows of its updates, and resuming."""

import math
import signal
from dataclasses import replace

import pytest
import torch

from ldyn.errors import DataError, Interrupted, TrainingError
from ldyn.models.packing import Document, pack
from ldyn.processes.signals import StopRequest
from ldyn.training.grpo import GroupTrainer
from ldyn.training.logps import token_logps
from ldyn.training.nthr import token_weights
from ldyn.training.plan import Rollouts
from ldyn.training.stage import make_group_trainer

ENDS = (0, 5)
G = 4


@pytest.fixture
def group_plan(plan_for):
    """``group_plan(trainer settings, algorithm=parameters)``: updates on 2 prompts with 4 answers each."""

    def plan(algorithm=None, **settings):
        one = plan_for("grpo", **{"batch_size": 2, "max_steps": 3, **settings})
        few = {"num_generations": G, "max_new_tokens": 6, **(algorithm or {})}
        info = replace(one.info, view=())
        return replace(one, info=info, parameters={**one.parameters, **few})

    return plan


@pytest.fixture
def sampled(pairs):
    """What a stage samples, rewarded by whether its first token is even; with its rows and the answers' tokens."""

    class Sampled:
        def __init__(self):
            self.rows, self.tokens = [], []

        def reward(self, ids, texts, token_ids):
            self.tokens += [(key, tuple(answer)) for key, answer in zip(ids, token_ids, strict=True)]
            return [float(answer[0] % 2 == 0) for answer in token_ids]

        def rollouts(self, **changes):
            return replace(Rollouts(pairs, self.reward, True, ENDS, self.rows.extend), **changes)

    return Sampled()


def logp(model, pairs, example_id, answer):
    """log π of an answer, by the pass of the other trainers."""
    prompt = next(pair.prompt_ids for pair in pairs if pair.pair_id == example_id)
    packed = pack([[Document(prompt, (0,), (answer,))]], pad_id=1)
    with torch.no_grad():
        return token_logps(model, packed).sums.item()


# ---- the loss by hand ----


def batch_of_two(trainer, model, ratios):
    """Two answers, of 2 tokens and of 1, to prompts of 2 and 3 tokens, with the given ratios to the sampling policy."""
    inputs = {
        "prompt_ids": torch.tensor([[1, 7, 8], [9, 10, 11]]),
        "prompt_mask": torch.tensor([[0, 1, 1], [1, 1, 1]]),
        "completion_ids": torch.tensor([[12, 0], [13, 1]]),
        "completion_mask": torch.tensor([[1, 1], [1, 0]]),
        "advantages": torch.tensor([0.7, -0.7]),
        "num_items_in_batch": torch.tensor(3),
    }
    return {**inputs, "old_per_token_logps": trainer.logps(inputs) - torch.tensor(ratios).log()[:, None]}


@pytest.mark.parametrize(
    ("epsilon", "loss", "coefficients"),
    [
        (10.0, -0.5 * (0.7 * 1.5 - 0.7 * 0.5), (0.7 * 1.5, -0.7 * 0.5)),  # −(A ρ₁ − A ρ₂) / 2
        (0.2, -0.5 * (0.7 * 1.2 - 0.7 * 0.8), (0.0, 0.0)),  # both ratios are beyond the clip, on the side that counts
        (0.5, -0.5 * (0.7 * 1.5 - 0.7 * 0.5), None),
    ],
)
def test_a_group_of_two_has_the_loss_and_gradient_of_its_closed_form(
    epsilon, loss, coefficients, group_plan, make_model, tokenizer, sampled, pairs, tmp_path
):
    model = make_model()
    plan = group_plan({"num_generations": 2, "epsilon": epsilon}, batch_size=1)
    trainer = make_group_trainer(plan, model, tokenizer, sampled.rollouts(), directory=tmp_path, seed=0)
    trainer.current_gradient_accumulation_steps = 1
    inputs = batch_of_two(trainer, model, [1.5, 0.5])
    found = trainer._compute_loss(model, inputs)
    assert found.item() == pytest.approx(loss, rel=1e-5)
    if coefficients is None:
        return
    found.backward()
    by_trl = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    prompts = [(7, 8), (9, 10, 11)]
    answers = [(12, 0), (13,)]
    documents = [[Document(*one)] for one in zip(prompts, [(0,), (1,)], [(answer,) for answer in answers], strict=True)]
    scored = token_logps(model, pack(documents, pad_id=1))
    means = scored.sums / scored.lengths
    (-(torch.tensor(coefficients) * means).mean()).backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(by_trl[name], weight.grad, rtol=1e-4, atol=1e-7)
    applied = -(trainer._scored[0].grad * inputs["completion_mask"]).sum(dim=1) * 2
    assert applied.tolist() == pytest.approx(coefficients, rel=1e-5, abs=1e-8)


# ---- the rows of an update ----


@pytest.mark.parametrize("parts", [1, 2])
def test_the_rows_hold_what_was_sampled_and_what_the_update_did(
    parts, group_plan, make_model, train, sampled, pairs, tmp_path
):
    weights = {}
    train(
        group_plan(gradient_accumulation=parts),
        make_model(),
        tmp_path,
        only=sampled.rollouts(),
        probe=lambda model, step: weights.update({step: {k: v.clone() for k, v in model.state_dict().items()}}),
    )
    assert [row["step"] for row in sampled.rows] == [step for step in range(3) for _ in range(2 * G)]
    model = make_model()
    for step in range(3):
        rows = [row for row in sampled.rows if row["step"] == step]
        answers = sorted(sampled.tokens[step * 2 * G : (step + 1) * 2 * G], key=lambda one: one[0])
        assert [row["example_id"] for row in rows] == [key for key, _ in answers]
        for when, at in (("logp_before", step), ("logp_after", step + 1)):
            model.load_state_dict(weights[at])
            # so every ratio was 1, and nothing was encoded again
            assert [row[when] for row in rows] == pytest.approx([logp(model, pairs, *one) for one in answers], abs=2e-5)
        for row, (_, tokens) in zip(rows, answers, strict=True):
            assert row["n_tokens"] == len(tokens)
            assert row["stopped"] == (tokens[-1] in ENDS)
            assert not set(ENDS) & set(tokens[:-1])
            assert row["coefficient"] == pytest.approx(row["advantage"], rel=1e-4, abs=1e-7)
            assert (row["reward"], row["correct"]) == (float(tokens[0] % 2 == 0), tokens[0] % 2 == 0)
        for start in (0, G):
            check_group(rows[start : start + G], [tokens for _, tokens in answers[start : start + G]])


def check_group(rows, tokens):
    """Advantages in units of the group's standard deviation; the share of tokens in common with wrong siblings."""
    rewards = torch.tensor([row["reward"] for row in rows])
    expected = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    assert [row["advantage"] for row in rows] == pytest.approx(expected.tolist(), abs=1e-5)
    for number, row in enumerate(rows):
        wrong = [set(tokens[other]) for other, one in enumerate(rows) if other != number and not one["correct"]]
        own = set(tokens[number])
        share = len(own & set.union(*wrong)) / len(own) if wrong else math.nan
        assert row["shared_tokens"] == pytest.approx(share, nan_ok=True)


@pytest.mark.parametrize(("arm", "sign"), [("positive", 1), ("negative", -1)])
def test_an_arm_trains_on_advantages_of_one_sign(arm, sign, group_plan, make_model, train, sampled, tmp_path):
    train(group_plan({"advantages": arm}, max_steps=2), make_model(), tmp_path, only=sampled.rollouts())
    advantages = [row["advantage"] for row in sampled.rows]
    assert min(sign * advantage for advantage in advantages) == 0 < max(sign * advantage for advantage in advantages)
    assert [row["coefficient"] for row in sampled.rows] == pytest.approx(advantages, rel=1e-4, abs=1e-7)
    assert all(row["correct"] == (sign > 0) for row in sampled.rows if row["advantage"])


def test_token_weights_multiply_the_advantage(monkeypatch, group_plan, make_model, train, sampled, tmp_path):
    def halved(model, batch, correct, size, temperature):
        return torch.where(correct[:, None], 1.0, 0.25).expand(batch["completion_ids"].shape)

    monkeypatch.setattr("ldyn.training.grpo.nthr_weights", halved)
    train(group_plan({"token_weights": "nthr"}, max_steps=1), make_model(), tmp_path, only=sampled.rollouts())
    expected = [row["advantage"] * (1 if row["correct"] else 0.25) for row in sampled.rows]
    assert [row["coefficient"] for row in sampled.rows] == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_token_weights_by_hand():
    """One right answer of one token, two wrong ones: the first has a token like it and one unlike it."""
    hidden = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[2.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 0.0]]])
    residuals = torch.tensor([[[1.0, -1.0], [0, 0]], [[1.0, -1.0], [1.0, -1.0]], [[-1.0, 1.0], [0, 0]]])
    mask = torch.tensor([[True, False], [True, True], [True, False]])
    # τ = 2, the score of the right answer's token; the wrong tokens have scores 4, 0 and 0; η = 2 |1/3 − 1/2|
    weights = token_weights(residuals, hidden, mask, torch.tensor([True, False, False]))
    assert weights.tolist() == [[1, 1], [pytest.approx(1 / 3), 1], [1, 1]]
    assert token_weights(residuals, hidden, mask, torch.tensor([True] * 3)).tolist() == [[1, 1]] * 3


def test_the_divergence_is_from_the_start_of_the_stage(group_plan, make_model, train, sampled, tmp_path):
    plan = group_plan({"beta": 0.5, "scale_rewards": "none"}, max_steps=2)
    rewards = {"reward": lambda ids, texts, tokens: [0.0] * len(ids)}
    train(plan, make_model(), tmp_path, only=sampled.rollouts(**rewards))
    # Without advantages only the divergence acts: its gradient is 0 where the policy is its reference.
    assert max(abs(row["coefficient"]) for row in sampled.rows if row["step"] == 0) < 1e-5


# ---- resuming and faults ----


def test_a_stopped_stage_resumes_to_the_same_weights_and_rows(group_plan, make_model, train, sampled, tmp_path):
    _, final = train(group_plan(max_steps=4), make_model(), tmp_path / "whole", only=sampled.rollouts())
    whole = list(sampled.rows)
    sampled.rows.clear()
    stop = StopRequest()
    with pytest.raises(Interrupted):
        train(
            group_plan(max_steps=4),
            make_model(),
            tmp_path / "parts",
            only=sampled.rollouts(),
            stop=stop,
            probe=lambda model, step: setattr(stop, "signal_number", signal.SIGTERM if step == 2 else None),
        )
    _, resumed = train(group_plan(max_steps=4), make_model(), tmp_path / "parts", only=sampled.rollouts())
    assert (resumed / "model.safetensors").read_bytes() == (final / "model.safetensors").read_bytes()
    assert [str(row) for row in sampled.rows] == [str(row) for row in whole]


def test_a_reward_that_fails_stops_the_stage_before_its_update(group_plan, make_model, train, sampled, tmp_path):
    model, calls = make_model(), []
    seen = {}

    def reward(ids, texts, tokens):
        calls.append(1)
        if len(calls) == 2:
            raise TrainingError("The reward mine:reward returned None")
        return sampled.reward(ids, texts, tokens)

    with pytest.raises(TrainingError, match="mine:reward returned None"):
        train(
            group_plan(),
            model,
            tmp_path,
            only=sampled.rollouts(reward=reward),
            probe=lambda model, step: seen.update({step: {k: v.clone() for k, v in model.state_dict().items()}}),
        )
    assert max(seen) == 1
    assert all(torch.equal(weight, seen[1][name]) for name, weight in model.state_dict().items())


def test_a_model_whose_log_probs_depend_on_padding_is_refused(
    monkeypatch, group_plan, make_model, train, sampled, tmp_path
):
    whole = GroupTrainer.logps
    monkeypatch.setattr(GroupTrainer, "logps", lambda self, inputs: whole(self, inputs) * 1.01)
    with pytest.raises(TrainingError, match="between the batch and the answer alone"):
        train(group_plan(), make_model(), tmp_path, only=sampled.rollouts())


def test_answers_need_room(group_plan, make_model, tokenizer, sampled, tmp_path):
    with pytest.raises(DataError, match=r"max_new_tokens: prompt and answer have .* 64"):
        make_group_trainer(
            group_plan({"max_new_tokens": 64}), make_model(), tokenizer, sampled.rollouts(), directory=tmp_path, seed=0
        )
