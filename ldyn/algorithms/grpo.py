"""GRPO's settings. Generation, groups, advantages and the loss are TRL's (``ldyn.training.grpo``).

G answers to a prompt with rewards r_i have advantages A_i = (r_i − mean r) / (std r + 1e-4) (Shao et al. 2024, arXiv
2402.03300). With ratios ρ = π / π_old its loss is the mean of −min(ρ_l A, clip(ρ_l, 1 ± ε) A) over tokens.
So its residual coefficients c_l = −∂ℓ/∂log π_l are ρ_l A / |y|, and 0 where the clip holds; their sum is A at ρ = 1.
"""

from __future__ import annotations

from typing import NoReturn

from ldyn.algorithms.record import Algorithm, Parameter


def group_loss(*_: object, **__: object) -> NoReturn:
    raise TypeError("the loss of grpo is computed by TRL's GRPOTrainer, on answers that are sampled as it trains")


def count(default: int, low: int, meaning: str) -> Parameter:
    return Parameter(default, low=low, closed="left", meaning=meaning, whole=True)


GRPO = Algorithm(
    "grpo",
    "groupwise",
    group_loss,
    parameters={
        "num_generations": count(8, 2, "answers sampled for each prompt, the group"),
        "temperature": Parameter(1.0, low=0.0, meaning="at which answers are sampled and scored"),
        "max_new_tokens": count(48, 1, "tokens of an answer at most"),
        "num_iterations": count(1, 1, "updates on the same answers"),
        "epsilon": Parameter(0.2, low=0.0, meaning="ε, beyond which ratios are clipped"),
        "beta": Parameter(0.0, low=0.0, closed="left", meaning="β of the KL to the start of the stage; 0 turns it off"),
    },
    options={
        "reward": ("facts",),
        "scale_rewards": ("group", "batch", "none"),
        "loss_type": ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"),
        "advantages": ("all", "positive", "negative"),
        "token_weights": ("none", "nthr"),
    },
)
