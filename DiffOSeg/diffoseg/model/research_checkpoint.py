"""Import of the published research code's checkpoints, most of them pickles; none is run.

Format: ``method.md`` 2.3 and 2.4 of the project's notes. A file is either a plain state_dict of
the paper's network or pytorch-ignite's dictionary of five (model, average_model, optimizer,
scheduler, engine); what other programs wrap around either is taken off. Nothing about sizes,
experts or preprocessing is stored: sizes are read off the tensors' shapes, and what cannot be known
is said in the model's metadata.

Safety, outermost first: the size on disk and inside the archive is bounded before anything is
read; torch's ``weights_only`` reader builds tensors and plain containers and refuses every other
name in the pickle; the few numpy names that the scheduler's state needs lead to an inert
stand-in, so that not even numpy's own reconstructors see the file's bytes; and torch releases
whose reader is known to be breakable are not used at all.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..diffusion.schedule import CategoricalSchedule
from ..errors import DependencyError, InputError, WeightsError
from ..experts.panel import ExpertPanel
from ..files.header import damaged, header_bytes, is_safetensors, texts_of
from ..files.names import readable_name
from ..networks.config import UNetConfig
from ..networks.unet import UNet
from ..space.intensity import IntensityMapping
from ..version import __version__
from .cards import FORMAT
from .metadata import ModelMetadata
from .model import Model
from .restore import check_tensors, read_config, restore_network, shown
from .wrapped_state import plain_names, unwrapped

AVERAGE = "average_model"
STEPS = 250

# A stage II checkpoint with all its optimiser state is about 0.3 GB.
LARGEST_FILE = 2 * 1024**3

# Before 2.6 weights_only could be made to run code (CVE-2025-32434), before 2.10 to corrupt
# memory (CVE-2026-24747).
SAFE_TORCH = (2, 10)

# Not in any shape: the published configuration has them fixed (method.md 2).
_HEAD_CHANNELS = 32
_NORM_GROUPS = 32

# The published networks saw images in 0..2: a LIDC picture of 0..255 as value / 255 * 2, a NPC-170
# channel as normalised value * 2 (method.md 3). How the pictures were made from scans is not
# recorded; these are a usual lung window and usual MR percentiles.
_LIDC_INTENSITY = IntensityMapping("window", -1000.0, 400.0, to_low=0.0, to_high=2.0)
_OTHER_INTENSITY = IntensityMapping("percentiles", 1.0, 99.0, to_low=0.0, to_high=2.0)
_ASSUMED_SPACING_MM = 0.7
_ASSUMED_MASK_DISTANCE = 300.0  # pixels, about that of a nodule at this spacing
_ASSUMED = (
    "The checkpoint does not record its intensity mapping from scans to 0..2; one is assumed.",
    "The checkpoint does not record its pixel spacing; 0.7 mm is assumed.",
)

_ZIP = b"PK\x03"
_PICKLE = b"\x80\x02\x8a\x0a"  # protocol 2 and torch's magic number, in the legacy format

_NUMPY_NAMES = (
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.{core}.multiarray._reconstruct",
    "numpy.{core}.multiarray.scalar",
    "numpy.dtypes.Int64DType",
    "numpy.dtypes.Float64DType",
)


class UnsafeCheckpointError(WeightsError):
    """The file names something that is neither a tensor nor a plain value, so it was not read."""

    def __init__(self, path: Path, name: str | None):
        self.path, self.name = path, name
        what = f" ({shown(name)})" if name else ""
        super().__init__(
            f"{path.name}: the file tries to run code or holds objects that are not loaded{what}."
            " It was refused and nothing in it was run. Ask its maker for a plain state_dict."
        )


class _NumpyRemains:
    """Stands where a numpy array or scalar of the training state was; holds nothing of it."""

    def __init__(self, *_: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


def import_research_checkpoint(
    path: str | Path, *, image_channels: int, expert_names: Sequence[str] | None = None
) -> Model:
    """Return the model held by a checkpoint of the published code, stage I or II.

    Of several the averaged weights are taken, as the published evaluation does. Stage, classes,
    experts and sizes come from the tensors' shapes. The answers are those of the
    published network; image values must be mapped to 0..2 as the published code does, by a
    mapping that the file does not hold (see ``metadata.training["warnings"]``).

    Args:
        path: the checkpoint, at most 2 GiB; zip or legacy torch format, or safetensors.
        image_channels: channels of the image (1 for LIDC, 3 for NPC).
        expert_names: one for each expert of a stage II file; default "Expert 1", "Expert 2", ...

    Raises:
        UnsafeCheckpointError: the pickle names anything but tensors and plain containers.
        WeightsError: the file is missing, damaged, too large or of another network.
        InputError: ``image_channels`` or ``expert_names`` do not fit the file.
        DependencyError: torch is older than 2.10, whose reader is not safe.
    """
    path = Path(path)
    state, source = _network_state(path, _read(path))
    config = infer_config(path, state, image_channels)
    panel = _panel(path, config.experts, expert_names)
    check_tensors(path.name, config, {name: tuple(t.shape) for name, t in state.items()})
    network = restore_network(path.name, config, state)
    assert isinstance(network, UNet)
    metadata = _metadata(config, source)
    schedule = CategoricalSchedule.cosine(STEPS, variant="published")
    if config.experts:
        return Model(None, network, schedule, panel, metadata)
    return Model(network, None, schedule, panel, metadata)


def infer_config(path: Path, state: Mapping[str, Tensor], image_channels: int) -> UNetConfig:
    """Return the configuration whose network has tensors of these names and shapes.

    Group norm groups and channels per attention head (32 each) leave no trace in the shapes and
    are the published ones.

    Raises:
        WeightsError: the names or shapes are not those of the paper's network.
        InputError: the first convolution does not read ``image_channels`` channels.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    try:
        base, inputs = shapes["input_blocks.0.0.weight"][:2]
        classes = shapes["out.2.weight"][0]
        prompt = _prompt_sizes(shapes)
        stored_channels = inputs - classes - prompt.get("experts", 0)
        levels = _levels(shapes, base)
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(
            f"{path.name}: the tensors are not those of the paper's network ({error}). Choose a"
            " checkpoint written by the published DiffOSeg code."
        ) from error
    published = {"head_channels": _HEAD_CHANNELS, "norm_groups": _NORM_GROUPS}
    sizes = {"image_channels": stored_channels, "classes": classes, "base": base}
    config = read_config(
        path.name, UNetConfig, {**sizes, **levels, **prompt, **published}, len(state)
    )
    if config.image_channels != image_channels:
        raise InputError(
            f"{path.name}: the network reads {stored_channels} image channels ({inputs} inputs,"
            f" of which {classes} classes and {config.experts} experts), but image_channels is"
            f" {image_channels}. Give {stored_channels}."
        )
    return config


