"""Categorical diffusion: schedule, q(x_t|x_0), posterior between any two levels, and the losses.

Uniform-noise diffusion of Hoogeboom et al. 2021 (arXiv 2102.05379), averaged over x_0 as in CCDM
(arXiv 2303.08888) and DiffOSeg (arXiv 2507.13087). Symbols: T steps, K classes, labels x_t int64
(B, H, W), probabilities (B, K, H, W), t a step in 1..T, and time 0 the clean mask.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .errors import InputError

_OFFSET = 0.008  # of the cosine schedule; the published code ignores any other
_LARGEST_BETA = 0.999
_SMALLEST_LOGGED = 1e-12

# Below the first value two masks cannot be told apart, above the second they cannot be confused.
INFORMATION_RANGE = (0.05, 200.0)


@dataclass(frozen=True)
class CategoricalSchedule:
    """How much of the clean mask is left after each of T noising steps.

    ``exact`` schedules are consistent: alpha_bar is the product of the alphas. The ``published``
    cosine schedule has alpha_bar_t = f((t - 1)/T), one step late and not the product; weights that
    were trained with it need it. Two schedules are equal when kind, T and variant are.

    Attributes:
        kind: "cosine" or "linear".
        T: number of steps, at least 1.
        variant: "published" or "exact".
        beta: (T,) float32 in (0, 1), chance that step t redraws a pixel from all K classes.
        alpha: (T,) float32, 1 - beta.
        alpha_bar: (T,) float32 in (0, 1), chance that no step up to t has redrawn a pixel.
    """

    kind: str
    T: int
    variant: str
    beta: Tensor = field(init=False, repr=False, compare=False)
    alpha: Tensor = field(init=False, repr=False, compare=False)
    alpha_bar: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in ("cosine", "linear") or self.variant not in ("published", "exact"):
            raise InputError(
                f"There is no schedule {self.kind!r} {self.variant!r}."
                " Use cosine or linear, published or exact."
            )
        if self.T < 1:
            raise InputError(f"A schedule of {self.T} steps is empty. Use one step or more.")
        beta = _cosine_beta(self.T) if self.kind == "cosine" else _linear_beta(self.T)
        alpha_bar = torch.cumprod(1 - beta, 0)
        if (self.kind, self.variant) == ("cosine", "published"):
            alpha_bar = _cosine(torch.arange(self.T) / self.T)
        object.__setattr__(self, "beta", beta.float())
        object.__setattr__(self, "alpha", 1 - beta.float())
        object.__setattr__(self, "alpha_bar", alpha_bar.float())

    @classmethod
    def cosine(cls, T: int = 250, variant: str = "published") -> "CategoricalSchedule":
        """Return the cosine schedule of Nichol and Dhariwal 2021 (arXiv 2102.09672)."""
        return cls("cosine", T, variant)

    @classmethod
    def linear(cls, T: int = 250, variant: str = "published") -> "CategoricalSchedule":
        """Return the schedule with beta from 0.01 to 0.2 in equal steps; its variants agree."""
        return cls("linear", T, variant)

    @property
    def description(self) -> dict[str, Any]:
        """What ``from_description`` needs to make the same schedule again; JSON-able."""
        return {"kind": self.kind, "T": self.T, "variant": self.variant}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> "CategoricalSchedule":
        """Return the schedule that ``description`` was asked of."""
        return cls(str(description["kind"]), int(description["T"]), str(description["variant"]))

    def level(self, t: int | Tensor) -> Tensor:
        """Return alpha_bar at times t in 0..T, float32 of t's shape and device; 1 at time 0."""
        t = torch.as_tensor(t)
        return torch.cat([torch.ones(1), self.alpha_bar]).to(t.device)[t]

    def keep(self, t: int | Tensor, s: int | Tensor) -> Tensor:
        """Return the chance that a pixel is not redrawn between times s < t, float32.

        The stored alpha_t for one step, and alpha_bar_t / alpha_bar_s for a longer way: the
        published levels contradict each other, and its weights were trained on the stored alpha_t.
        """
        t, s = torch.as_tensor(t), torch.as_tensor(s)
        one_step = self.alpha.to(t.device)[t - 1]
        return torch.where(s == t - 1, one_step, self.level(t) / self.level(s))


def _cosine(u: Tensor) -> Tensor:
    return torch.cos((u + _OFFSET) / (1 + _OFFSET) * math.pi / 2) ** 2


def _cosine_beta(T: int) -> Tensor:
    f = _cosine(torch.arange(T + 1, dtype=torch.float64) / T)
    return (1 - f[1:] / f[:-1]).clamp(max=_LARGEST_BETA)


def _linear_beta(T: int) -> Tensor:
    return torch.linspace(0.01, 0.2, T, dtype=torch.float64)


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
    return draw_categorical(noisy_probs(_as_probs(x0, classes), t, schedule), uniform)


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
    target = posterior(x_t, _as_probs(x0, x0_probs.shape[1]), schedule, t, t - 1)
    predicted = posterior(x_t, x0_probs, schedule, t, t - 1).clamp(min=_SMALLEST_LOGGED)
    divergence = torch.xlogy(target, target) - target * predicted.log()
    return divergence.sum() / len(x_t)


def cross_entropy(x0: Tensor, logits: Tensor) -> Tensor:
    """Return -log p(x_0), a scalar in nats: the sum over pixels, the mean over the batch.

    ``x0`` is labels int64 (B, H, W) or class probabilities (B, K, H, W); logits (B, K, H, W).
    """
    return functional.cross_entropy(logits, x0, reduction="sum") / len(logits)


def information(schedule: CategoricalSchedule, mask_distance: float) -> Tensor:
    """Return what x_t tells about which of two masks it came from, float64 (T,), for t = 1..T.

    D a atanh(a) with a = alpha_bar_t, and D = ``mask_distance``, the mean number of pixels in
    which two experts' masks differ. It is D a^2 at small a: below 1 the masks cannot be told apart.
    """
    if not mask_distance > 0:
        raise InputError(
            f"A distance of {mask_distance} pixels between masks is too small. Use a positive one."
        )
    level = schedule.alpha_bar.double()
    return mask_distance * level * torch.atanh(level)


def times_of_information(
    schedule: CategoricalSchedule, values: Tensor, mask_distance: float
) -> Tensor:
    """Return the times in 1..T whose information is nearest, by ratio, to each of ``values``."""
    log_information = information(schedule, mask_distance).log()
    return (values.double().log().unsqueeze(-1) - log_information).abs().argmin(-1) + 1


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


def _as_probs(x0: Tensor, classes: int) -> Tensor:
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
