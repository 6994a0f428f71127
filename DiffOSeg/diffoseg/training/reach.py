"""How far a border that an expert draws moves as one piece, in pixels of the model's grid.

Neighbouring pixels of a mask are not independent given what the network believes of each. The reach
says how alike they are when a belief is drawn (``noise.NoiseField.smooth``). It is fitted on first
beliefs alone, by the energy score of what is drawn from them against what was drawn (Gneiting and
Raftery 2007), with 1 - IoU as the distance: the expectation of half of GED, and least on average
for the law that is nearest to the experts' own.
"""

import numpy as np
import torch

from ..comparison.overlap import overlap
from ..diffusion.noise import NoiseField

REACHES = (4.0, 6.0, 8.0, 11.0, 16.0)

LEAST_PATIENTS = 8
"""Of fewer the scatter is not known well enough to trust anything that is fitted on them."""

_DRAWS = 8
_SURE = 2.0  # standard errors by which a reach has to be better than none
_SEED = 0x5EAC


def fitted_reach(
    beliefs: np.ndarray, masks: np.ndarray, patient: np.ndarray
) -> tuple[float, dict[str, float]]:
    """Return the reach of the least energy score, and the score of every reach that was tried.

    Args:
        beliefs: probability of each pixel before any step, float32 (n, h, w).
        masks: what was drawn there, bool (n, h, w).
        patient: whose each is, int (n,).

    0, each pixel by itself, where there are few patients or none is surely better.
    """
    patients = np.unique(patient)
    if len(patients) < LEAST_PATIENTS:
        return 0.0, {}
    pairs = list(zip(beliefs, masks, strict=True))
    scores = {
        reach: np.array([_score(*pair, number, reach) for number, pair in enumerate(pairs)])
        for reach in (0.0, *REACHES)
    }
    best = min(scores, key=lambda reach: float(scores[reach].mean()))
    gain = scores[0.0] - scores[best]
    gains = np.array([gain[patient == one].mean() for one in patients])
    sure = gains.mean() > _SURE * gains.std(ddof=1) / len(gains) ** 0.5
    told = {f"{reach:g}": float(score.mean()) for reach, score in scores.items()}
    return (best if sure else 0.0), told


def _score(belief: np.ndarray, mask: np.ndarray, number: int, reach: float) -> float:
    """Return the unbiased energy score of a few draws from one belief."""
    noise = NoiseField(_SEED, "calibration", (0, 0), (mask.shape[0], mask.shape[1]))
    rows = [(number * _DRAWS + draw, 0) for draw in range(_DRAWS)]
    uniform = noise.smooth(rows, 0, reach) if reach else noise.draw(rows, 0)
    drawn = (uniform < torch.from_numpy(belief)).numpy()
    distance = 1 - overlap(drawn, np.concatenate([mask[None], drawn])).iou(1.0)
    return float(distance[:, 0].mean() - distance[:, 1:].sum() / (_DRAWS * (_DRAWS - 1)) / 2)
