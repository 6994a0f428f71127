"""Sampling: which times a chain visits, how it steps between two of them, and the chain itself.

A kernel returns the law of x_s, given x_t and the network's belief about x_0, for a step t -> s.
All randomness comes from the uniform numbers that the caller hands in.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .posterior import draw_categorical, posterior
from .schedule import INFORMATION_RANGE, CategoricalSchedule, times_of_information

SAMPLERS = ("ancestral", "posterior", "ddim", "published-skip", "level-set")

Denoiser = Callable[[Tensor, int], Tensor]
Kernel = Callable[[Tensor, Tensor, CategoricalSchedule, int, int], Tensor]
Noise = Callable[[int], Tensor]


@dataclass(frozen=True)
class ChainState:
    """One step of a sampling chain, after it is taken.

    Attributes:
        index: number of the step, 0..total - 1.
        total: how many steps, and network calls, the chain takes.
        t: the time that the network was asked at, in 1..T.
        x0_probs: the network's belief about the clean label at t, (B, K, H, W).
        x: labels at the next time, int64 (B, H, W); after the last step the finished masks.
    """

    index: int
    total: int
    t: int
    x0_probs: Tensor
    x: Tensor


def chain(
    denoiser: Denoiser,
    shape: tuple[int, int, int, int],
    schedule: CategoricalSchedule,
    times: Sequence[int],
    kernel: Kernel,
    noise: Noise,
) -> Iterator[ChainState]:
    """Sample B masks, yielding after each network call; the last state holds the masks.

    The last step takes the likeliest label of the network's belief, so that it needs no call more.

    Args:
        denoiser: from labels x_t int64 (B, H, W) and t to the belief about x_0, (B, K, H, W).
        shape: (B, K, H, W).
        schedule: the noise levels.
        times: falling times in 1..T, the first of them T; ``plan`` makes them.
        kernel: the law of one step; ``posterior``, ``published_skip``, or one by ``ddim``.
        noise: from the number of the draw, in 0..len(times) - 1, to uniforms in [0, 1), float
            (B, H, W), on the denoiser's device; draw 0 makes x_T.
    """
    x = _uniform_labels(noise(0), classes=shape[1])
    for index, (t, s) in enumerate(pairwise((*times, 0))):
        x0_probs = denoiser(x, t)
        if s == 0:
            x = x0_probs.argmax(1)
        else:
            x = draw_categorical(kernel(x, x0_probs, schedule, t, s), noise(index + 1))
        yield ChainState(index, len(times), t, x0_probs, x)


@dataclass(frozen=True)
class BinaryState:
    """One step of a binary chain, after it is taken.

    Attributes:
        belief: the network's belief that a pixel is marked, float32 (B, H, W).
        level: what the belief was drawn with, uniform; marked is what exceeds it. None where only
            the step itself was drawn.
        x: whether it is at the next time, bool (B, H, W); after the last step the finished masks.
    """

    belief: Tensor
    level: Tensor | None
    x: Tensor


def binary_chain(
    denoiser: Denoiser,
    schedule: CategoricalSchedule,
    times: Sequence[int],
    kernel: Kernel,
    noise: Noise,
    spread: Noise | None = None,
) -> Iterator[BinaryState]:
    """Sample B masks of two classes as ``chain`` does, in closed form on one number a pixel.

    It draws what ``chain`` draws from the same uniforms, but where one of them lies within the
    rounding of its bound, and holds one float and one byte a pixel instead of dozens.

    Args:
        denoiser: from x_t bool (B, H, W) and t to the belief that a pixel is marked, float
            (B, H, W) in 0..1.
        schedule: and ``times``, ``kernel`` and ``noise``, those of ``chain``.
        spread: like ``noise``, uniforms that are alike in neighbouring pixels. With them the belief
            is drawn first, a whole piece of border at a time, and the step is taken towards what
            was drawn, the last one too: each pixel keeps its chance, but neighbours are no longer
            independent, as they are not in any mask. Without them a chain of few steps wears every
            mask down to the average one.
    """
    x = noise(0) >= 0.5
    for index, (t, s) in enumerate(pairwise((*times, 0))):
        belief = denoiser(x, t).float()
        level = None if spread is None else spread(index + 1)
        shown = belief if level is None else (level < belief).float()
        if s == 0:
            x = shown > 0.5
        else:
            x = _binary_step(x, shown, noise(index + 1), _background(kernel, schedule, t, s))
        yield BinaryState(belief, level, x)


def _binary_step(
    x_t: Tensor, belief: Tensor, uniform: Tensor, background: Sequence[tuple[float, float]]
) -> Tensor:
    """Return x_s, bool (B, H, W): marked where the uniform is not below P(x_s = 0)."""
    unmarked, marked = (uniform >= (belief * slope).add_(start) for start, slope in background)
    return torch.where(x_t, marked, unmarked)


@lru_cache(maxsize=1024)
def _background(
    kernel: Kernel, schedule: CategoricalSchedule, t: int, s: int
) -> tuple[tuple[float, float], ...]:
    """Return P(x_s = 0 | x_t) as (start, slope) of a line in the belief, for x_t = 0 and for 1.

    Every kernel averages over the belief about x_0, so that two beliefs give the whole line.
    """
    x_t, sure = torch.tensor([[[0, 1]]] * 2), torch.eye(2, dtype=torch.float64)[:, :, None, None]
    nothing, everything = kernel(x_t, sure.expand(-1, -1, 1, 2), schedule, t, s)[:, 0, 0]
    return tuple(zip(nothing.tolist(), (everything - nothing).tolist(), strict=True))


def ddim(
    x_t: Tensor,
    x0_probs: Tensor,
    schedule: CategoricalSchedule,
    t: int,
    s: int,
    renewal: float = 0.0,
) -> Tensor:
    """Return the law of x_s by multinomial DDIM, (B, K, H, W), sums to 1.

    sigma x_t + (a_s - sigma a_t) x0_probs + ((1 - a_s) - sigma (1 - a_t)) / K, appendix A of Song
    et al. 2021 (arXiv 2010.02502), with a the schedule's levels. Any sigma from 0 to
    sigma_max = (1 - a_s) / (1 - a_t) keeps q(x_s | x_0).

    ``renewal`` in 0..1 sets sigma = (1 - renewal) sigma_max. At 0, the default and best measured,
    a step draws no fresh noise: it keeps each pixel or takes the belief's label. At 1 it forgets
    x_t and noises the belief anew. The other arguments are those of ``posterior``.
    """
    a_t, a_s = schedule.level(t), schedule.level(s)
    sigma = (1 - renewal) * (1 - a_s) / (1 - a_t)
    renewed = ((1 - a_s) - sigma * (1 - a_t)) / x0_probs.shape[1]
    law = (a_s - sigma * a_t) * x0_probs + renewed
    return law.scatter_add_(1, x_t.unsqueeze(1), sigma.to(law).expand_as(x_t).unsqueeze(1))


def published_skip(
    x_t: Tensor, x0_probs: Tensor, schedule: CategoricalSchedule, t: int, s: int
) -> Tensor:
    """Return the law that the published code draws x_s from: the one-step posterior, for any s.

    It lands at t - 1 although the network is next asked at s, so it is wrong unless s = t - 1.
    Kept for comparison only.
    """
    return posterior(x_t, x0_probs, schedule, t, t - 1)


def linear_times(T: int, steps: int) -> tuple[int, ...]:
    """Return ``steps`` falling times from T to 1 in equal steps, as the published code rounds."""
    _check_steps(steps, T)
    return tuple(int(t) for t in np.linspace(T, 1, steps).round())


def information_times(
    schedule: CategoricalSchedule, steps: int, mask_distance: float
) -> tuple[int, ...]:
    """Return ``steps`` falling times: T, then in equal ratios of information within .05..200.

    Most of a uniform grid comes after the choice between masks has been made; this one spends its
    steps where it is. The times are the middles of equal parts of the range, not its ends: with
    four steps that loses half as much, with eight or more the same. Times that fall together move
    apart by the least that keeps all distinct.

    Args:
        schedule: the noise levels.
        steps: how many times, 1..T.
        mask_distance: mean number of pixels in which two experts' masks differ, above 0.
    """
    _check_steps(steps, schedule.T)
    values = np.geomspace(*INFORMATION_RANGE, 2 * steps - 1)[1::2]
    nearest = times_of_information(schedule, torch.from_numpy(values), mask_distance).numpy()
    order = np.arange(steps)
    times = np.minimum.accumulate(np.concatenate([[schedule.T], nearest]) + order) - order
    return tuple(int(t) for t in np.maximum(times, steps - order))


@dataclass(frozen=True)
class SamplerSettings:
    """How to sample.

    Attributes:
        name: one of SAMPLERS; "level-set", which only the fast kind has, cuts masks from the first
            belief and needs no chain.
        steps: number of network calls, 1..T; the ancestral sampler takes all T, "level-set" 1.
        renewal: how much of the noise "ddim" draws anew at each step, 0..1; see ``ddim``.
    """

    name: str
    steps: int
    renewal: float = 0.0

    def check(self, T: int) -> None:
        """Raise InputError where no model with T noise levels can draw like this."""
        _check_steps(self.steps, T)
        if self.name not in SAMPLERS:
            raise InputError(
                f"There is no sampler {self.name!r}."
                f" Use {', '.join(SAMPLERS[:-1])} or {SAMPLERS[-1]}."
            )
        if self.name == "ancestral" and self.steps != T:
            raise InputError(
                f"The ancestral sampler takes all {T} steps, not {self.steps}."
                f" Ask for {T} steps, or use the sampler ddim."
            )
        if self.name == "level-set" and self.steps != 1:
            raise InputError(
                f"The sampler level-set takes one step, not {self.steps}."
                " Ask for one step, or use the sampler ddim."
            )
        if not 0 <= self.renewal <= 1:
            raise InputError(f"A renewal of {self.renewal:g} is impossible. Use 0 to 1.")
        if self.renewal and self.name != "ddim":
            raise InputError(
                f"The sampler {self.name} cannot draw noise anew. Leave the renewal at 0, or use"
                " the sampler ddim."
            )


def plan(
    settings: SamplerSettings, schedule: CategoricalSchedule, mask_distance: float
) -> tuple[tuple[int, ...], Kernel]:
    """Return the falling times to visit and the kernel to step with.

    ``mask_distance`` is that of ``information_times``. Raises InputError for what ``check``
    refuses, and for the sampler "level-set", which has no chain.
    """
    settings.check(schedule.T)
    spread = partial(information_times, schedule, settings.steps, mask_distance)
    match settings.name:
        case "ancestral":
            return linear_times(schedule.T, schedule.T), posterior
        case "posterior":
            return spread(), posterior
        case "ddim":
            return spread(), partial(ddim, renewal=settings.renewal) if settings.renewal else ddim
        case "published-skip":
            return linear_times(schedule.T, settings.steps), published_skip
    raise InputError(
        "Level-set draws are made from the first belief of the fast kind alone, which these weights"
        " are not. Use the sampler ddim."
    )


def _uniform_labels(uniform: Tensor, classes: int) -> Tensor:
    return (uniform * classes).long().clamp(max=classes - 1)


def _check_steps(steps: int, T: int) -> None:
    if not 1 <= steps <= T:
        raise InputError(f"{steps} steps are impossible for this model. Use a number in 1..{T}.")
