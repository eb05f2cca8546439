"""What the losses need besides the methods of a tensor.

Together they let names and parameters of all losses be known, and a configuration be checked, before torch is imported,
which takes seconds. A loss of your own may import torch as it likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def log_sigmoid(values: Tensor) -> Tensor:
    """log σ, without overflow."""
    from torch.nn.functional import logsigmoid

    return logsigmoid(values)
