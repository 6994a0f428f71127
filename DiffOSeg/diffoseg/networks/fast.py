"""The fast denoiser: an image encoder that runs once, and a light decoder that runs every step.

The paper's network reads image and noisy mask together, so that nothing can be kept from one step
to the next. Here the image is encoded once, for all steps, samples and experts, and the decoder
has a tenth of the operations. What makes an answer ambiguous is told apart explicitly: *who*
draws (a code of a few numbers for each expert) and *whether* anything is drawn at all (presence),
so that the steps only have to settle where the border runs.

With y in {-1, +1} for the clean label of a pixel and x for the noisy one, of which a share a has
survived, the law of uniform noise gives exactly (Bayes, for each pixel)

    logit p(y | x) = 2 atanh(a) x + logit p(y | the other pixels, image, expert)

so the network predicts the second term only, and the first, a pixel's own evidence, is added.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError
from .config import NetworkConfig
from .layers import zeroed

_LOWEST_FREQUENCY, _HIGHEST_FREQUENCY = 0.15, 4.0
_FREQUENCIES = 16
_LEAST_INFORMATION = 1e-3
_MOST_SURVIVAL = 1 - 1e-6


@dataclass(frozen=True)
class FastConfig(NetworkConfig):
    """All that decides the shape of a fast network; JSON-able, and stored beside the weights.

    Attributes:
        image_channels: channels of the image, 1 or more.
        mask_distance: in how many pixels two experts' masks differ on average (D), rounded, which
            turns a noise level into information.
        experts: how many experts the network knows by name, 1 or more.
        population: how many others it has learnt from, whose codes say how experts vary.
        encoder_widths: channels of the encoder's levels; each level halves the resolution.
        decoder_widths: channels of the decoder's levels, as many as the encoder's.
        code_width: numbers in an expert's code.
        context_width: channels of time and expert together.
        norm_groups: groups of every group normalisation; divides every width.
    """

    image_channels: int
    mask_distance: int
    experts: int
    population: int = 0
    encoder_widths: tuple[int, ...] = (24, 48, 96, 128)
    decoder_widths: tuple[int, ...] = (16, 32, 48, 64)
    code_width: int = 16
    context_width: int = 96
    norm_groups: int = 8

    def __post_init__(self) -> None:
        widths = (*self.encoder_widths, *self.decoder_widths)
        counts = (self.image_channels, self.experts, self.mask_distance, self.population + 1)
        if min(counts) < 1:
            raise InputError("A fast network has an image channel, an expert and a mask distance.")
        if len(self.encoder_widths) != len(self.decoder_widths) or len(self.encoder_widths) < 2:
            raise InputError("The encoder and the decoder of a fast network have the same levels.")
        if min(self.code_width, self.context_width, self.norm_groups) < 1 or any(
            width < 1 or width % self.norm_groups for width in widths
        ):
            raise InputError(
                f"Every width of a fast network is a multiple of its {self.norm_groups} groups."
            )

    classes = 2
    """A mask and its background; one logit tells them apart."""

    @property
    def blocks_in_all(self) -> int:
        """Residual blocks of the encoder on the way down, at the least."""
        return len(self.encoder_widths)

    @property
    def stride(self) -> int:
        """Pixels of the image to one of the deepest feature map."""
        return int(2 ** (len(self.encoder_widths) - 1))

    def check_patch(self, patch: int) -> None:
        """Raise InputError where a field of view has a side that the levels cannot halve."""
        if patch % self.stride:
            raise InputError(
                f"A fast network cannot look at {patch} pixels across. Use a multiple of"
                f" {self.stride}."
            )


class Features(NamedTuple):
    """What the encoder keeps of B images.

    Attributes:
        levels: (B, decoder width, H / 2^level, W / 2^level), full resolution first.
        summary: (B, V), of the whole image, for presence.
    """

    levels: tuple[Tensor, ...]
    summary: Tensor

    @classmethod
    def joined(cls, parts: "Sequence[Features]") -> "Features":
        """Return the features of all parts' images, one part after the other; at least one."""
        levels = zip(*(part.levels for part in parts), strict=True)
        summaries = [part.summary for part in parts]
        return cls(tuple(torch.cat(level) for level in levels), torch.cat(summaries))

    def rows(self, index: Tensor) -> "Features":
        """Return the features of the images at ``index``, int64 (n,)."""
        return Features(tuple(level[index] for level in self.levels), self.summary[index])

    def part(self, chosen: slice) -> "Features":
        """Return the features of some images that follow each other, without a copy."""
        return Features(tuple(level[chosen] for level in self.levels), self.summary[chosen])


