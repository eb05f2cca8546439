"""What is shared is made once; who needs it waits; every scale is a valid plan."""

import pytest

from ldyn.config.groups import options_of
from ldyn.errors import ConfigError
from ldyn.jobs.reproduction.order import next_job, wall_seconds
from ldyn.jobs.reproduction.plan import Job


@pytest.mark.parametrize("scale", options_of("scale"))
def test_every_scale_is_a_valid_plan(planned, scale):
    config, jobs = planned(f"scale={scale}", "seeds=1")
    assert {job.part for job in jobs} == set(config.scale.parts)
    assert all(job.seconds > 0 for job in jobs)


def test_base_and_stages_are_made_once_for_each_seed(planned):
    """But for the stages of extend_wins, which are probed with more unseen questions."""
    _, jobs = planned("seeds=2")
    for seed in (0, 1):
        asked = next(job for job in jobs if job.name == f"extend_wins/seed-{seed}")
        assert asked.takes_over == {"base": f"decompose/seed-{seed}"}
        runs = [job for job in jobs if job.name.endswith(f"seed-{seed}") and job.part != "extend_wins"]
        made = [stage for job in runs for stage in job.makes]
        assert len(set(made)) == len(made)
        first, *others = runs
        assert first.after == set()
        assert all(job.after == {first.name} for job in others)
        assert all(job.takes_over["base"] == job.takes_over["sft"] == first.name for job in others)


def test_another_setting_of_a_stage_is_another_stage(planned):
    """With denser probing in one experiment alone it makes its stages itself, but finds the base."""
    denser = "+scale.parts.extend_wins.overrides=['probes.schedule.every=1']"
    _, jobs = planned("scale=smoke", "seeds=1", denser)
    extend = next(job for job in jobs if job.part == "extend_wins")
    assert set(extend.takes_over) == {"base"}
    assert {"sft", "dpo"} <= set(extend.makes)


def test_a_faulty_experiment_is_told_before_anything_runs(planned):
    with pytest.raises(ConfigError, match="batch_size"):
        planned("scale=smoke", "+scale.parts.extend_wins.overrides=['++stages.dpo.trainer.batch_size=-1']")


def job(name, seconds, *after):
    return Job(name, "part", (), None, takes_over={f"stage of {maker}": maker for maker in after}, seconds=seconds)


def test_what_holds_up_the_longest_work_comes_first():
    maker, alone, taker = job("maker", 2.0), job("alone", 3.0), job("taker", 4.0, "maker")
    assert next_job([alone, maker, taker], set()) is maker  # 2 and then 4 s, against 3 s
    assert next_job([alone, taker], {"maker"}) is taker
    assert next_job([taker], set()) is None


def test_wall_time_side_by_side():
    """maker (2 s) and alone (3 s) start; taker (4 s) begins at 2 s and ends at 6 s. One after the other: 9 s."""
    jobs = [job("maker", 2.0), job("alone", 3.0), job("taker", 4.0, "maker")]
    assert wall_seconds(jobs, 2) == 6.0
    assert wall_seconds(jobs, 1) == 9.0
    assert wall_seconds(jobs[1:], 2) == 4.0  # the maker has ended before
