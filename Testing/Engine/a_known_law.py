"""Experts whose law over five masks is known."""

import numpy as np

from diffoseg.evaluation.evaluate import (
    TruthSlice,
)

EXPERTS = ("Ada", "Ben")


# Each mask is one column of four, or empty: two masks are 0 apart if equal, else 1, so the energy
# distance of two laws is the sum of the squared differences of their probabilities.
MASKS = np.zeros((5, 6, 4), bool)
for _column in range(4):
    MASKS[_column, :, _column] = True


LAWS = {"Ada": np.array([0.6, 0.4, 0, 0, 0]), "Ben": np.array([0, 0.3, 0.5, 0, 0.2])}


class Sampler:
    """Draws from a law over MASKS for each expert."""

    def __init__(self, laws):
        mixture = sum(laws.values()) / len(laws)
        self.laws = {**laws, "consensus": mixture}

    def samples(self, image, expert, n, seed):
        return MASKS[np.random.default_rng(seed).choice(5, n, p=self.laws[expert])]

    def probability(self, image, expert):
        return np.tensordot(self.laws[expert], MASKS, 1)


def truth_slices(count, draws=8, laws=LAWS, patients=None):
    random = np.random.default_rng(7)
    return [
        TruthSlice(
            patient=f"p{index if patients is None else index % patients}",
            image=np.zeros((1, 6, 4), np.float32),
            draws=np.stack([MASKS[random.choice(5, draws, p=law)] for law in laws.values()]),
            experts=tuple(laws),
        )
        for index in range(count)
    ]