class Belief(NamedTuple):
    """What the decoder says of B noisy masks.

    Attributes:
        context: logit of the mask, where there is one, from the image and the other pixels,
            float32 (B, H, W).
        own: what each pixel's own noisy value adds to it, float32 (B, H, W).
        presence: logit that there is one at all, float32 (B,).
    """

    context: Tensor
    own: Tensor
    presence: Tensor

    @property
    def logits(self) -> Tensor:
        """Logit of the mask, where there is one, float32 (B, H, W)."""
        return self.context + self.own


class FastNetwork(nn.Module):
    """Predict p(x_0 | x_t, image, expert) in two parts: ``encode`` once, ``step`` at every step.

    Row e of ``codes`` is expert e; the last row is "whoever of them", who stands for the mixture.
    ``population`` holds the codes of others, whom nobody asks for: where a new expert may lie.
    Images of any size that is a multiple of ``config.stride``.
    """

    def __init__(self, config: FastConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.codes = nn.Parameter(0.5 * torch.randn(config.experts + 1, config.code_width))
        self.population = nn.Parameter(0.5 * torch.randn(config.population, config.code_width))
        self.presence = nn.Sequential(
            nn.Linear(self.encoder.summary_width + config.code_width, 64),
            nn.SiLU(),
            nn.Linear(64, 1),
        )
        # The layout that is fastest everywhere; torch's own annotations do not know this argument.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def anyone(self) -> int:
        """The row of ``codes`` that stands for whoever of the experts."""
        return self.config.experts

    def encode(self, image: Tensor) -> Features:
        """Return the features of mapped images (B, C, H, W)."""
        return self.encoder(image)

    def step(self, features: Features, x: Tensor, survival: Tensor, code: Tensor) -> Belief:
        """Return the belief about the clean mask.

        Args:
            features: of B images, or of one for all rows.
            x: noisy mask, -1 or +1, float (B, H, W).
            survival: share a of the pixels that noise has left alone, in 0..1, (B,).
            code: of the expert, (B, code_width).
        """
        return self.decoder(features.levels, x, survival, code)

    def presence_logit(self, features: Features, code: Tensor) -> Tensor:
        """Return the logit, (B,), that this expert marks anything at all, before any noisy mask."""
        return self.presence(torch.cat([features.summary, code], 1))[:, 0].float()


class Encoder(nn.Module):
    """Image to features at every resolution (a U-Net with a deep bottom) and their summary."""

    def __init__(self, config: FastConfig):
        super().__init__()
        widths, groups = config.encoder_widths, config.norm_groups
        self.first = nn.Conv2d(config.image_channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairwise(widths)
        )
        depths = [max(1, level) for level in range(len(widths))]
        self.inward = nn.ModuleList(
            nn.Sequential(*(Residual(width, groups) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.outward = nn.ModuleList(Residual(width, groups) for width in widths[:-1])
        self.out = nn.ModuleList(
            nn.Conv2d(width, kept, 1)
            for width, kept in zip(widths, config.decoder_widths, strict=True)
        )
        self.summary_width = 2 * widths[-1] + widths[-2]

    def forward(self, image: Tensor) -> Features:
        """Map (B, C, H, W) to the features of B images."""
        h = self.first(image)
        levels: list[Tensor] = []
        for level, blocks in enumerate(self.inward):
            h = blocks(self.down[level - 1](h) if level else h)
            levels.append(h)
        for level in reversed(range(len(levels) - 1)):
            joined = levels[level] + _doubled(self.up[level](levels[level + 1]))
            levels[level] = self.outward[level](joined)
        deepest, above = levels[-1], levels[-2]
        summary = [deepest.mean((2, 3)), deepest.amax((2, 3)), above.amax((2, 3))]
        kept = tuple(out(h) for out, h in zip(self.out, levels, strict=True))
        return Features(kept, torch.cat(summary, 1))


class Decoder(nn.Module):
    """Noisy mask and features to the belief; a U-Net of few channels that is told time and code."""

    def __init__(self, config: FastConfig):
        super().__init__()
        widths, groups, told = config.decoder_widths, config.norm_groups, config.context_width
        self.mask_distance = config.mask_distance
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES + 1, told), nn.SiLU())
        self.code = nn.Linear(config.code_width, told)
        self.told = nn.Sequential(nn.Linear(told, told), nn.SiLU())
        self.first = nn.Conv2d(1, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairwise(widths)
        )
        self.inward = nn.ModuleList(Residual(width, groups, told) for width in widths[1:])
        self.deepest = Residual(widths[-1], groups, told)
        self.presence = nn.Sequential(
            nn.Linear(2 * widths[-1] + told, 48), nn.SiLU(), nn.Linear(48, 1)
        )
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.outward = nn.ModuleList(Residual(width, groups, told) for width in widths[:-1])
        self.out = nn.Sequential(
            nn.GroupNorm(groups, widths[0]),
            nn.SiLU(),
            nn.Conv2d(widths[0], 1, 3, padding=1),
        )

    def forward(
        self, image: tuple[Tensor, ...], x: Tensor, survival: Tensor, code: Tensor
    ) -> Belief:
        """Map B noisy masks, their survival and codes to the belief; see ``FastNetwork.step``."""
        told = self._told(survival, code)
        noisy = x[:, None] * survival.sqrt()[:, None, None, None]  # nothing of it at survival 0
        h = image[0] + self.first(noisy)
        levels = [h]
        for level, block in enumerate(self.inward):
            h = block(image[level + 1] + self.down[level](h), told)
            levels.append(h)
        h = self.deepest(h, told)
        pooled = torch.cat([h.mean((2, 3)), h.amax((2, 3)), told], 1)
        for level in reversed(range(len(levels) - 1)):
            h = self.outward[level](levels[level] + _doubled(self.up[level](h)), told)
        own = 2 * torch.atanh(survival.clamp(max=_MOST_SURVIVAL))[:, None, None] * x
        context = self.out(h)[:, 0].float()
        return Belief(context, own.float(), self.presence(pooled)[:, 0].float())

    def _told(self, survival: Tensor, code: Tensor) -> Tensor:
        """Return time, as information, and code in one vector (B, context_width)."""
        information = torch.log(information_of(survival, self.mask_distance))[:, None]
        rates = torch.linspace(
            math.log(_LOWEST_FREQUENCY), math.log(_HIGHEST_FREQUENCY), _FREQUENCIES
        )
        angles = information * rates.exp().to(information)
        waves = torch.cat([angles.sin(), angles.cos(), information / 5], 1)
        return self.told(self.time(waves) + self.code(code))


class Residual(nn.Module):
    """x + conv(SiLU(norm(conv(SiLU(norm(x))))), the inner norm scaled and shifted as told."""

    def __init__(self, channels: int, groups: int, told: int = 0):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.conv2 = zeroed(nn.Conv2d(channels, channels, 3, padding=1))
        self.film = zeroed(nn.Linear(told, 2 * channels)) if told else None

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        h = self.conv1(functional.silu(_normed(self.norm1, x)))
        h = _normed(self.norm2, h)
        if self.film is not None:
            scale, shift = self.film(told).float()[:, :, None, None].chunk(2, 1)
            h = torch.addcmul(shift, h, 1 + scale)
        return x + self.conv2(functional.silu(h))


def information_of(survival: Tensor, mask_distance: int) -> Tensor:
    """Return D a atanh(a), how far x_t tells two masks apart that differ in D pixels, float32.

    Never below 1e-3, where a network sees no difference any more.
    """
    a = survival.double().clamp(0, _MOST_SURVIVAL)
    return (mask_distance * a * torch.atanh(a)).clamp_min(_LEAST_INFORMATION).float()


def _normed(norm: nn.GroupNorm, h: Tensor) -> Tensor:
    """Return ``norm(h)`` in float32, which is no slower and loses less than in bfloat16."""
    return functional.group_norm(h.float(), norm.num_groups, norm.weight, norm.bias, norm.eps)


def _doubled(h: Tensor) -> Tensor:
    return functional.interpolate(h, scale_factor=2.0, mode="nearest")
