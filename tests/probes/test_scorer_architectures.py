"""The scorer on many architectures, dtypes, layouts and wrappers, against the oracle."""

import copy
import warnings

import pytest
import torch

from ldyn.errors import ModelError
from ldyn.models import document_attention, packed_forward
from ldyn.models.evaluation import (
    PLAIN_HEADS,
    SOFTCAPPED_HEADS,
    has_known_head,
    hidden_states,
    unembed,
    unwrapped,
)
from ldyn.probes import scorer
from ldyn.probes.scorer import score_probes

KNOWN = (
    "gpt_neox", "llama", "smollm", "smollm3", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3",
    "gemma3_uncapped", "gpt2",
)  # fmt: skip
UNKNOWN = ("granite", "opt")
ONLY_EAGER = ("gemma2", "bloom")


@pytest.fixture(autouse=True)
def _nothing_said_yet():
    packed_forward.warn_once.cache_clear()


def attention_of(kind):
    return "eager" if kind in ONLY_EAGER else "sdpa"


@pytest.fixture
def exact(tiny_model, oracle):
    """What the oracle says of a kind of model, which is in float64."""
    return lambda kind, members: oracle(tiny_model(kind, attention_of(kind), torch.float64).eval(), members)


EVERY_KIND = [(kind, attention_of(kind)) for kind in (*KNOWN, *UNKNOWN)]


@pytest.mark.parametrize(("kind", "attention"), [*EVERY_KIND, ("gpt_neox", "eager"), ("llama", "eager")])
def test_equals_the_oracle(tiny_model, examples, exact, assert_close, kind, attention):
    expected = exact(kind, examples)
    single = tiny_model(kind, attention)
    assert has_known_head(single) == (kind in KNOWN)
    with warnings.catch_warnings(action="error"):
        assert_close(score_probes(single, examples, token_budget=200, pad_id=0), expected, 1e-4)
        double = score_probes(tiny_model(kind, attention, torch.float64), examples, token_budget=200, pad_id=0)
    assert_close(double, expected, 1e-9 if attention == "sdpa" else 1e-5)  # eager attention has a float32 softmax


@pytest.mark.parametrize("kind", [kind for kind in KNOWN if not kind.startswith(("gemma2", "gemma3"))])
def test_attention_by_documents_equals_the_oracle(tiny_model, examples, exact, assert_close, monkeypatch, kind):
    monkeypatch.setattr(document_attention, "SMALLEST", 0)
    double = tiny_model(kind, dtype=torch.float64)
    assert document_attention.takes_documents(double)
    rows = []
    double.get_input_embeddings().register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    assert_close(score_probes(double, examples, token_budget=200, pad_id=0), exact(kind, examples), 1e-9)
    assert set(rows) == {1}
    assert_close(score_probes(tiny_model(kind), examples, token_budget=200, pad_id=0), exact(kind, examples), 1e-4)


@pytest.mark.parametrize("kind", KNOWN)
def test_the_two_halves_of_a_known_head_give_the_models_own_logits(tiny_model, kind):
    model = tiny_model(kind, attention_of(kind)).eval()
    ids = torch.arange(2, 42).view(2, 20)
    with torch.no_grad():
        whole = model(input_ids=ids).logits
        halves = unembed(model, hidden_states(model, input_ids=ids))
    assert torch.equal(halves, whole)  # bit by bit


def test_every_known_head_is_tested(tiny_model):
    assert {tiny_model(kind, attention_of(kind)).config.model_type for kind in KNOWN} == PLAIN_HEADS | SOFTCAPPED_HEADS


@pytest.mark.parametrize("kind", ["gpt_neox", "gemma3", "opt", "bloom"])
def test_plain_rows_equal_the_oracle(tiny_model, examples, exact, assert_close, monkeypatch, kind):
    monkeypatch.setattr(
        scorer, "why_plain", lambda model, longest: packed_forward.why_plain(model, longest) or "so be it"
    )
    with pytest.warns(UserWarning, match="one by one, which takes longer and gives the same scores"):
        found = score_probes(tiny_model(kind, attention_of(kind)), examples, token_budget=150, pad_id=0)
    assert_close(found, exact(kind, examples), 1e-4)


