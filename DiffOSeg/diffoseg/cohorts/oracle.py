"""The enumerable truth (tier E): every mask that experts may draw on one slice, with its weight.

With the whole law in hand, marginals, samples and even the Bayes-optimal denoiser are exact, so
that a sampler can be tested to its last digit without any training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .phantom import ENUMERATED, PhantomCohort
from .simulated import Latents, Style, View, draw, hand


class NoiseLevels(Protocol):
    """All that the exact denoiser asks of a schedule."""

    def level(self, t: int) -> float | Tensor:
        """Return alpha_bar at time t: the chance that a pixel was never redrawn; 1 at time 0."""


@dataclass(frozen=True)
class MaskLaw:
    """A finite law of masks on one slice.

    Attributes:
        masks: bool, (M, H, W); every row may be drawn, some by several experts.
        weights: (M,), positive, summing to 1.
        experts: (M,) int, whose drawing each row is.

    Raises InputError where these do not fit together.
    """

    masks: np.ndarray
    weights: np.ndarray
    experts: np.ndarray

    def __post_init__(self) -> None:
        rows = len(self.masks)
        if self.masks.ndim != 3 or self.weights.shape != (rows,) or self.experts.shape != (rows,):
            raise InputError("A mask law needs masks (M, H, W) and M weights and experts.")
        if rows == 0 or self.weights.min() <= 0 or not np.isclose(self.weights.sum(), 1):
            raise InputError("The weights of a mask law must be positive and add up to 1.")

    def marginal(self) -> np.ndarray:
        """Return the probability, float64, (H, W), that each pixel is drawn."""
        return np.tensordot(self.weights, self.masks, 1)

    def presence(self) -> float:
        """Return the probability that a mask is not empty."""
        return float(self.weights[self.masks.any((1, 2))].sum())

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return ``n`` independent masks, bool, (n, H, W)."""
        return self.masks[rng.choice(len(self.masks), n, p=self.weights)]

    def given(self, expert: int | None = None, present: bool | None = None) -> "MaskLaw":
        """Return the law of one expert, or of present (or absent) masks, or of both.

        Raises InputError when that never happens.
        """
        keep = np.ones(len(self.masks), bool)
        if expert is not None:
            keep &= self.experts == expert
        if present is not None:
            keep &= self.masks.any((1, 2)) == present
        if not keep.any():
            raise InputError("No mask of this law fulfils that condition.")
        weights = self.weights[keep] / self.weights[keep].sum()
        return MaskLaw(self.masks[keep], weights, self.experts[keep])

    def mean_hamming(self) -> float:
        """Return D, the mean number of pixels in which two independent masks differ.

        D = sum over pixels of 2 p (1 - p), since a pixel differs when just one of two draws has it.
        """
        p = self.marginal()
        return float((2 * p * (1 - p)).sum())

    def exact_denoiser(self, schedule: NoiseLevels) -> Callable[[Tensor, int | Tensor], Tensor]:
        """Return the Bayes-optimal E[x0 | x_t] of two classes under the uniform kernel.

        The callable maps labels x_t, int64 (B, H, W), and a time t to probabilities (B, 2, H, W),
        float64. A pixel keeps its label with probability (1 + a) / 2, a = alpha_bar_t, so a mask
        that agrees with x_t in n of N pixels has log weight
        log w + n log((1 + a) / 2) + (N - n) log((1 - a) / 2); the answer is their softmax's mean.
        """
        flat = torch.from_numpy(self.masks.reshape(len(self.masks), -1).astype(np.float64))
        log_weights = torch.from_numpy(np.log(self.weights))
        area = flat.sum(1)

        def denoise(x_t: Tensor, t: int | Tensor) -> Tensor:
            a = torch.as_tensor(schedule.level(t), dtype=torch.float64).reshape(-1)[0]  # type: ignore[arg-type]
            labels = x_t.reshape(len(x_t), -1).to(torch.float64)
            differ = labels.sum(1, keepdim=True) + area - 2 * labels @ flat.T
            log_posterior = log_weights + differ * torch.log((1 - a) / (1 + a)).clamp(min=-1e4)
            lesion = (torch.softmax(log_posterior, 1) @ flat).reshape(x_t.shape)
            return torch.stack([1 - lesion, lesion], 1)

        return denoise


