"""Two processes against one: the same updates, weights and log; what one of them meets ends both."""

import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import GPTNeoXForCausalLM

SCRIPT = Path(__file__).with_name("train_as_rank.py")
DDP = ("sft", "sft_token_mean", "dpo")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def alone(directory, make_model, tokenizer, pairs):
    """name -> the same training in this process, without accumulation."""
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.save({"model": make_model(), "tokenizer": tokenizer, "pairs": pairs}, directory / "task.pt")
    tasks = module.Tasks(directory, 0)
    return {name: tasks.train(name, f"alone_{name}", num_processes=1) for name in DDP}


@pytest.fixture(scope="module")
def results(alone, directory, ranks):
    """For each rank, task -> what it gave."""
    ranks(SCRIPT, 2, directory)
    return [torch.load(directory / f"{rank}.pt", weights_only=False) for rank in range(2)]


def weights(result) -> torch.Tensor:
    """As the next stage loads them: what FSDP saved has the same weights under one other name."""
    model = GPTNeoXForCausalLM.from_pretrained(result["final"])
    return torch.cat([value.flatten() for _, value in sorted(model.state_dict().items())])


@pytest.mark.parametrize("task", [*DDP, "parts dpo", "fsdp sft", "fsdp parts sft"])
def test_two_processes_make_the_updates_of_one(task, alone, results):
    """13 rows in batches of 4: the last update of each epoch has one row, and a process without any.

    In parts the processes have different numbers of forward passes, under FSDP the same.
    """
    one, two = alone[task.split()[-1]], results[0][task]
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-5, atol=2e-5)
    for (step, alone_row), (same_step, row) in zip(one["rows"], two["rows"], strict=True):
        assert step == same_step
        assert alone_row.keys() == row.keys()
        for name in row.keys() - {"epoch", "accuracy" if step == 1 else ""}:  # at first all margins are 0 but rounding
            assert row[name] == pytest.approx(alone_row[name], rel=1e-4, abs=1e-5), (step, name)


def test_fsdp_really_divides_the_weights_from_the_first_probe_on(results):
    assert results[0]["fsdp sft"]["sharded"] == [True] * 10
    assert results[0]["dpo"]["sharded"] == [False] * 10


def test_fsdp_that_would_be_ddp_is_refused(results):
    for of_rank in results:
        assert of_rank["fsdp, not sharded"].startswith(
            "TrainingError: trainer.parallel=fsdp: the weights are not sharded"
        )


@pytest.mark.parametrize(("kind", "whole"), [("dpo", "dpo"), ("fsdp dpo", "dpo")])
def test_a_signal_to_one_process_stops_all_and_the_stage_resumes(kind, whole, results):
    for of_rank in results:
        assert of_rank[f"{kind} stopped"] == "Interrupted: Stopped by SIGTERM."
        again, uninterrupted = of_rank[f"{kind} again"], of_rank[whole]
        assert [step for step, _ in again["rows"]] == [6, 7, 8, 9]
        if kind == whole:
            assert again["rows"] == uninterrupted["rows"][5:]
            assert torch.equal(weights(again), weights(uninterrupted))
        else:
            torch.testing.assert_close(weights(again), weights(uninterrupted), rtol=1e-5, atol=2e-5)


def test_a_loss_that_is_not_finite_in_one_process_stops_all(results):
    said = [of_rank["one bad row"] for of_rank in results]
    assert all(text.startswith("TrainingError: In the batch after step ") for text in said)
    assert any("loss is nan" in text for text in said)
    assert any("gradient norm is nan" in text for text in said)


def test_in_the_end_the_main_process_trains_alone(alone, results):
    assert results[1]["main alone"] is None
    assert results[0]["main alone"]["rows"] == alone["dpo"]["rows"]
    assert torch.equal(weights(results[0]["main alone"]), weights(alone["dpo"]))
