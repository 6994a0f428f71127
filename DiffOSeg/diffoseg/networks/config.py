"""The sizes of a network: the published ones, and the compact ones of the default weights."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from ..errors import InputError, WeightsError

Stage = Literal["stage1", "stage2"]

# The published choice of widths by the smaller side of an image, in pixels.
_PUBLISHED_MULTIPLIERS: dict[int, tuple[int, ...]] = {
    64: (1, 2, 3, 4),
    128: (1, 1, 2, 3, 4),
    256: (1, 1, 2, 2, 4, 4),
}


class NetworkConfig:
    """The sizes of a network, a dataclass, that JSON can hold."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain numbers and lists, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what ``to_dict`` wrote; unknown fields are left, wrong ones raise WeightsError."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name in known
        }
        try:
            return cls(**plain)
        except (TypeError, ValueError, InputError) as error:
            raise WeightsError(
                f"The description of the network is damaged ({error}). Get the file again."
            ) from error


@dataclass(frozen=True)
class UNetConfig(NetworkConfig):
    """All that decides the shape of a network; JSON-able, and stored beside the weights.

    Attributes:
        image_channels: channels of the image, 1 or more.
        classes: classes of the mask with the background, K >= 2.
        base: width of the first level, in channels.
        multipliers: width of each level as a multiple of ``base``; a level halves the resolution.
        blocks: residual blocks of a level on the way down (one more on the way up).
        attention_factors: the downsampling factors at which there is self-attention.
        head_channels: channels of one attention head.
        norm_groups: groups of every group normalisation; must divide the width of every level.
        experts: how many experts the network knows; 0 is a consensus network (stage I).
        prompt_size: (height, width) of the stored prompts; those of the deepest feature map at the
            trained image size need no resizing, the published network stores 96 x 96.
        prompt_width: channels of a prompt and of the fusion layer.
        prompt_count: prompts that the prompt block mixes.
        prompt_dropout: rate at which the fusion layer drops channels in training.
    """

    image_channels: int
    classes: int = 2
    base: int = 32
    multipliers: tuple[int, ...] = (1, 1, 2, 3, 4)
    blocks: int = 2
    attention_factors: tuple[int, ...] = (8, 16)
    head_channels: int = 32
    norm_groups: int = 32
    experts: int = 0
    prompt_size: tuple[int, int] = (96, 96)
    prompt_width: int = 128
    prompt_count: int = 5
    prompt_dropout: float = 0.5

    def __post_init__(self) -> None:
        sizes = (self.base, self.blocks, self.head_channels, self.norm_groups, self.prompt_width)
        if min(*sizes, *self.multipliers, *self.prompt_size, self.prompt_count) < 1:
            raise InputError("Every width, count and size of a network is 1 or more.")
        if self.image_channels < 1 or self.classes < 2 or self.experts < 0:
            raise InputError(
                "A network needs at least 1 image channel, 2 classes and 0 experts; asked for"
                f" {self.image_channels}, {self.classes} and {self.experts}."
            )
        if len(self.multipliers) < 2 or self.base % 2:
            raise InputError("A network needs at least 2 levels and an even base width.")
        for level, width in enumerate(self.widths):
            if width % self.norm_groups:
                raise InputError(
                    f"norm_groups = {self.norm_groups} does not divide the width {width} of level"
                    f" {level}. Choose a common divisor of {', '.join(map(str, self.widths))}."
                )
            attends = 2**level in self.attention_factors or level == len(self.widths) - 1
            if attends and width % self.head_channels:
                raise InputError(
                    f"head_channels = {self.head_channels} does not divide the width {width} of"
                    f" level {level}, which has attention. Choose a divisor of it."
                )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, from full resolution downwards."""
        return tuple(self.base * multiplier for multiplier in self.multipliers)

    @property
    def blocks_in_all(self) -> int:
        """Residual blocks on the way down; there are as many on the way up."""
        return len(self.multipliers) * self.blocks

    @property
    def stride(self) -> int:
        """Pixels of the image to one of the deepest feature map."""
        return int(2 ** (len(self.multipliers) - 1))


def published_config(
    stage: Stage, image_channels: int, size: int = 128, experts: int = 4
) -> UNetConfig:
    """Return the published network for images of ``size`` x ``size`` pixels: 64, 128 or 256."""
    if size not in _PUBLISHED_MULTIPLIERS:
        raise InputError(
            f"No network was published for images of {size} pixels. Choose 64, 128 or 256; each"
            " takes images of any size."
        )
    return UNetConfig(
        image_channels,
        multipliers=_PUBLISHED_MULTIPLIERS[size],
        attention_factors=(8, 16, 32),
        experts=_experts_of(stage, experts),
    )


def compact_config(stage: Stage, image_channels: int, experts: int = 4) -> UNetConfig:
    """Return the half-width network of the default weights, for 64 x 64 pixels.

    The published layers at half width, prompts stored at feature size (4 x 4 at 64 x 64). The
    widths are those published for 128 x 128: at 64 x 64 they see twice as far as (1, 2, 3, 4) and
    cost a third less, for 7 % more values, because fewer channels are at full resolution.
    """
    return UNetConfig(
        image_channels,
        base=16,
        multipliers=(1, 1, 2, 3, 4),
        head_channels=16,
        norm_groups=8,
        experts=_experts_of(stage, experts),
        prompt_size=(4, 4),
        prompt_width=64,
        prompt_dropout=0.1,
    )


def _experts_of(stage: Stage, experts: int) -> int:
    return 0 if stage == "stage1" else experts