def slice_law(
    cohort: PhantomCohort, index: int, position: int, *, edge: int = 64, hands: int = 4
) -> MaskLaw:
    """Return the law of all experts on one slice, each with the same share.

    Choices are enumerated with their true probabilities; the unsteady hand (drift, wobble, corners)
    is one of ``hands`` fixed equally likely ones per expert, so this is a law of its own close to
    the cohort's: exact in itself, not a limit of `case_truth`.

    Args:
        cohort: the phantom cohort.
        index: of the case.
        position: of the slice, 0..K-1.
        edge: pixels of the square window round the nodule, kept within the slice.
        hands: number of hands per expert.
    """
    scene, view = cohort.scene(index)
    window = _window(scene.center, scene.hu.shape[1:], edge)
    masks, weights, experts = [], [], []
    for row, style in enumerate(cohort.experts):
        rng = cohort.stream(index, ENUMERATED, row)
        drawn, chance = _enumerate(view, style, position, hands, rng)
        masks.append(drawn[:, *window])
        weights.append(chance / len(cohort.experts))
        experts.append(np.full(len(drawn), row))
    return _merged(np.concatenate(masks), np.concatenate(weights), np.concatenate(experts))


def _window(center: tuple[float, ...], shape: tuple[int, ...], edge: int) -> tuple[slice, slice]:
    starts = [
        int(np.clip(round(middle) - edge // 2, 0, max(size - edge, 0)))
        for middle, size in zip(center[1:], shape, strict=True)
    ]
    return slice(starts[0], starts[0] + edge), slice(starts[1], starts[1] + edge)


def _enumerate(
    view: View, style: Style, position: int, hands: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return one expert's masks, (n + 1, J, I), the empty one first, and their weights."""
    choices, chances = _choices(style)
    drift, wobble, phase = hand(rng, view, hands)
    turn = np.tile(np.arange(hands), len(choices))
    attention = np.zeros(len(turn))  # never too little; the empty mask is added below
    lobe_a, lobe_b, vessel, focus, polygon = choices.repeat(hands, 0).T
    latents = Latents(
        attention,
        lobe_a,
        lobe_b,
        vessel,
        focus,
        polygon,
        drift[turn],
        wobble[turn],
        phase[turn],
    )
    here = slice(position, position + 1)
    drawn = view.at(here).paste(draw(view.at(here), style, latents.at(here)))[:, 0]
    present = float(view.presence(style)[position])
    weights = np.concatenate([[1 - present], present * chances.repeat(hands) / hands])
    return np.concatenate([np.zeros_like(drawn[:1]), drawn]), weights


def _choices(style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Return all (lobe a, lobe b, vessel, focus, polygon), bool (n, 5), and their chances (n,)."""
    neither, one, both = style.lobes
    lobes = {(False, False): neither, (True, False): one / 2, (False, True): one / 2}
    lobes[True, True] = both
    odds = np.array([style.vessel, style.focus, style.polygon])
    rows, chances = [], []
    for sides in lobes:
        for coins in product((False, True), repeat=3):
            rows.append([*sides, *coins])
            chances.append(lobes[sides] * float(np.where(coins, odds, 1 - odds).prod()))
    return np.array(rows), np.array(chances)


def _merged(masks: np.ndarray, weights: np.ndarray, experts: np.ndarray) -> MaskLaw:
    """Return the law with an expert's equal masks made one, and impossible ones left out."""
    rows: dict[tuple[int, bytes], int] = {}
    first: list[int] = []
    total: list[float] = []
    for row, (mask, weight, expert) in enumerate(zip(masks, weights, experts, strict=True)):
        place = rows.setdefault((int(expert), np.packbits(mask).tobytes()), len(rows))
        if place == len(first):
            first.append(row)
            total.append(0.0)
        total[place] += float(weight)
    keep = np.array(total) > 0
    index = np.array(first)[keep]
    return MaskLaw(masks[index], np.array(total)[keep], experts[index])
