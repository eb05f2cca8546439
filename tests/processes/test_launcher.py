"""How many processes there are to be, against what a launcher has started and what the machine has."""

import pytest

from ldyn.processes import launcher
from ldyn.processes.launcher import launched_count, number_faults, room_faults

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", launcher.ACCELERATE_SETS)


@pytest.fixture
def environment(monkeypatch):
    """Set the variables of a launcher; without any there is none."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return lambda **values: [monkeypatch.setenv(name, str(value)) for name, value in values.items()]


@pytest.fixture
def machine(monkeypatch):
    """Pretend a number of GPUs and cores."""

    def pretend(gpus: int, cores: int) -> None:
        monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
        monkeypatch.setattr(launcher, "usable_cores", lambda: cores)

    return pretend


def test_without_a_launcher_any_number_may_be_wanted(environment):
    assert launched_count() is None
    assert number_faults(None) == number_faults(1) == number_faults(4) == []


def test_a_launcher_must_have_started_what_is_wanted(environment):
    environment(RANK=0, WORLD_SIZE=2)
    assert launched_count() == 2
    assert number_faults(None) == number_faults(2) == []
    [fault] = number_faults(3)
    assert fault.startswith("trainer.num_processes: found 3, but the launcher has started 2 process(es); expected")


def test_a_launcher_that_quietly_started_one_process_is_found_out(environment):
    environment(**{launcher.ACCELERATE_SETS: "no"})
    [fault] = number_faults(None)
    assert "has started a single process" in fault
    assert "--multi_gpu --num_processes N" in fault
    assert number_faults(1) == number_faults(2) == []  # one is meant; or ldyn starts two itself


@pytest.mark.parametrize(
    ("gpus", "cores", "count", "parallel", "fault"),
    [
        (0, 2, 2, "ddp", None),
        (0, 2, 3, "ddp", "num_processes: found 3, expected at most 2, the CPU cores that are usable here"),
        (4, 2, 4, "ddp", None),
        (4, 64, 5, "fsdp", "num_processes: found 5, expected at most 4, the GPUs that torch sees here"),
        (0, 64, 2, "fsdp", "parallel: found fsdp, but torch sees no GPU here, expected parallel=ddp"),
        (4, 64, 1, "fsdp", "parallel: found fsdp and one process, expected parallel=ddp, or trainer.num_processes=2"),
        (0, 1, 1, "ddp", None),
    ],
)
def test_each_process_needs_a_gpu_or_a_core(gpus, cores, count, parallel, fault, environment, machine):
    machine(gpus, cores)
    found = room_faults(count, parallel)
    assert found == [] if fault is None else found[0].startswith(f"trainer.{fault}")


def test_processes_on_other_machines_need_no_room_here(environment, machine):
    machine(gpus=2, cores=8)
    environment(RANK=3, WORLD_SIZE=4, LOCAL_WORLD_SIZE=2)
    assert room_faults(4, "ddp") == []
