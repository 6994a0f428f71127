"""Fitting the calibration of a fast network by the likelihood of held-out masks.

One slope and offset correct presence, one pair the first belief, and one pair each of a few noise
levels on the way to the finished mask (``calibration.Calibration``). The pixels of a patient are no
independent witnesses, and held-out patients may be few. So the likelihood counts for as much as
the scatter between patients says it is worth, a normal prior draws towards leaving everything as it
is, and a correction that does not help patients it was not fitted on is dropped.

The reach of a drawn border is fitted besides (``reach``).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..diffusion.posterior import q_sample
from ..diffusion.sampling import information_times
from ..diffusion.schedule import CategoricalSchedule
from ..model.calibration import AS_IT_IS, Calibration, Stretch
from ..model.model import Model
from ..networks.fast import FastNetwork, Features, information_of
from .objective import centre_crop
from .reach import LEAST_PATIENTS, fitted_reach
from .slices import SliceSet

_LEVELS = 9  # of noise, the first of them pure noise
_MOST_FIRST, _MOST_LATER = 1200, 400  # drawings at the first level, and at each later one
_MOST_DRAWN = 240  # of the first level, that the reach is fitted on
_CHUNK = 48
_SLOPE_SPREAD, _OFFSET_SPREAD = 0.25, 0.5  # of the prior about slope 1 and offset 0
_NEWTON_STEPS = 60
_NOISE_SEED = 0xCA11B


@dataclass(frozen=True)
class Witnesses:
    """What n pixels, or n presences, say for or against a correction.

    Attributes:
        logit: what is to be corrected, float64 (n,).
        own: what is added after the correction, float64 (n,).
        marked: whether it was marked, bool (n,).
        patient: whose it is, int (n,).
    """

    logit: np.ndarray
    own: np.ndarray
    marked: np.ndarray
    patient: np.ndarray

    def of(self, patients: np.ndarray) -> "Witnesses":
        """Return those of some patients."""
        kept = np.isin(self.patient, patients)
        return Witnesses(*(part[kept] for part in vars(self).values()))

    def loss(self, stretch: Stretch) -> float:
        """Return the mean negative log-likelihood, in nats."""
        z = stretch.slope * self.logit + stretch.offset + self.own
        return float(np.logaddexp(0, np.where(self.marked, -z, z)).mean())


def calibrated(model: Model, held_out: SliceSet, edge: int) -> Model:
    """Return the model with the calibration that fits held-out slices, and what it was worth.

    Args:
        model: of the fast kind, on any device; it is not changed.
        held_out: slices of patients whom the network has not learnt from.
        edge: side of the square in the middle of each slice that is looked at, pixels.

    ``metadata.training["fast"]["calibration"]`` tells "patients", and for "presence" and for each
    row of "context" the mean negative log-likelihood before and after in nats, "after" on patients
    that the correction was not fitted on, and in front of a row's two the logarithm of its
    information; "energy score by reach" has that of each reach that was tried.
    """
    network = model.fast
    assert network is not None
    seen = _Seen.of(network, held_out, edge)
    distance = network.config.mask_distance
    times = information_times(model.schedule, _LEVELS, model.metadata.mask_distance)
    levels, rows, found = [], [], []
    for index, t in enumerate(times):
        survival = float(model.schedule.level(t)) if index else 0.0  # as at the first call
        information = information_of(torch.tensor(survival), distance)
        levels.append(float(information.log()))
        witnesses = seen.of_context(model.schedule, t, survival, index)
        stretch, before, after = fitted(witnesses)
        if index == 0:
            reach, scores = _reach(witnesses, stretch, edge)
        rows.append(stretch)
        found.append([levels[-1], before, after])
    presence, before, after = fitted(seen.of_presence())
    summary = {
        "patients": len(np.unique(seen.patient)),
        "presence": [before, after],
        "context": found,
        "energy score by reach": scores,
    }
    about = model.metadata
    trained = {**about.training.get("fast", {}), "calibration": summary}
    return replace(
        model,
        calibration=Calibration(presence, tuple(levels), tuple(rows), reach),
        metadata=about.with_training(about.mask_distance, {"fast": trained}),
    )


def _reach(first: Witnesses, stretch: Stretch, edge: int) -> tuple[float, dict[str, float]]:
    """Return the reach, and the score of each that was tried, from a share of the first beliefs."""
    maps = (-1, edge, edge)
    logits, masks = first.logit.reshape(maps), first.marked.reshape(maps)
    chosen = _spread(len(logits), _MOST_DRAWN, 0)
    belief = 1 / (1 + np.exp(-(stretch.slope * logits[chosen] + stretch.offset)))
    patient = first.patient[:: edge * edge][chosen]
    return fitted_reach(belief.astype(np.float32), masks[chosen], patient)


def fitted(witnesses: Witnesses) -> tuple[Stretch, float, float]:
    """Return the correction, and the loss before and after it on patients not fitted on, in nats.

    Slope 1 and offset 0 where there are few patients or where fitting on one half of them does not
    help the other.
    """
    patients = np.unique(witnesses.patient)
    before = witnesses.loss(AS_IT_IS) if len(patients) else 0.0
    if len(patients) < LEAST_PATIENTS:
        return AS_IT_IS, before, before
    halves = [witnesses.of(patients[first::2]) for first in (0, 1)]
    crossed = [
        shown.loss(_most_likely(hidden)) * len(shown.logit)
        for shown, hidden in (halves, halves[::-1])
    ]
    after = sum(crossed) / len(witnesses.logit)
    if after < before:
        return _most_likely(witnesses), before, after
    return AS_IT_IS, before, before


def _most_likely(witnesses: Witnesses) -> Stretch:
    """Return the correction of the greatest posterior, by Newton's method with halved steps.

    It minimises NLL / omega + (slope - 1)^2 / 2 s^2 + offset^2 / 2 o^2, which is convex. omega is
    the greatest eigenvalue of H^-1 J at slope 1 and offset 0, with H the curvature of the
    likelihood and J the scatter of its gradient between patients (Pauli et al. 2011, the
    magnitude adjustment of a composite likelihood).
    """
    design = np.stack([witnesses.logit, np.ones_like(witnesses.logit)], 1)
    precision = np.array([_SLOPE_SPREAD, _OFFSET_SPREAD]) ** -2.0
    start = np.array([1.0, 0.0])
    omega = _overcount(witnesses, design, start)

    def cost(values: np.ndarray) -> float:
        likelihood = witnesses.loss(Stretch(*values)) * len(design) / omega
        return likelihood + float(precision @ (values - start) ** 2) / 2

    values = start
    for _ in range(_NEWTON_STEPS):
        error, weight = _errors(witnesses, design @ values)
        gradient = design.T @ error / omega + precision * (values - start)
        curvature = (design * weight[:, None]).T @ design / omega + np.diag(precision)
        step, now = np.linalg.solve(curvature, gradient), cost(values)
        while cost(values - step) > now and np.abs(step).max() > 1e-9:
            step = step / 2
        values = values - step
        if np.abs(step).max() < 1e-9:
            break
    return Stretch(max(0.1, float(values[0])), float(values[1]))


def _overcount(witnesses: Witnesses, design: np.ndarray, values: np.ndarray) -> float:
    """Return how many pixels are worth one independent witness, 1 or more."""
    error, weight = _errors(witnesses, design @ values)
    names, patient = np.unique(witnesses.patient, return_inverse=True)
    gradients = np.stack(
        [np.bincount(patient, error * column, len(names)) for column in design.T], 1
    )
    scatter = len(names) * np.cov(gradients.T)
    curvature = (design * weight[:, None]).T @ design
    return max(1.0, float(np.linalg.eigvals(np.linalg.pinv(curvature) @ scatter).real.max()))


def _errors(witnesses: Witnesses, corrected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probability minus what was drawn, and the variance p (1 - p), both (n,)."""
    probability = 1 / (1 + np.exp(-np.clip(corrected + witnesses.own, -60, 60)))
    return probability - witnesses.marked, probability * (1 - probability)


