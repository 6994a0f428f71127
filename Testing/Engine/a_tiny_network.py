"""One tiny configuration of each kind of network; a test changes only what it is about."""

from diffoseg.networks.config import UNetConfig
from diffoseg.networks.fast import FastConfig

TINY = UNetConfig(
    image_channels=1,
    base=8,
    multipliers=(1, 2),
    blocks=1,
    attention_factors=(2,),
    head_channels=8,
    norm_groups=4,
    prompt_size=(4, 4),
    prompt_width=8,
)
"""The paper's kind; it draws no expert."""

TINY_FAST = FastConfig(
    image_channels=1,
    mask_distance=50,
    experts=2,
    code_width=4,
    encoder_widths=(8, 8, 16),
    decoder_widths=(8, 8, 8),
    context_width=16,
)
"""The fast kind, of two experts."""
