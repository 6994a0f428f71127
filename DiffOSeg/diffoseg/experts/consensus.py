"""How one training target of the consensus network is drawn from several experts' masks.

All strategies but ``intersection`` mark a pixel that k of M experts marked with chance k/M; they
differ in how pixels go together.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InputError


def draw_target(
    masks: Tensor,
    strategy: str = "single",
    generator: torch.Generator | None = None,
    classes: int = 2,
) -> Tensor:
    """Draw one target for each image from the masks that its experts drew.

    Args:
        masks: classes in 0..K-1, int or bool, (B, M, H, W), or (M, H, W) for one image.
        strategy: how, by name:
            "single": one expert at random, so that the network learns the pooled law.
            "level": all pixels that at least a random share u of the experts marked, one u a
            mask; K = 2 only.
            "soft": no draw: each pixel's share of experts, for a loss that takes probabilities.
            Right pixel by pixel, but samples drawn from it are speckle.
            "intersection": what all of a random number of random experts marked, as the published
            code does; K = 2 only. It under-segments: at k = 0..4 of 4 experts a pixel is marked
            with chance 0, 1/16, 1/6, 3/8, 1.
        generator: source of the draws; None is torch's global one.
        classes: K.

    Returns:
        Classes int64 (B, H, W); for "soft", probabilities float32 (B, K, H, W). No B where
        ``masks`` had none.

    Raises:
        InputError: an unknown strategy, masks of another shape, or a strategy for two classes
            asked of more.
    """
    if strategy not in _STRATEGIES:
        raise InputError(f"There is no strategy {strategy!r}. Choose {', '.join(_STRATEGIES)}.")
    if masks.ndim not in (3, 4) or 0 in masks.shape:
        raise InputError(
            "Masks are (images, experts, rows, columns) or (experts, rows, columns), none of them"
            f" 0; these are {tuple(masks.shape)}."
        )
    if strategy in ("level", "intersection") and (classes > 2 or int(masks.max()) > 1):
        raise InputError(f"The strategy {strategy!r} is for two classes. Choose single or soft.")
    batch = masks.long() if masks.ndim == 4 else masks.long()[None]
    target = _STRATEGIES[strategy](batch, generator, classes)
    return target if masks.ndim == 4 else target[0]


def _single(masks: Tensor, generator: torch.Generator | None, classes: int) -> Tensor:
    images, experts = masks.shape[:2]
    chosen = torch.randint(experts, (images,), generator=generator)
    return masks[torch.arange(images), chosen]


def _level(masks: Tensor, generator: torch.Generator | None, classes: int) -> Tensor:
    level = 1 - torch.rand(len(masks), 1, 1, generator=generator)  # in (0, 1]
    return (masks.float().mean(1) >= level.to(masks.device)).long()


def _soft(masks: Tensor, generator: torch.Generator | None, classes: int) -> Tensor:
    return functional.one_hot(masks, classes).float().mean(1).movedim(-1, 1)


def _intersection(masks: Tensor, generator: torch.Generator | None, classes: int) -> Tensor:
    images, experts = masks.shape[:2]
    count = torch.randint(1, experts + 1, (images, 1), generator=generator)
    rank = torch.rand(images, experts, generator=generator).argsort(1)  # a random order
    left_out = (rank >= count).to(masks.device)[:, :, None, None]
    return (masks.bool() | left_out).all(1).long()


_STRATEGIES: dict[str, Callable[[Tensor, torch.Generator | None, int], Tensor]] = {
    "single": _single,
    "level": _level,
    "soft": _soft,
    "intersection": _intersection,
}
STRATEGIES = tuple(_STRATEGIES)
