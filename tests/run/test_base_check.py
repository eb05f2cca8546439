"""A base that is worse than chance is named before training; one that has learned something is not."""

import json

import pytest

from ldyn.run.run import run


@pytest.mark.parametrize(("steps", "is_weak"), [(0, True), (30, False)])
def test_a_base_worse_than_chance_is_noted_before_training(smoke, steps, is_weak, monkeypatch, capsys):
    config = smoke(f"base_of_{steps}", f"model.steps={steps}", "model.warmup_steps=0")
    monkeypatch.setattr("ldyn.run.run.run_stage", _stop)
    with pytest.raises(KeyboardInterrupt):
        run(config)
    manifest = json.loads(
        (config.paths.run.with_name(f"{config.paths.run.name}.partial") / "manifest.json").read_text()
    )
    notes = manifest.get("notes", [])
    assert ["model=smollm2_135m_instruct" in note for note in notes] == [True] * is_weak
    assert ("nats per token; a uniform guess" in capsys.readouterr().err) == is_weak


def _stop(*_):
    raise KeyboardInterrupt
