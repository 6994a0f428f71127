"""How like an expert's drawings the samples are, not only the one most probable mask.

GED_U between whole drawings: 0 where the law is the expert's own, on average. A few samples of a
few phantoms are enough for a mean over experts; each single value is noise.
"""

import numpy as np
from bench_expert_cohort import Cohort, unpacked
from bench_expert_rows import Key, Record

from diffoseg.evaluation.metrics import generalized_energy_distance
from diffoseg.evaluation.phantoms import ModelPredictor
from diffoseg.experts.panel import CONSENSUS
from diffoseg.model.model import Model

SAMPLES, CASES = 6, 8


def energy(base: Model, cohort: Cohort, key: Key, taught: Model) -> Record:
    """Return mean GED_U of an expert's test drawings with what three methods draw.

    "ged" of the taught expert, "ged_consensus" of the base's consensus, and "ged_same" of other
    drawings by the expert: what a perfect sampler would score here.
    """
    name = cohort.styles[key.expert].name
    consensus, expert = ModelPredictor(base), ModelPredictor(taught)
    found = []
    for number, phantom in enumerate(cohort.tests[:CASES]):
        shape = phantom.images[:, 0].shape
        drawings = unpacked(cohort.truth(key.expert).drawings[number], shape)
        kept, others = drawings[: len(drawings) // 2], drawings[len(drawings) // 2 :]
        samples = (
            expert.volumes(phantom.images, name, SAMPLES, number),
            consensus.volumes(phantom.images, CONSENSUS, SAMPLES, number),
        )
        found.append(
            [
                *(generalized_energy_distance(drawings, drawn) for drawn in samples),
                generalized_energy_distance(kept, others),
            ]
        )
    means = np.mean(found, axis=0)
    return {"ged": float(means[0]), "ged_consensus": float(means[1]), "ged_same": float(means[2])}
