"""A network made from named tensors: everything is compared before anything is allocated."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

import torch
from torch import Tensor

from ..errors import WeightsError
from ..networks.config import UNetConfig
from ..networks.fast import FastConfig, FastNetwork
from ..networks.unet import UNet

Shape = tuple[int, ...]

# Far above any network of the paper's kind, and low enough that no product of sizes overflows.
LARGEST_SIZE = 4096
MOST_LEVELS = 12

Config = UNetConfig | FastConfig
AnyConfig = TypeVar("AnyConfig", UNetConfig, FastConfig)
Network = UNet | FastNetwork

# A residual block has at least ten tensors, and each on the way down has its like on the way up.
_TENSORS_A_BLOCK = 20


def network_of(config: Config) -> Network:
    """Return the network of a configuration, with values drawn at random."""
    return FastNetwork(config) if isinstance(config, FastConfig) else UNet(config)


def shown(name: object) -> str:
    """Return a name out of a file fit for a message: one short line, no control characters."""
    return repr(name)[:120]


class WeightsShapeError(WeightsError):
    """The file is intact, but one tensor does not fit the model it is loaded into."""

    def __init__(self, file: str, tensor: str, found: Shape, expected: Shape):
        self.file, self.tensor, self.found, self.expected = file, tensor, found, expected
        super().__init__(
            f"{file}: tensor {shown(tensor)} has shape {found}, the model needs {expected}."
            " The file was made for another stage or another number of input channels."
        )


class WeightsNamesError(WeightsError):
    """The file's tensors are not those that the network has."""

    def __init__(self, file: str, missing: set[str], unexpected: set[str]):
        self.file, self.missing, self.unexpected = file, missing, unexpected
        lacks = f" lacks {shown(min(missing))} ({len(missing)} missing)" if missing else ""
        extra = f" has {shown(min(unexpected))} ({len(unexpected)} too many)" if unexpected else ""
        super().__init__(
            f"{file}: the network{lacks}{' and' if lacks and extra else ''}{extra}."
            " The file was made by another program or for another network; get it again."
        )


def read_config(file: str, kind: type[AnyConfig], values: Any, tensors: int) -> AnyConfig:
    """Return the configuration that a file describes, refusing sizes no real network has.

    Args:
        file: the file's name, for the message.
        kind: whose configuration it is.
        values: the parsed JSON, from whoever made the file.
        tensors: how many tensors the file holds for this network.

    Raises:
        WeightsError: it is no description, or describes something absurdly large.
    """
    fields = get_type_hints(kind)
    if not isinstance(values, dict) or not all(
        _is_sane(fields.get(name), name, value) for name, value in values.items()
    ):
        raise WeightsError(f"{file}: the description of the network is damaged. Get it again.")
    config = kind.from_dict(values)
    if config.blocks_in_all * _TENSORS_A_BLOCK > tensors:
        raise WeightsError(
            f"{file}: describes a network of {config.blocks_in_all} blocks, which its {tensors}"
            " tensors cannot fill. Get it again."
        )
    return config


_MAY_BE_NONE = ("experts", "population")


def _is_sane(wanted: Any, name: str, value: Any) -> bool:
    """Say whether a field has its type and a size that a network may have."""
    if wanted is None:  # a later version's field
        return True
    if wanted is float:
        return type(value) in (int, float) and 0 <= value <= 1
    if wanted is not int:
        return isinstance(value, list) and len(value) <= MOST_LEVELS and all(map(_is_size, value))
    return _is_size(value) or (name in _MAY_BE_NONE and type(value) is int and value == 0)


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= LARGEST_SIZE


def check_tensors(file: str, config: Config, found: Mapping[str, Shape], prefix: str = "") -> None:
    """Raise WeightsNamesError or WeightsShapeError unless ``found`` are the network's tensors.

    The network is laid out on torch's meta device, where nothing is allocated. ``prefix`` is what
    the file puts before the network's own names.
    """
    with torch.device("meta"):
        expected = network_of(config).state_dict()
    missing, unexpected = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or unexpected:
        raise WeightsNamesError(
            file, {prefix + name for name in missing}, {prefix + name for name in unexpected}
        )
    for name, tensor in expected.items():
        if found[name] != tuple(tensor.shape):
            raise WeightsShapeError(file, prefix + name, found[name], tuple(tensor.shape))


def restore_network(
    file: str, config: Config, state: Mapping[str, Tensor], prefix: str = ""
) -> Network:
    """Return the network of ``config`` with the tensors of ``state``: float32, in eval mode.

    The tensors have been through ``check_tensors``. Raises WeightsError, naming the tensor, where
    one holds infinities or NaN.
    """
    # Its initial values are drawn and then overwritten; the caller's random numbers stay as is.
    with torch.random.fork_rng(devices=[]):
        network = network_of(config)
    network.load_state_dict(state)
    check_finite(file, network.state_dict(), prefix)
    return network.eval()


def check_finite(file: str, state: Mapping[str, Tensor], prefix: str = "") -> None:
    """Raise WeightsError, naming the tensor, where one holds infinities or NaN."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(
                f"{file}: tensor {shown(prefix + name)} holds values that are not finite numbers in"
                f" {str(tensor.dtype).removeprefix('torch.')}."
                " Use float32, or weights from before the training went astray."
            )
