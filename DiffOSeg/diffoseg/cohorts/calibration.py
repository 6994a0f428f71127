"""What a cohort's drawings are like: presence, disagreement, and whether level sets suffice.

All distances are d = 1 - IoU of the foreground, 0 between two empty masks. GED_U is the unbiased
generalised energy distance: self pairs of sampled masks are left out, so that it can fall below 0.
"""

from dataclasses import dataclass

import numpy as np

from .phantom import PhantomCohort

GATE = 0.03
"""A cohort whose gate is lower cannot tell diffusion from thresholding a probability map."""


@dataclass(frozen=True)
class Calibration:
    """Summary of a phantom cohort; counts slices unless said otherwise.

    Attributes:
        slices: number of slices that at least one expert drew on.
        present_by_count: share of those slices that exactly 1, 2, .., M experts drew on.
        presence: by expert, share of those slices the expert drew on.
        distance: mean d between two different experts, either may be empty.
        distance_present: the same between masks that are both present.
        mask_distance: D, mean Hamming distance in pixels between those.
        diameter: median in-plane diameter, mm, of a present mask (of the disc of equal area).
        gate: mean mixture GED_U excess of level-set draws, over slices.
        gate_error: its standard error over cases.
    """

    slices: int
    present_by_count: tuple[float, ...]
    presence: dict[str, float]
    distance: float
    distance_present: float
    mask_distance: float
    diameter: float
    gate: float
    gate_error: float


def calibrate(cohort: PhantomCohort, draws: int = 128) -> Calibration:
    """Return the summary of a cohort, with the gate from ``draws`` drawings per expert and case."""
    masks = np.concatenate([_drawn_slices(cohort, index) for index in range(len(cohort))])
    present = masks.sum(2) > 0
    one, other = np.triu_indices(masks.shape[1], 1)
    pairs = [_pairs(slice_masks) for slice_masks in masks]
    distance = np.array([d[one, other] for d, _ in pairs])
    hamming = np.array([h[one, other] for _, h in pairs])
    both = present[:, one] & present[:, other]
    area = masks.sum(2)[present] * cohort.spacing[0] * cohort.spacing[1]
    gate, error = level_set_gate(cohort, draws)
    counts = present.sum(1)
    return Calibration(
        slices=len(masks),
        present_by_count=tuple(float((counts == n + 1).mean()) for n in range(present.shape[1])),
        presence=dict(zip(cohort.panel.names, present.mean(0).tolist(), strict=True)),
        distance=float(distance.mean()),
        distance_present=float(distance[both].mean()),
        mask_distance=float(hamming[both].mean()),
        diameter=float(np.median(2 * np.sqrt(area / np.pi))),
        gate=gate,
        gate_error=error,
    )


def _drawn_slices(cohort: PhantomCohort, index: int) -> np.ndarray:
    """Return the slices of one case that somebody drew on, bool, (S, experts, pixels)."""
    masks = np.stack(list(cohort[index].masks.values()), 1)
    masks = masks.reshape(*masks.shape[:2], -1)
    return masks[masks.any((1, 2))]


def _pairs(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return d and the Hamming distance between all pairs of masks (n, pixels), each (n, n)."""
    flat = masks.astype(np.float32)
    area, shared = flat.sum(1), flat @ flat.T
    total = area[:, None] + area
    union = total - shared
    return np.where(union > 0, 1 - shared / np.maximum(union, 1), 0), total - 2 * shared


def level_set_gate(cohort: PhantomCohort, draws: int = 128) -> tuple[float, float]:
    """Return the mean mixture GED_U excess of level-set draws, and its standard error over cases.

    On each slice, and for each expert, the true marginal given presence comes from one half of
    ``draws`` drawings; a level-set mask is {marginal > u}, one u ~ U(0, 1) per mask. Its mixture
    over experts, each weighted by how often it draws at all, is compared on present masks with the
    other half. A perfect sampler scores 0, thresholding scores this. Counted are slices on which
    every expert drew at least eight times in each half.
    """
    by_case = []
    for index in range(0, len(cohort), cohort.draws):
        truth = np.stack(list(cohort.case_truth(index, 2 * (draws // 2)).values()))
        excess = (_slice_gate(truth[:, :, k]) for k in range(truth.shape[2]))
        scores = [score for score in excess if score is not None]
        if scores:
            by_case.append(float(np.mean(scores)))
    values = np.array(by_case)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _slice_gate(truth: np.ndarray) -> float | None:
    """Return the excess on one slice from drawings (experts, draws, H, W); None if too few."""
    half = truth.shape[1] // 2
    used = truth.any((0, 1))
    truth = truth[:, :, used]
    level_sets, drawn, weights = [], [], []
    for drawings in truth:
        known, fresh = (part[part.any(1)] for part in (drawings[:half], drawings[half:]))
        if min(len(known), len(fresh)) < 8:
            return None
        marginal = known.mean(0)
        levels = (np.arange(len(known)) + 0.5) / len(known)  # every level set of this marginal
        level_sets.append(marginal > levels[:, None])
        drawn.append(fresh)
        weights.append(drawings.any(1).mean())
    return _mixture_excess(level_sets, drawn, np.array(weights) / np.sum(weights))


def _mixture_excess(
    level_sets: list[np.ndarray], drawn: list[np.ndarray], weights: np.ndarray
) -> float:
    """Return 2 E d(L, T) - E d(L, L') - E d(T, T'); self pairs count in L, a full law, not in T."""
    groups = [*level_sets, *drawn]
    ends = np.cumsum([0, *(len(group) for group in groups)])
    distance, _ = _pairs(np.concatenate(groups))
    experts = len(level_sets)
    means = np.empty((2 * experts, 2 * experts))
    for a in range(2 * experts):
        for b in range(2 * experts):
            block = distance[ends[a] : ends[a + 1], ends[b] : ends[b + 1]]
            n = len(block)
            means[a, b] = block.sum() / (n * (n - 1)) if a == b >= experts else block.mean()
    law = np.concatenate([weights, -weights])
    return float(-law @ means @ law)
