"""The denoisers: the paper's U-Net and its prompt block."""

from .config import UNetConfig, compact_config, published_config
from .unet import UNet, widen

__all__ = ["UNet", "UNetConfig", "compact_config", "published_config", "widen"]
