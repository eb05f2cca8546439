"""The dispatch over sources, their YAML files, and the fingerprint."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from ldyn.data.hub import HubConfig
from ldyn.data.local_files import FilesConfig
from ldyn.data.sources import data_fingerprint
from ldyn.records import PreferenceData, PreferencePair, ProbeExample

CONFIGS = Path(__file__).parents[2] / "configs" / "dataset"


@pytest.mark.parametrize(
    ("name", "kind"), [("files", FilesConfig), ("hub", HubConfig), ("hh", HubConfig), ("ultrafeedback", HubConfig)]
)
def test_the_yaml_files_say_every_setting_of_their_config(name, kind):
    settings = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    settings |= {key: "rows.csv" for key, value in settings.items() if value == "???"}
    assert set(settings) == {field.name for field in fields(kind)}
    TypeAdapter(kind).validate_python(settings)


def test_the_fingerprint_sees_every_text_and_the_order():
    example = ProbeExample("a", "q", {"chosen": "yes", "rejected": "no"})
    pairs = (PreferencePair("a", "q", "yes", "no"), PreferencePair("b", "r", "yes", "no"))
    data = PreferenceData("x", pairs, {"train": (example,), "test": ()}, corpus=("one", "two"))
    same = replace(data, name="elsewhere", counts={"pairs": 2}, probes={**data.probes, "train": (_turned(example),)})
    others = [
        replace(data, pairs=pairs[::-1]),
        replace(data, pairs=(pairs[0], replace(pairs[1], rejected="never"))),
        replace(data, probes={"train": (), "test": (example,)}),
        replace(data, probes={"train": (replace(example, responses={"chosen": "yes"}),), "test": ()}),
        replace(data, corpus=("two", "one")),
        replace(data, corpus=()),
    ]
    prints = [data_fingerprint(item) for item in (data, *others)]
    assert len(set(prints)) == len(prints)
    assert data_fingerprint(same) == prints[0]


def _turned(example):
    return replace(example, responses=dict(reversed(example.responses.items())))
