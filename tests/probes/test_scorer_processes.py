"""Two and three processes against one: the same scores in every process, none lost, none doubled."""

from pathlib import Path

import pytest
import torch

from ldyn.probes.scorer import score_probes

SCRIPT = Path(__file__).with_name("score_as_rank.py")
RANKS = [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tiny_model, examples, tmp_path_factory, ranks):
    """(number of processes, rank) -> task -> what the process got."""
    directory = tmp_path_factory.mktemp("ranks")
    models = {world_size: tiny_model("gpt_neox") for world_size in (2, 3)}
    torch.save({"model": models, "examples": examples}, directory / "task.pt")
    ranks(SCRIPT, 3, directory)
    of_ranks = [torch.load(directory / f"{rank}.pt", weights_only=False) for rank in range(3)]
    return {(world_size, rank): of_ranks[rank][world_size] for world_size, rank in RANKS}


@pytest.fixture(scope="module")
def alone(tiny_model, examples):
    return score_probes(tiny_model("gpt_neox"), examples, token_budget=120, pad_id=0)


@pytest.mark.parametrize("task", ["all", "ddp", "fsdp", "fsdp, another budget"])
@pytest.mark.parametrize("process", RANKS)
def test_each_process_gets_what_one_alone_gets(results, alone, examples, assert_close, process, task):
    assert len(examples) % process[0] != 0  # shares are of different sizes
    assert_close(results[process][task], alone, 1e-5)


@pytest.mark.parametrize("task", ["fewer than processes", "fsdp, one example"])
@pytest.mark.parametrize("process", RANKS)
def test_a_process_without_a_share(results, tiny_model, examples, assert_close, process, task):
    alone = score_probes(tiny_model("gpt_neox"), examples[:1], token_budget=120, pad_id=0)
    assert_close(results[process][task], alone, 1e-5)


@pytest.mark.parametrize("process", RANKS)
def test_all_processes_get_the_same_bits(results, process):
    for task in ("all", "ddp", "fsdp", "fewer than processes"):
        assert results[process][task] == results[process[0], 0][task]


@pytest.mark.parametrize("process", RANKS)
def test_the_error_of_one_process_is_raised_in_all(results, process):
    assert str(results[process]["one runs out of memory"]).startswith("ModelError: Memory does not suffice to score")
