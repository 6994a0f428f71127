"""Categorical diffusion: q(x_t | x_0), and the posterior between any two noise levels.

Uniform-noise diffusion of Hoogeboom et al. 2021 (arXiv 2102.05379), averaged over x_0 as in CCDM
(arXiv 2303.08888) and DiffOSeg (arXiv 2507.13087). Symbols: T steps, K classes, labels x_t int64
(B, H, W), probabilities (B, K, H, W), t a step in 1..T, and time 0 the clean mask.
"""

import torch
from torch import Tensor

from ..errors import InputError
from .schedule import CategoricalSchedule


def draw_categorical(probs: Tensor, uniform: Tensor) -> Tensor:
    """Return labels int64 (B, H, W) drawn from probs (B, K, H, W) by the inverse of their sum.

    ``uniform`` is (B, H, W) in [0, 1); a larger value gives the same or a larger label.
    """
    steps = probs[:, :-1].cumsum(1)
    return (uniform.unsqueeze(1) >= steps).sum(1)


def noisy_probs(x0_probs: Tensor, t: int | Tensor, schedule: CategoricalSchedule) -> Tensor:
    """Return q(x_t | x_0), (B, K, H, W), at times t in 0..T, an int or int64 (B,).

    alpha_bar_t x_0 + (1 - alpha_bar_t) / K, the multinomial diffusion of Hoogeboom et al. 2021.
    """
    level = _per_map(schedule.level(t))
    return level * x0_probs + (1 - level) / x0_probs.shape[1]


def q_sample(
    x0: Tensor, t: int | Tensor, schedule: CategoricalSchedule, uniform: Tensor, classes: int = 2
) -> Tensor:
    """Return noisy labels x_t ~ q(x_t | x_0), int64 (B, H, W).

    Args:
        x0: clean labels int64 (B, H, W), or class probabilities float (B, K, H, W).
        t: times in 0..T, an int or int64 (B,).
        schedule: the noise levels.
        uniform: (B, H, W) in [0, 1), what decides the draw.
        classes: K, for labels only.
    """
    return draw_categorical(noisy_probs(as_probs(x0, classes), t, schedule), uniform)


def posterior(
    x_t: Tensor,
    x0_probs: Tensor,
    schedule: CategoricalSchedule,
    t: int | Tensor,
    s: int | Tensor,
) -> Tensor:
    """Return q(x_s | x_t, x_0 ~ x0_probs) for any earlier time s, float (B, K, H, W), sums to 1.

    The mixture over c of the exact posteriors q(x_s | x_t, x_0 = c), each normalised before the
    average (Hoogeboom et al. 2021, averaged over x_0 as CCDM does). At s = 0 it is x0_probs.

    Args:
        x_t: labels at time t, int64 (B, H, W), each in 0..K-1.
        x0_probs: belief about the clean label, sums to 1 over K, float (B, K, H, W).
        schedule: the noise levels.
        t: times in 1..T, an int or int64 (B,).
        s: times in 0..t-1, an int or int64 (B,).

    Raises InputError unless 0 <= s < t <= T.
    """
    _check_times(t, s, schedule.T)
    classes = x0_probs.shape[1]
    keep, level = _per_map(schedule.keep(t, s)), _per_map(schedule.level(s))
    seen = _one_hot(x_t, classes).to(x0_probs.dtype)
    from_s = keep * seen + (1 - keep) / classes  # q(x_t | x_s)
    evidence = level * from_s + (1 - level) / classes  # q(x_t | x_0), never 0
    weight = x0_probs / evidence
    return from_s * (level * weight + (1 - level) / classes * weight.sum(1, keepdim=True))


def as_probs(x0: Tensor, classes: int) -> Tensor:
    """Return class probabilities (B, K, H, W) of labels (B, H, W), or what is such already."""
    return x0 if x0.is_floating_point() else _one_hot(x0, classes).float()


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return labels.unsqueeze(1) == torch.arange(classes, device=labels.device).view(-1, 1, 1)


def _per_map(values: Tensor) -> Tensor:
    """Make one value a sample broadcast over (B, K, H, W); a single value fits any device as is."""
    return values if values.ndim == 0 else values.view(-1, 1, 1, 1)


def _check_times(t: int | Tensor, s: int | Tensor, T: int) -> None:
    t, s = torch.as_tensor(t), torch.as_tensor(s)
    if not bool(((s >= 0) & (s < t) & (t <= T)).all()):
        raise InputError(f"Times must satisfy 0 <= s < t <= {T}. Check the list of steps.")
