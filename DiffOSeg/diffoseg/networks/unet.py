"""The paper's denoiser: a U-Net that predicts the clean mask from a noisy one (section 2)."""

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError
from .config import UNetConfig, compact_config, published_config
from .layers import (
    Attention,
    Down,
    InputConv,
    ResBlock,
    TimedSequential,
    Up,
    time_embedding,
    zeroed,
)
from .prompt_block import PromptBlock

__all__ = ["UNet", "UNetConfig", "compact_config", "published_config", "widen"]


class UNet(nn.Module):
    """Predict p(x_0 | x_t, image) for the consensus, or p(x_0 | x_t, image, expert).

    The network of stage I where ``config.experts`` is 0, else of stage II. State names and shapes
    are the published ones. Images of any size: padded by their edge to a multiple of
    ``config.stride``, and cropped again.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        time_width = 4 * config.base
        self.time_embed = nn.Sequential(
            nn.Linear(config.base, time_width), nn.SiLU(), nn.Linear(time_width, time_width)
        )
        self.input_blocks, skips = _input_blocks(config)
        deepest = config.widths[-1]
        self.middle_block = TimedSequential(
            _residual(config, deepest, deepest),
            _attention(config, deepest),
            _residual(config, deepest, deepest),
        )
        if config.experts:
            self.prompt_block = PromptBlock(
                deepest,
                config.experts,
                config.prompt_size,
                config.prompt_width,
                config.prompt_count,
                config.prompt_dropout,
            )
        self.output_blocks = _output_blocks(config, skips)
        self.out = nn.Sequential(
            nn.GroupNorm(config.norm_groups, config.widths[0]),
            nn.SiLU(),
            zeroed(nn.Conv2d(config.widths[0], config.classes, 3, padding=1)),
        )

    def forward(
        self, x_t: Tensor, t: Tensor, image: Tensor, expert: Tensor | None = None
    ) -> Tensor:
        """Return the predicted probabilities of the clean mask's classes.

        Args:
            x_t: noisy mask, one-hot, float, (B, K, H, W).
            t: its time, 1..T, integer or float, (B,).
            image: mapped intensities, float, (B, C, H, W).
            expert: whom to draw like, int64 in 0..experts-1, (B,); None for a stage I network.

        Returns:
            Float32, (B, K, H, W), sums to 1 over K.

        Raises:
            InputError: an expert was given to a stage I network, or none to a stage II network.
        """
        return self.logits(x_t, t, image, expert).float().softmax(1)

    def logits(self, x_t: Tensor, t: Tensor, image: Tensor, expert: Tensor | None = None) -> Tensor:
        """Return what ``forward`` takes the softmax of; same arguments, (B, K, H, W)."""
        if (expert is None) != (self.config.experts == 0):
            raise InputError(
                "A stage I network takes no expert and a stage II network needs one;"
                f" this one knows {self.config.experts} experts."
            )
        height, width = x_t.shape[2:]
        x = _padded(torch.cat([x_t, image], dim=1).contiguous(), self.config.stride)
        return self._logits(x, t, expert)[:, :, :height, :width]

    def _logits(self, x: Tensor, t: Tensor, expert: Tensor | None) -> Tensor:
        time = self.time_embed(time_embedding(t, self.config.base))
        first, *down = self.input_blocks
        h = cast(TimedSequential, first)[0](x, expert)
        skips = [h]
        for block in down:
            h = block(h, time)
            skips.append(h)
        h = self.middle_block(h, time)
        if expert is not None:
            h = self.prompt_block(h, expert)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), time)
        return self.out(h)


def widen(stage1: UNet, experts: int) -> UNet:
    """Return a stage II network for ``experts`` experts that answers as ``stage1`` does.

    The planes that stage I knows are copied, those of the experts start at 0, and the prompt
    block starts as the identity. Raises InputError where ``stage1`` is a stage II network, or
    where ``experts`` is less than 1.
    """
    if stage1.config.experts or experts < 1:
        raise InputError("Stage II is made of a stage I network and at least one expert.")
    stage2 = UNet(replace(stage1.config, experts=experts)).to(next(stage1.parameters()).device)
    first = "input_blocks.0.0.weight"
    weights = stage1.state_dict()
    planes = torch.zeros_like(stage2.state_dict()[first])
    planes[:, : weights[first].shape[1]] = weights[first]
    stage2.load_state_dict({**weights, first: planes}, strict=False)
    stage2.prompt_block.start_as_identity()
    return stage2


def _padded(x: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column of (B, C, H, W) until ``stride`` divides both sides."""
    bottom, right = (-size % stride for size in x.shape[2:])
    return functional.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def _residual(config: UNetConfig, channels: int, out: int) -> ResBlock:
    return ResBlock(channels, out, 4 * config.base, config.norm_groups)


def _attention(config: UNetConfig, channels: int) -> Attention:
    return Attention(channels, config.head_channels, config.norm_groups)


def _input_blocks(config: UNetConfig) -> tuple[nn.ModuleList, list[int]]:
    """Return the way down, and the channels of what each of its blocks hands across."""
    known = config.classes + config.image_channels
    blocks = [TimedSequential(InputConv(known, config.experts, config.widths[0]))]
    skips = [config.widths[0]]
    for level, width in enumerate(config.widths):
        for _ in range(config.blocks):
            layers: list[nn.Module] = [_residual(config, skips[-1], width)]
            if 2**level in config.attention_factors:
                layers.append(_attention(config, width))
            blocks.append(TimedSequential(*layers))
            skips.append(width)
        if level < len(config.widths) - 1:
            blocks.append(TimedSequential(Down(width)))
            skips.append(width)
    return nn.ModuleList(blocks), skips


def _output_blocks(config: UNetConfig, skips: list[int]) -> nn.ModuleList:
    """Return the way up; ``skips`` are the channels that come across, last first."""
    blocks = []
    channels, across = config.widths[-1], list(skips)
    for level in reversed(range(len(config.widths))):
        width = config.widths[level]
        for place in range(config.blocks + 1):
            layers: list[nn.Module] = [_residual(config, channels + across.pop(), width)]
            if 2**level in config.attention_factors:
                layers.append(_attention(config, width))
            if level and place == config.blocks:
                layers.append(Up(width))
            blocks.append(TimedSequential(*layers))
            channels = width
    return nn.ModuleList(blocks)