def _read(path: Path) -> Any:
    """Return what the file holds, tensors and plain containers only."""
    _check_size(path)
    if is_safetensors(path):
        return _tensors_of(path)
    _check_torch()
    _require_pickle(path)
    try:
        with path.open("rb") as file, _only_numpy_remains():
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        raise UnsafeCheckpointError(path, name.group(1) if name else None) from error
    except Exception as error:  # a reader of hostile bytes may stumble over anything
        raise WeightsError(
            f"{path.name}: cannot be read as a torch checkpoint; it is damaged or something else."
            " Copy it again from its source."
        ) from error


def _require_pickle(path: Path) -> None:
    """Refuse what torch never wrote, so that a picture is not said to try to run code."""
    start = b""
    with suppress(OSError), path.open("rb") as file:
        start = file.read(len(_PICKLE))
    if not start.startswith(_ZIP) and start != _PICKLE:
        raise WeightsError(
            f"{path.name}: is no torch checkpoint. Give the file that the training wrote, commonly"
            " *.pt, *.pth or *.safetensors."
        )


def _tensors_of(path: Path) -> dict[str, Tensor]:
    """Return what a safetensors file holds, which can run nothing."""
    if texts_of(path.name, header_bytes(path)).get("format") == FORMAT:
        raise WeightsError(
            f"{path.name}: is a model of DiffOSeg already, which needs no import. Give it with"
            " --weights."
        )
    try:
        with readable_name(path) as name:
            return load_file(name)
    except (SafetensorError, OSError) as error:
        raise damaged(path.name) from error


def _check_torch() -> None:
    release = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if release < SAFE_TORCH:
        wanted = ".".join(map(str, SAFE_TORCH))
        raise DependencyError(
            f"Research checkpoints are read safely only by torch {wanted} or newer; this is"
            f" {torch.__version__}. Update PyTorch, or import the file on another computer."
        )


def _check_size(path: Path) -> None:
    """Bound what reading can cost: the file, and what its archive claims to unpack to."""
    try:
        size = path.stat().st_size
        claimed = size
        if path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                claimed = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise WeightsError(
            f"{path.name}: cannot be opened as a checkpoint. Check the name and copy it again."
        ) from error
    # torch stores its entries uncompressed, so an honest archive is never smaller than its parts.
    if size > LARGEST_FILE or claimed > size:
        raise WeightsError(
            f"{path.name}: unpacks to {claimed:,} bytes from {size:,}; a checkpoint is stored"
            f" unpacked and below {LARGEST_FILE:,}. The file was refused."
        )


@contextmanager
def _only_numpy_remains() -> Iterator[None]:
    """Let torch's reader accept numpy's names as stand-ins, and nothing that others allowed."""
    numpy_names = {name.format(core=core) for name in _NUMPY_NAMES for core in ("core", "_core")}
    allowed_by_others = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with torch.serialization.safe_globals([(_NumpyRemains, name) for name in numpy_names]):
            yield
    finally:
        torch.serialization.add_safe_globals(allowed_by_others)


