"""The network's tensors out of what training programs wrap around them.

Lightning, torch's parallel, compiled and averaged models and hand-written loops store a state_dict
under a key of their own, or write a word before each name. An average of the weights goes before
the weights, as the published evaluation does.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

_KEYS = (
    "average_model", "ema", "ema_state_dict", "model_ema", "state_dict", "model_state_dict",
    "model", "network", "net", "unet",
)  # fmt: skip
_WORDS = ("module.", "_orig_mod.", "model.", "network.", "net.", "unet.")
_DEEPEST = 4
_COUNTED = "n_averaged"  # by torch's AveragedModel, beside the weights


def unwrapped(content: Any) -> tuple[Any, str]:
    """Return what is wrapped, and the key that it was under ("state_dict" without one)."""
    source = "state_dict"
    for _ in range(_DEEPEST):
        key = next((key for key in _KEYS if _holds(content, key)), None)
        if key is None:
            break
        content, source = content[key], key
    return content, source


def _holds(content: Any, key: str) -> bool:
    return isinstance(content, Mapping) and isinstance(content.get(key), Mapping)


def plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors by the names that they have in the network itself."""
    plain = {name: tensor for name, tensor in state.items() if name != _COUNTED}
    for _ in range(_DEEPEST):
        word = next(
            (word for word in _WORDS if plain and all(n.startswith(word) for n in plain)), ""
        )
        if not word:
            break
        plain = {name.removeprefix(word): tensor for name, tensor in plain.items()}
    return plain
