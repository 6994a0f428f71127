"""The denoisers: the paper's U-Net with its prompt block, and the fast network."""

from .config import UNetConfig, compact_config, published_config
from .unet import UNet, widen

__all__ = ["UNet", "UNetConfig", "compact_config", "published_config", "widen"]