def _network_state(path: Path, content: Any) -> tuple[dict[str, Tensor], str]:
    """Return the network's tensors and the name of the part of the file they come from."""
    content, source = unwrapped(content)
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path.name}: holds no network. {_WHAT_IS_READ}")
    for name, tensor in content.items():
        if not (isinstance(name, str) and _is_plain(tensor)):
            raise WeightsError(f"{path.name}: entry {shown(name)} is not a tensor. {_WHAT_IS_READ}")
    return plain_names(content), source


_WHAT_IS_READ = f"Expected a UNet state_dict or a checkpoint with the key '{AVERAGE}'."


def _is_plain(tensor: object) -> bool:
    """Say whether this is an ordinary real tensor with a stored number for each of its elements.

    A view that repeats one stored number can claim terabytes.
    """
    return (
        isinstance(tensor, Tensor)
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and not tensor.is_complex()
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def _prompt_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the settings of the prompt block, empty for stage I."""
    if not any(name.startswith("prompt_block.") for name in shapes):
        return {}
    _, count, width, height, breadth = shapes["prompt_block.intermedia_prompt"]
    experts = shapes["prompt_block.fusion_layer.blocks.2.conv.weight"][0]
    return {
        "experts": experts,
        "prompt_count": count,
        "prompt_width": width,
        "prompt_size": [height, breadth],
    }


def _levels(shapes: Mapping[str, tuple[int, ...]], base: int) -> dict[str, Any]:
    """Walk down the input blocks; return multipliers, blocks a level and attention factors."""
    widths: list[list[int]] = [[]]
    factors: list[int] = []
    for index in range(1, _count_blocks(shapes)):
        block = f"input_blocks.{index}"
        if f"{block}.0.op.weight" in shapes:
            widths.append([])
            continue
        widths[-1].append(shapes[f"{block}.0.out_layers.3.weight"][0])
        factor = 2 ** (len(widths) - 1)
        if f"{block}.1.qkv.weight" in shapes and factor not in factors:
            factors.append(factor)
    blocks = {len(level) for level in widths}
    if len(blocks) != 1 or 0 in blocks or any(len(set(level)) != 1 for level in widths):
        raise ValueError("levels of different depth or width")
    if base < 1 or base % _NORM_GROUPS or any(level[0] % base for level in widths):
        raise ValueError(f"widths that are no multiples of {base} or of {_NORM_GROUPS}")
    return {
        "multipliers": [level[0] // base for level in widths],
        "blocks": blocks.pop(),
        "attention_factors": factors,
    }


def _count_blocks(shapes: Mapping[str, tuple[int, ...]]) -> int:
    numbered = (re.match(r"input_blocks\.(\d{1,3})\.", name) for name in shapes)
    return 1 + max(int(match.group(1)) for match in numbered if match)


def _panel(path: Path, experts: int, names: Sequence[str] | None) -> ExpertPanel:
    if names is None:
        names = [f"Expert {number}" for number in range(1, experts + 1)]
    if len(names) != experts:
        raise InputError(
            f"{path.name}: holds {experts} experts, but {len(names)} names were given."
            " Give one name for each, in the order of training."
        )
    return ExpertPanel.of(*names)


def _metadata(config: UNetConfig, source: str) -> ModelMetadata:
    """Return what is known of a published model, with what is assumed said in "warnings"."""
    lidc = config.image_channels == 1
    return ModelMetadata(
        title=f"Research checkpoint, {'experts' if config.experts else 'consensus'}",
        classes=_class_names(config.classes),
        image_channels=_channel_names(config.image_channels),
        intensity=_LIDC_INTENSITY if lidc else _OTHER_INTENSITY,
        spacing_mm=_ASSUMED_SPACING_MM,
        # Published widths: 4 levels for 64 pixels, 5 for 128, 6 for 256.
        patch=4 * 2 ** len(config.multipliers),
        sampler="ddim",
        steps=16,
        mask_distance=_ASSUMED_MASK_DISTANCE,
        modality="CT" if lidc else "MR",
        training={"source": "research checkpoint", "weights": source, "warnings": list(_ASSUMED)},
        code_version=__version__,
    )


def _class_names(classes: int) -> tuple[str, ...]:
    if classes == 2:
        return ("background", "lesion")
    return ("background", *(f"class {number}" for number in range(1, classes)))


def _channel_names(channels: int) -> tuple[str, ...]:
    """Return the published cohorts' channels: LIDC has one, NPC-170 three (method.md 5)."""
    known = {1: ("CT",), 3: ("T1", "T1c", "T2")}
    return known.get(channels, tuple(f"image {number}" for number in range(1, channels + 1)))
