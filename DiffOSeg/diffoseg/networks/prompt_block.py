"""The prompt block: how an expert enters the paper's stage II (method, section 2.1).

Attribute names are those of the published state dictionaries; ``instnorm`` is a batch norm.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers import zeroed


class FusionBlock(nn.Module):
    """Convolution, channel dropout, batch normalisation, leaky ReLU."""

    def __init__(self, channels: int, out: int, dropout: float):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.dropout = nn.Dropout2d(dropout)
        self.instnorm = nn.BatchNorm2d(out)

    def finish(self, x: Tensor) -> Tensor:
        """Apply all that follows the convolution, (B, out, h, w) to the same."""
        return functional.leaky_relu(self.instnorm(self.dropout(x)), 0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, out, h, w)."""
        return self.finish(self.conv(x))

    def row(self, x: Tensor, rows: Tensor) -> Tensor:
        """Compute one output channel for each sample, outside training only.

        Args:
            x: (B, channels, h, w).
            rows: the channel asked for, int64 (B,).

        Returns:
            (B, 1, h, w), what ``forward`` has in those channels; no other row is read.
        """
        norm = self.instnorm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert self.conv.bias is not None
        scale = norm.weight[rows] * torch.rsqrt(norm.running_var[rows] + norm.eps)
        shift = norm.bias[rows] + (self.conv.bias[rows] - norm.running_mean[rows]) * scale
        weights = self.conv.weight[rows].flatten(1) * scale[:, None]
        patches = functional.unfold(x, 3, padding=1)  # (B, channels * 9, h * w)
        z = torch.baddbmm(shift[:, None, None].to(x.dtype), weights[:, None].to(x.dtype), patches)
        return functional.leaky_relu(z.view(x.shape[0], 1, *x.shape[2:]), 0.01)


class FusionLayer(nn.Module):
    """Three fusion blocks: features beside prompts in, one map an expert out."""

    def __init__(self, features: int, width: int, experts: int, dropout: float):
        super().__init__()
        self.features = features
        self.blocks = nn.ModuleList(
            FusionBlock(channels, out, dropout)
            for channels, out in ((features + width, width), (width, width), (width, experts))
        )

    def forward(self, x: Tensor, prompts: Tensor, mix: Tensor, expert: Tensor) -> Tensor:
        """Return the asked expert's map, (B, 1, h, w).

        Args:
            x: features, (B, features, h, w).
            prompts: the prompts before they are mixed, (N, width, h, w).
            mix: weight of each prompt, (B, N).
            expert: int64 (B,).

        A convolution and a weighted sum commute, so each of the N prompts is convolved once
        instead of each of the B mixtures.
        """
        first, second, last = (cast(FusionBlock, block) for block in self.blocks)
        kernel = first.conv.weight
        prompts = functional.conv2d(prompts, kernel[:, self.features :], padding=1)
        mixed = (mix @ prompts.flatten(1)).view(-1, *prompts.shape[1:])
        h = functional.conv2d(x, kernel[:, : self.features], first.conv.bias, padding=1) + mixed
        h = second(first.finish(h))
        if not self.training:
            return last.row(h, expert)
        # In training every expert's row joins in, as published: the batch statistics are theirs.
        maps = last(h)
        return maps[torch.arange(len(expert), device=maps.device), expert].unsqueeze(1)


class ChannelGate(nn.Module):
    """Weights of the channels in 0..1, from their means (squeeze and excitation)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to the same, each channel times its weight."""
        return x * self.conv_du(x.mean((2, 3), keepdim=True))


class ChannelAttentionBlock(nn.Module):
    """Two convolutions and a channel gate, with a residual (the "CAB" of image restoration)."""

    def __init__(self, channels: int):
        super().__init__()
        self.CA = ChannelGate(channels)
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to the same shape."""
        return x + self.CA(self.body(x))


class PromptBlock(nn.Module):
    """Replace the deepest features by features in the style of the asked expert."""

    def __init__(
        self,
        channels: int,
        experts: int,
        size: tuple[int, int],
        width: int,
        count: int,
        dropout: float,
    ):
        super().__init__()
        self.intermedia_prompt = nn.Parameter(torch.rand(1, count, width, *size))
        self.linear_layer = nn.Linear(channels, count)
        self.dec_conv3x3 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.fusion_layer = FusionLayer(channels, width, experts, dropout)
        self.ca = nn.Sequential(
            *(ChannelAttentionBlock(channels + 1) for _ in range(3)),
            nn.Conv2d(channels + 1, channels, 1, bias=False),
        )

    def forward(self, x: Tensor, expert: Tensor) -> Tensor:
        """Map features (B, C, h, w) and experts int64 (B,) to features (B, C, h, w)."""
        mix = self.linear_layer(x.mean((2, 3))).softmax(1)
        z = self.fusion_layer(x, self.dec_conv3x3(self._prompts(x)), mix.to(x.dtype), expert)
        return self.ca(torch.cat([x, z.to(x.dtype)], dim=1))

    def _prompts(self, x: Tensor) -> Tensor:
        """Return the prompts at the size of ``x``, (N, width, h, w), resized before any mixing."""
        prompts = self.intermedia_prompt[0]
        if prompts.shape[2:] == x.shape[2:]:
            return prompts
        return functional.interpolate(prompts, x.shape[2:], mode="bilinear", align_corners=False)

    def start_as_identity(self) -> None:
        """Initialise the block so that it returns its features unchanged, for every expert.

        Each channel attention block adds 0, and the last convolution passes the features through
        and leaves the expert's map out. It is no dead point: the last convolution learns from the
        expert's map in the first step, and the map from that convolution in the second.
        """
        for block in self.ca:
            if isinstance(block, ChannelAttentionBlock):
                zeroed(block.body[2])
        weight = zeroed(self.ca[3]).get_parameter("weight")
        with torch.no_grad():
            weight[:, :-1, 0, 0].fill_diagonal_(1.0)
