"""A base whose drawings depend on the code, and slices drawn by a known code."""

from functools import cache

import numpy as np
import torch
from a_lesson import a_base

from diffoseg.training.expert.prior import prior_of
from diffoseg.training.expert.validation import first_belief
from diffoseg.training.slices import SliceSet

EDGE = 32


@cache
def a_strong_base():
    """A random network whose drawings depend on the code."""
    base = a_base()
    assert base.fast is not None
    with torch.no_grad():
        for name, values in base.fast.named_parameters():
            if "film" in name or name == "decoder.code.weight":
                values.mul_(4)
    return base


def slices_drawn_like(code: torch.Tensor, patients: int, each: int = 4) -> SliceSet:
    """Return images of noise, and where someone of this code is likelier than not to mark."""
    base = a_strong_base()
    assert base.fast is not None
    count = patients * each
    images = torch.randn(count, 1, EDGE, EDGE, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        belief = first_belief(base, base.fast.encode(images), code.expand(count, -1))
    masks = belief > np.median(belief, axis=(1, 2), keepdims=True)
    masks[each - 1 :: each] = False  # one slice of each patient is left empty
    names = tuple(f"patient {row // each}" for row in range(count))
    return SliceSet(
        images=images.numpy(),
        masks=masks[:, None].astype(np.uint8),
        drawn_by=np.zeros((count, 1), int),
        patients=names,
        experts=("x",),
        positions=np.arange(count),
        cases=names,
    )


def a_code() -> torch.Tensor:
    prior = prior_of(a_strong_base().fast)
    return prior.code(torch.tensor([2.0, -2.0, 2.0, 1.0]))
