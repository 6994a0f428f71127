"""Weights and inputs of the stored parity numbers, drawn anew from (seed, name).

A parity file holds only what the published network answered. What it was asked, and its weights,
are draws of NumPy's Philox generator, one stream for each named array.
"""

import zlib
from pathlib import Path

import numpy as np
import torch

PARITY = Path(__file__).parents[1] / "Data" / "parity"


def stream(seed, name):
    return np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(name.encode())]))


def weight(seed, name, shape):
    """Return one entry of the state dictionary."""
    draw = stream(seed, name)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("intermedia_prompt"):
        return draw.random(shape, dtype=np.float32)
    if name.endswith("running_var"):
        return 1 + np.float32(0.3) * draw.random(shape, dtype=np.float32)
    if shape == (1,):  # the one slope of a PReLU
        return np.full(shape, 0.25, np.float32)
    normal = draw.standard_normal(shape, dtype=np.float32)
    if name.endswith(("running_mean", ".bias")):
        return np.float32(0.1) * normal
    if len(shape) == 1:  # the gain of a normalisation
        return 1 + np.float32(0.1) * normal
    gain = 1.5 if name == "out.2.weight" else 1.0
    return (gain * normal / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def fill(network, seed):
    """Give a network the weights of the recipe, and return it in evaluation mode."""
    state = network.state_dict()
    drawn = {
        name: torch.from_numpy(weight(seed, name, tuple(v.shape))) for name, v in state.items()
    }
    network.load_state_dict(drawn)
    return network.eval()


def image(seed, batch, channels, height, width):
    """Return a wave and a disc each, in 0..2, float32, (batch, channels, height, width)."""
    draw = stream(seed, "image")
    y = np.linspace(-1, 1, height)[:, None]
    x = np.linspace(-1, 1, width)[None, :]
    pictures = np.empty((batch, channels, height, width))
    for picture in pictures.reshape(-1, height, width):
        wave_y, wave_x, phase = draw.uniform(1, 6), draw.uniform(1, 6), draw.uniform(0, 6.28)
        center_y, center_x = draw.uniform(-0.3, 0.3), draw.uniform(-0.3, 0.3)
        radius = draw.uniform(0.2, 0.5)
        wave = np.sin(wave_y * y + wave_x * x + phase)
        disc = 1 / (1 + np.exp((np.hypot(y - center_y, x - center_x) - radius) * 20))
        picture[:] = 0.6 + 0.2 * wave + 0.9 * disc
    pictures += 0.05 * draw.standard_normal(pictures.shape)
    return torch.from_numpy(np.clip(pictures, 0, 2).astype(np.float32))


def noisy_mask(seed, batch, height, width):
    """Return random binary masks, int64, (batch, height, width)."""
    return torch.from_numpy(stream(seed, "noisy_mask").integers(0, 2, (batch, height, width)))
