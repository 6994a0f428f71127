"""What a denoiser learns by: the paper's loss, plain cross-entropy, and at which times.

Symbols as in ``posterior``: labels int64 (B, H, W), probabilities float (B, K, H, W).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from .posterior import as_probs, posterior
from .schedule import INFORMATION_RANGE, CategoricalSchedule, times_of_information

_SMALLEST_LOGGED = 1e-12


def posterior_kl(
    x0: Tensor, x_t: Tensor, x0_probs: Tensor, t: Tensor, schedule: CategoricalSchedule
) -> Tensor:
    """Return the paper's loss, a scalar in nats: the sum over pixels, the mean over the batch.

    KL( q(x_{t-1} | x_t, x_0) || q(x_{t-1} | x_t, x0_probs) ); at t = 1 the summed cross-entropy.

    Args:
        x0: the clean mask, labels int64 (B, H, W) or class probabilities float (B, K, H, W).
        x_t: its noisy labels at time t, int64 (B, H, W).
        x0_probs: what the network predicts for x_0, float (B, K, H, W).
        t: times in 1..T, int64 (B,).
        schedule: the noise levels.
    """
    target = posterior(x_t, as_probs(x0, x0_probs.shape[1]), schedule, t, t - 1)
    predicted = posterior(x_t, x0_probs, schedule, t, t - 1).clamp(min=_SMALLEST_LOGGED)
    divergence = torch.xlogy(target, target) - target * predicted.log()
    return divergence.sum() / len(x_t)


def cross_entropy(x0: Tensor, logits: Tensor) -> Tensor:
    """Return -log p(x_0), a scalar in nats: the sum over pixels, the mean over the batch.

    ``x0`` is labels int64 (B, H, W) or class probabilities (B, K, H, W); logits (B, K, H, W).
    """
    return functional.cross_entropy(logits, x0, reduction="sum") / len(logits)


def draw_times(
    n: int,
    schedule: CategoricalSchedule,
    mask_distance: float | None,
    generator: torch.Generator,
) -> Tensor:
    """Return n training times in 1..T, int64 (n,), on the generator's device.

    45 % uniform in t, 45 % uniform in the logarithm of the information, 10 % T: a network that
    answers in few steps needs rows where the choice between masks is made, and the first step.
    Without a ``mask_distance`` all are uniform in t, as published.
    """
    device = generator.device
    uniform_in_t = torch.randint(1, schedule.T + 1, (n,), generator=generator, device=device)
    if mask_distance is None:
        return uniform_in_t
    low, high = map(math.log, INFORMATION_RANGE)
    values = torch.exp(low + (high - low) * torch.rand(n, generator=generator, device=device))
    informed = times_of_information(schedule, values.cpu(), mask_distance).to(device)
    choice = torch.rand(n, generator=generator, device=device)
    times = torch.where(choice < 0.45, uniform_in_t, informed)
    return torch.where(choice < 0.90, times, schedule.T)