def test_responses_beyond_the_attention_window_are_scored_with_the_models_own_masks(
    tiny_model, examples, oracle, assert_close
):
    model, double = tiny_model("mistral"), tiny_model("mistral", dtype=torch.float64).eval()
    whole = oracle(double, examples)
    model.config.sliding_window = double.config.sliding_window = 12
    expected = oracle(double, examples)
    assert max(abs(a.logp - b.logp) for a, b in zip(whole, expected, strict=True)) > 0.1  # the window matters
    with pytest.warns(UserWarning, match="sees 12 tokens back, and the longest text has 57"):
        found = score_probes(model, examples, token_budget=150, pad_id=0)
    assert_close(found, expected, 1e-4)


def test_why_rows_must_be_plain(tiny_model):
    model = tiny_model("llama")
    assert packed_forward.why_plain(model, 60) == ""
    model.config._attn_implementation = "flash_attention_2"
    assert "'flash_attention_2', which takes no mask" in packed_forward.why_plain(model, 60)
    model.config._attn_implementation = "sdpa"
    model.config.layer_types = ["full_attention", "linear_attention"]
    assert "layers that no attention mask reaches (linear_attention)" in packed_forward.why_plain(model, 60)
    model.config.layer_types = ["full_attention"]
    model._is_stateful = True
    assert "carries a state" in packed_forward.why_plain(model, 60)
    assert "takes no position ids" in packed_forward.why_plain(tiny_model("bloom", "eager"), 60)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gemma3", "granite"])
def test_bfloat16_weights_give_float32_statistics(tiny_model, examples, oracle, kind):
    expected = oracle(tiny_model(kind, dtype=torch.bfloat16).double().eval(), examples)
    found = score_probes(tiny_model(kind, dtype=torch.bfloat16), examples, token_budget=200, pad_id=0)
    for f, e in zip(found, expected, strict=True):
        assert f.logp / f.n_tokens == pytest.approx(e.logp / e.n_tokens, abs=0.5)  # bf16 hidden states: 8 bits
        # 1 − p is a float32 difference: a bf16 softmax would miss ‖A‖² = V‖π‖² + V − 2 by far more
        assert f.n_tokens > 1 or f.a_norm**2 == pytest.approx(61 * (f.prob_norm_sq + 1) - 2, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "targets"), [("gpt_neox", ["query_key_value", "lm_head"]), ("qwen2", ["q_proj", "v_proj"])]
)
def test_lora_adapted_models(tiny_model, examples, oracle, assert_close, kind, targets):
    peft = pytest.importorskip("peft")
    base = tiny_model(kind)
    plain = score_probes(base, examples, token_budget=200, pad_id=0)
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, target_modules=targets, init_lora_weights=False, lora_dropout=0.3)
    adapted = peft.get_peft_model(base, config).train()
    found = score_probes(adapted, examples, token_budget=200, pad_id=0)
    assert unwrapped(adapted) is base
    assert any(module.training for module in adapted.modules())
    expected = oracle(copy.deepcopy(adapted).double().eval(), examples)
    assert_close(found, expected, 1e-4)
    assert max(abs(a.logp - b.logp) for a, b in zip(plain, found, strict=True)) > 0.01
    with adapted.disable_adapter():
        assert_close(score_probes(adapted, examples, token_budget=200, pad_id=0), plain, 1e-5)


def test_adapters_that_live_in_the_prompt_are_refused(tiny_model, examples):
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        tiny_model("gpt2"), peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    )
    with pytest.raises(ModelError, match="PROMPT_TUNING, which adds tokens to prompts; use LoRA"):
        score_probes(adapted, examples, token_budget=200, pad_id=0)
