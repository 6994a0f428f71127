"""The noise levels of categorical diffusion, and how much each of them still tells.

The cosine schedule of Hoogeboom et al. 2021 (arXiv 2102.05379), as CCDM (arXiv 2303.08888) and
DiffOSeg (arXiv 2507.13087) use it. T steps, t a step in 1..T, and time 0 the clean mask.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError

_OFFSET = 0.008  # of the cosine schedule; the published code ignores any other


_LARGEST_BETA = 0.999


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
