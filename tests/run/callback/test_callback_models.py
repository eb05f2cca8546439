"""ProbeCallback on models that are compiled, quantized, on the meta device or spread over processes by FSDP."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from ldyn import ProbeCallback
from ldyn.errors import ModelError
from ldyn.store import read_run

SCRIPT = Path(__file__).with_name("fsdp_as_rank.py")


@pytest.mark.slow  # compiles two trainings
def test_a_compiled_model_stays_compiled(trainers_of, make_model, tokenizer, probes, tmp_path):
    graphs, weights = [], []
    for name in ("with", "without"):
        torch._dynamo.reset()
        counters.clear()
        settings = {"torch_compile": True, "torch_compile_backend": "eager"}
        trainer = trainers_of["sft"](
            make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl", **settings
        )
        if name == "with":
            trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run", every=1))
        trainer.train()
        assert hasattr(trainer.model_wrapped, "_orig_mod")
        graphs.append(counters["stats"]["unique_graphs"])
        weights.append(torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()]))
    assert graphs[0] == graphs[1] > 0
    assert torch.equal(*weights)
    assert sorted(read_run(tmp_path / "run").trajectories["step"].unique()) == [0, 1, 2, 3]


def test_a_model_on_the_meta_device_is_refused(trainers_of, make_model, tokenizer, probes, tmp_path):
    trainer = trainers_of["plain"](make_model(), tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    callback = ProbeCallback(probes["text"], tmp_path / "run")
    options = {"model": make_model().to("meta"), "processing_class": tokenizer}
    with pytest.raises(ModelError, match="LlamaForCausalLM are on the meta device; probes need a model that is loaded"):
        callback.on_train_begin(trainer.args, trainer.state, trainer.control, **options)
    assert not list(tmp_path.glob("run*"))


def test_the_manifest_names_the_precision_of_the_weights(trainers_of, make_model, tokenizer, probes, tmp_path):
    model = make_model().to(torch.bfloat16)
    trainer = trainers_of["plain"](model, tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run", every=3))
    trainer.train()
    assert [stage["probe_precision"] for stage in read_run(tmp_path / "run").manifest["stages"]] == ["bf16"]


class Linear4bit(nn.Linear):
    """As bitsandbytes keeps a layer: whole numbers and a scale, from which each forward pass makes the weights."""

    def __init__(self, original: nn.Linear):
        super().__init__(original.in_features, original.out_features, bias=False)
        scale = original.weight.detach().abs().amax() / 7
        self.weight = nn.Parameter((original.weight.detach() / scale).round().to(torch.int8), requires_grad=False)
        self.register_buffer("scale", scale)

    def forward(self, x):
        return nn.functional.linear(x, self.weight.to(x.dtype) * self.scale)


def test_a_model_of_quantized_layers_is_scored_as_it_computes(trainers_of, make_model, tokenizer, probes, tmp_path):
    from peft import LoraConfig, get_peft_model

    model = make_model()
    for module in model.model.layers.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Linear4bit(child))
    model.is_quantized, model.hf_quantizer = True, SimpleNamespace(is_trainable=True)  # what the Trainer asks for
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    trainer = trainers_of["sft"](adapted, tokenizer, probes["text"].train_dataset, tmp_path / "trl")
    trainer.add_callback(ProbeCallback(probes["text"], tmp_path / "run", every=2))
    trainer.train()
    last = read_run(tmp_path / "run").trajectories.query("step == 3 and split == 'train' and probe == 'chosen'").iloc[0]
    [example] = [one for one in probes["text"].examples["train"] if one.example_id == last["example_id"]]
    prompt = tokenizer(example.prompt)["input_ids"]
    ids = tokenizer(example.prompt + example.responses["chosen"] + tokenizer.eos_token, return_tensors="pt")[
        "input_ids"
    ]
    with torch.no_grad():
        logp = adapted.eval()(input_ids=ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])
    assert last["logp"] == pytest.approx(logp[len(prompt) - 1 :].sum().item(), rel=1e-5)


@pytest.mark.slow
def test_fsdp_gives_the_trajectories_of_one_process(make_model, tokenizer, probes, ranks, tmp_path):
    task = {"model": make_model(), "tokenizer": tokenizer, "probes": probes["text"]}
    torch.save(task, tmp_path / "task.pt")
    for number in (1, 2):
        ranks(SCRIPT, number, tmp_path)
    assert torch.load(tmp_path / "sharded.pt") == [True] * 2
    one, two = (read_run(tmp_path / f"run-{number}").trajectories for number in (1, 2))
    columns = ["step", "split", "example_id", "probe", "logp"]
    keys = columns[:-1]
    one, two = (table[columns].sort_values(keys).reset_index(drop=True) for table in (one, two))
    pd.testing.assert_frame_equal(one, two, rtol=1e-4)