@dataclass(frozen=True)
class _Seen:
    """Held-out slices, encoded once, and who drew what on them.

    Attributes:
        network: the network under test.
        features: of N slices.
        masks: (N, M, edge, edge) bool, on the network's device.
        drawn_by: (N, M) rows of the network's codes; only the named experts' are looked at.
        patient: (N,) int.
    """

    network: FastNetwork
    features: Features
    masks: Tensor
    drawn_by: np.ndarray
    patient: np.ndarray

    @classmethod
    @torch.inference_mode()
    def of(cls, network: FastNetwork, slices: SliceSet, edge: int) -> "_Seen":
        device = network.codes.device
        images = torch.from_numpy(np.ascontiguousarray(centre_crop(slices.images, edge)))
        parts = [network.encode(part.to(device)) for part in images.split(_CHUNK)]
        masks = torch.from_numpy(np.ascontiguousarray(centre_crop(slices.masks, edge) > 0))
        patient = np.unique(slices.patients, return_inverse=True)[1]
        features = Features.joined(parts)
        return cls(network, features, masks.to(device), slices.drawn_by, patient)

    @torch.inference_mode()
    def of_presence(self) -> Witnesses:
        """Return the presence of every named expert's drawing."""
        image, drawing = np.nonzero(self.drawn_by < self.network.config.experts)
        codes = self.network.codes[torch.from_numpy(self.drawn_by[image, drawing])]
        logits = self.network.presence_logit(self.features.rows(self._index(image)), codes)
        marked = self.masks.flatten(2).any(2)[self._index(image), self._index(drawing)]
        own = np.zeros(len(image))
        return Witnesses(_numbers(logits), own, marked.cpu().numpy(), self.patient[image])

    @torch.inference_mode()
    def of_context(
        self, schedule: CategoricalSchedule, t: int, survival: float, level: int
    ) -> Witnesses:
        """Return the pixels of marked drawings, noised to time ``t``; other drawings each level."""
        marked = self.masks.flatten(2).any(2).cpu().numpy()
        image, drawing = np.nonzero(marked & (self.drawn_by < self.network.config.experts))
        chosen = _spread(len(image), _MOST_LATER if level else _MOST_FIRST, level)
        image, drawing = image[chosen], drawing[chosen]
        random = np.random.Generator(np.random.Philox(key=[_NOISE_SEED, level]))
        parts = []
        for first in range(0, len(image), _CHUNK):
            rows = image[first : first + _CHUNK], drawing[first : first + _CHUNK]
            mask = self.masks[self._index(rows[0]), self._index(rows[1])]
            uniform = torch.from_numpy(random.random(tuple(mask.shape), dtype=np.float32))
            x = 2.0 * q_sample(mask.long(), t, schedule, uniform.to(mask.device)) - 1
            a = torch.full((len(mask),), survival, device=mask.device)
            code = self.network.codes[torch.from_numpy(self.drawn_by[rows])]
            belief = self.network.step(self.features.rows(self._index(rows[0])), x, a, code)
            parts.append((_numbers(belief.context), _numbers(belief.own), _numbers(mask) > 0))
        pixels = self.masks.shape[-1] * self.masks.shape[-2]
        none = (np.empty(0), np.empty(0), np.empty(0, bool))
        logit, evidence, wanted = map(np.concatenate, zip(none, *parts, strict=True))
        return Witnesses(logit, evidence, wanted, np.repeat(self.patient[image], pixels))

    def _index(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(rows).to(self.masks.device)


def _spread(count: int, most: int, level: int) -> np.ndarray:
    """Return at most ``most`` of ``count`` numbers, evenly spread, others at each level."""
    if count <= most:
        return np.arange(count)
    shift = level / _LEVELS
    return np.unique(((np.arange(most) + shift) * count / most).astype(int))


def _numbers(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy().ravel()
