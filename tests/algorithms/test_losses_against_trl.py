"""Where TRL has a loss, ours is the same number on the same batch, log-probs by either side's own code."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer
from trl.experimental.cpo import CPOTrainer

from ldyn.algorithms import ALGORITHMS, Responses
from ldyn.models.packing import pack
from ldyn.training.batches import pairwise_documents
from ldyn.training.logps import TokenLogps, token_logps

BETA = 0.3
# name: TRL's loss types with weights, its other settings, our parameters beside beta
IN_TRL = {
    "dpo": ({"sigmoid": 1.0}, {}, {}),
    "ipo_length_normalised": ({"ipo": 1.0}, {}, {}),
    "slic": ({"hinge": 1.0}, {}, {}),
    "sppo": ({"sppo_hard": 1.0}, {}, {}),
    "apo_zero": ({"apo_zero": 1.0}, {}, {}),
    "nca": ({"nca_pair": 1.0}, {}, {}),
    # TRL smooths labels in "aot", which sorts the margins of a batch against the reference's: of one pair it is cDPO
    "cdpo": ({"aot": 1.0}, {"label_smoothing": 0.2}, {"flip_rate": 0.2}),
    # its mean is over the batch's tokens, ours over those of each pair: the same where all chosen are of one length
    "dpo_sft": ({"sigmoid": 1.0, "sft": 0.7}, {}, {"sft_weight": 0.7}),
}
PAIRS = [
    {"prompt_ids": [5, 6, 7], "chosen_ids": [8, 9, 3, 0], "rejected_ids": [10, 0]},
    {"prompt_ids": [11, 12], "chosen_ids": [13, 14, 4, 0], "rejected_ids": [16, 17, 18, 19, 0]},
    {"prompt_ids": [20, 5, 9, 2], "chosen_ids": [15, 3, 2, 0], "rejected_ids": [21, 22, 0]},
]


def make_model(seed: int) -> GPTNeoXForCausalLM:
    torch.manual_seed(seed)
    sizes = {"vocab_size": 24, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = GPTNeoXForCausalLM(GPTNeoXConfig(**sizes, intermediate_size=64, max_position_embeddings=32))
    with torch.no_grad():
        model.lm_head.weight.normal_(0.0, 0.5)  # so that policy and reference differ by nats
    return model.eval()


@pytest.fixture(scope="module")
def trl(tmp_path_factory):
    """TRL's DPO trainer, whose loss is chosen anew in each test."""
    from tokenizers import Tokenizer, models

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({f"w{i}": i for i in range(24)}, unk_token="w1")),
        eos_token="w0",
        pad_token="w1",
    )

    class Tokenised(DPOTrainer):
        def _prepare_dataset(self, dataset, *args, **kwargs):
            return dataset

    arguments = DPOConfig(
        output_dir=str(tmp_path_factory.mktemp("trl")),
        beta=BETA,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        report_to="none",
        max_length=None,
    )
    return Tokenised(
        make_model(1),
        ref_model=make_model(2),
        args=arguments,
        train_dataset=Dataset.from_list(PAIRS),
        processing_class=tokenizer,
    )


def our_sides(trl: DPOTrainer, rows: list[dict[str, list[int]]]) -> list[Responses]:
    """Chosen and rejected of the rows as our losses see them."""
    batch = pack([pairwise_documents(rows)], pad_id=1)

    def halves(model) -> tuple[TokenLogps, TokenLogps]:
        return token_logps(model, batch).halves()

    sides = zip(halves(trl.model), halves(trl.ref_model), strict=True)
    return [
        Responses(policy.sums, policy.lengths, policy.lengths.float().mean(), reference.sums.detach())
        for policy, reference in sides
    ]


@pytest.mark.parametrize("name", IN_TRL)
def test_our_loss_is_trls(name, trl):
    loss_types, settings, parameters = IN_TRL[name]
    trl.loss_types, trl.loss_weights = list(loss_types), list(loss_types.values())
    trl.label_smoothing = settings.get("label_smoothing", 0.0)
    for batch in (PAIRS[:1], PAIRS[1:2], *([] if name == "cdpo" else [PAIRS])):
        collated = trl.data_collator(batch)
        theirs = trl._compute_loss(trl.model, dict(collated), False)
        ours = ALGORITHMS[name].loss(*our_sides(trl, batch), beta=BETA, **parameters).mean()
        # Log-probs of some ten nats are summed in another order: float32 rounds them by 1e-6, and a hinge near its
        # corner is the small difference of such sums.
        assert ours.item() == pytest.approx(theirs.item(), rel=2e-5, abs=2e-6)
        gradients = [torch.autograd.grad(loss, trl.model.lm_head.weight)[0] for loss in (ours, theirs)]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def test_policy_and_reference_differ_in_these_tests(trl):
    for side in our_sides(trl, PAIRS):
        assert (side.log_ratio.abs() > 0.5).all()


@pytest.mark.parametrize(("name", "shape"), [("simpo", {}), ("alphapo", {"alpha": 0.25})])
def test_simpo_and_alphapo_are_trls(name, shape, trl):
    """TRL's SimPO is a function of the mean log-probs; its margin is γ too, divided by β and multiplied again."""
    chosen, rejected = our_sides(trl, PAIRS)
    settings = {"alpha": 0.0, **shape, "loss_type": "simpo", "simpo_gamma": 0.5, "beta": 2.0, "label_smoothing": 0.0}
    stand_in = SimpleNamespace(**settings, accelerator=trl.accelerator)
    theirs, *_ = CPOTrainer.cpo_loss(stand_in, chosen.logp / chosen.lengths, rejected.logp / rejected.lengths)
    ours = ALGORITHMS[name].loss(chosen, rejected, beta=2.0, margin=0.5, **shape)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
