"""Parts of a model by the names of their weights: embeddings, each layer, final norm, unembedding.

The unembedding alone is the paper's *fixed feature map*: logits move only as W does in z = W φ(χ), and φ stays.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from transformers import PreTrainedModel

from ldyn.errors import ModelError

Grouping = Callable[[str], str]

EMBEDDINGS, FINAL_NORM, UNEMBEDDING = "embeddings", "final norm", "unembedding"


def layer_name(number: int) -> str:
    """The group of a layer, counted from 1 at the input."""
    return f"layer {number}"


def group_names(model: PreTrainedModel) -> list[str]:
    """All groups from the input to the output."""
    return [EMBEDDINGS, *(layer_name(n + 1) for n in range(len(_layers(model)[1]))), FINAL_NORM, UNEMBEDDING]


def grouping(model: PreTrainedModel) -> Grouping:
    """Name of a weight, as `weights_of` names it -> its group.

    A tensor that serves as embedding and unembedding has two names, and a group for each of its two uses. What is
    neither in a layer nor an embedding, of tokens or positions, stands behind the layers: the final norm.
    """
    names = dict(model.named_modules())
    output = _name_of(model.get_output_embeddings(), names)
    prefix, layers = _layers(model)
    own = [_name_of(layer, names) for layer in layers]

    def group_of(name: str) -> str:
        if name.startswith(f"{output}."):
            return UNEMBEDDING
        if name.startswith(f"{prefix}."):
            return layer_name(1 + next(n for n, layer in enumerate(own) if name.startswith(f"{layer}.")))
        return EMBEDDINGS if _is_embedding(model, name) else FINAL_NORM

    return group_of


def _layers(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Name and content of the list of layers: of the lists as long as the config says, the one with most weights."""
    count = model.config.get_text_config().num_hidden_layers
    lists = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    fitting = [(name, module) for name, module in lists if len(module) == count]
    if not fitting:
        raise ModelError(f"{type(model).__name__} has no list of {count} layers, so its weights cannot be grouped.")
    return max(fitting, key=lambda found: sum(tensor.numel() for tensor in found[1].parameters()))


def _is_embedding(model: PreTrainedModel, name: str) -> bool:
    return "embed" in name or isinstance(model.get_submodule(name.rpartition(".")[0]), nn.Embedding)


def _name_of(module: nn.Module, names: dict[str, nn.Module]) -> str:
    return next(name for name, candidate in names.items() if candidate is module)
