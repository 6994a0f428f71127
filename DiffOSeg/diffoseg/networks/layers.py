"""The layers that the paper's network is made of (guided-diffusion style; method, section 2).

Attribute names are those of the published state dictionaries, so that their weights load.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def zeroed(layer: nn.Module) -> nn.Module:
    """Set all parameters of ``layer`` to 0, so that a residual branch starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def time_embedding(t: Tensor, width: int) -> Tensor:
    """Return cosines, then sines, of ``t`` (B,) at width/2 frequencies, float32, (B, width).

    The frequencies are 10000^(-2i/width), as in Vaswani et al. 2017 (arXiv 1706.03762), 3.5.
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.exp(steps * (-math.log(10000) / half))
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class ResBlock(nn.Module):
    """x + conv(SiLU(norm(conv(SiLU(norm(x))) + time))), the skip a 1x1 where the width changes."""

    def __init__(self, channels: int, out: int, time_width: int, groups: int):
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_width, out))
        # The published block has a dropout of rate 0 at place 2.
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, out),
            nn.SiLU(),
            nn.Identity(),
            zeroed(nn.Conv2d(out, out, 3, padding=1)),
        )
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map (B, channels, H, W) and the time code (B, time_width) to (B, out, H, W)."""
        h = self.in_layers(x) + self.emb_layers(time)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Attention(nn.Module):
    """Self-attention over all pixels, with a residual; q, k, v interleaved head by head."""

    def __init__(self, channels: int, head_channels: int, groups: int):
        super().__init__()
        self.heads = channels // head_channels
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        pixels = x.flatten(2)
        heads = self.qkv(self.norm(pixels)).unflatten(1, (self.heads, -1)).transpose(2, 3)
        q, k, v = heads.contiguous().chunk(3, dim=3)  # rows in memory, as the fused kernels need
        mixed = functional.scaled_dot_product_attention(q, k, v)  # (B, heads, H*W, head_channels)
        return x + self.proj_out(mixed.transpose(2, 3).flatten(1, 2)).view_as(x)


class Down(nn.Module):
    """Halve the resolution by a strided convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H/2, W/2)."""
        return self.op(x)


class Up(nn.Module):
    """Double the resolution: nearest neighbour, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, 2H, 2W)."""
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class InputConv(nn.Conv2d):
    """The first convolution, over known planes and one constant plane for each expert.

    A one-hot plane is 1 for the asked expert and 0 for the others, so its part of the answer is
    a sum of the 3x3 weights that fall inside the image: the planes need not be built, and an
    expert who is added does not move anyone else's answer.
    """

    def __init__(self, known: int, experts: int, out: int):
        super().__init__(known + experts, out, 3, padding=1)
        self.known = known
        # Which of the three taps fall inside the image at its first, inner and last pixel.
        inside = torch.tensor([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
        self.register_buffer("inside", inside, persistent=False)

    def forward(self, x: Tensor, expert: Tensor | None = None) -> Tensor:
        """Map (B, known, H, W) and experts int64 (B,) to (B, out, H, W); H and W at least 2."""
        answer = functional.conv2d(x, self.weight[:, : self.known], self.bias, padding=1)
        if expert is None:
            return answer
        taps = self.weight[:, self.known :].transpose(0, 1)[expert]  # (B, out, 3, 3)
        inside = self.get_buffer("inside").to(taps.dtype)
        plane = inside @ taps @ inside.T
        rows, columns = (_place(size, x.device) for size in x.shape[2:])
        return answer + plane[:, :, rows[:, None], columns].to(answer.dtype)


def _place(size: int, device: torch.device) -> Tensor:
    """Return 0 for the first, 2 for the last and 1 for every other of ``size`` pixels."""
    place = torch.ones(size, dtype=torch.int64, device=device)
    place[0], place[-1] = 0, 2
    return place


class TimedSequential(nn.Sequential):
    """Layers in a row, of which the residual blocks are told the time."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]
        """Map (B, C, H, W) and the time code (B, time_width) to the last layer's answer."""
        for layer in self:
            x = layer(x, time) if isinstance(layer, ResBlock) else layer(x)
        return x
