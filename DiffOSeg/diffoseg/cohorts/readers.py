"""Simulated readers who disagree as radiologists do: whether to mark a nodule, and how large.

They are of the same kind as the experts of simulated.py and act by the same law, but seldom choose
between parts: their drawings are nearly nested. How often each marks and how wide each draws is set
so that four of them disagree as much as four readers of LIDC-IDRI (Docs/benchmarks.md).

Simulated people: they tell nothing about how real experts read, and are never clinical evidence.
"""

import numpy as np

from .simulated import Style

_TRAITS = 4


def reader(name: str, description: str, traits: np.ndarray) -> Style:
    """Return the reader at a point of the population, whose every trait is N(0, 1).

    Args:
        name: the expert's name.
        description: one plain line.
        traits: (4,) tightness, vigilance, unsteadiness, smoothness.
    """
    tight, vigilant, unsteady, smooth = traits
    return Style(
        name,
        description,
        threshold=float(np.clip(0.5 + 0.042 * tight, 0.3, 0.7)),
        lobes=(0.04, 0.04, 0.92),
        vessel=0.04,
        focus=0.1,
        polygon=0.05,
        smoothing=float(0.4 * np.exp(0.2 * smooth)),
        detection=float(-0.72 + 0.25 * vigilant),
        wobble=float(0.56 * np.exp(0.2 * unsteady)),
        drift=float(0.038 * np.exp(0.2 * unsteady)),
    )


def reader_population(seed: int, n: int) -> tuple[Style, ...]:
    """Return ``n`` unseen readers, "Unseen 1".., whose traits are independent N(0, 1)."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x4EAD])))
    return tuple(
        reader(f"Unseen {number}", "a simulated reader of the population", traits)
        for number, traits in enumerate(rng.standard_normal((n, _TRAITS)), 1)
    )


READERS = tuple(
    reader(name, description, np.array(traits))
    for name, description, traits in (
        (
            "Expert 1",
            "tight: marks most nodules, close to what is solid",
            (1.2, 0.3, -0.5, 0.5),
        ),
        (
            "Expert 2",
            "generous: marks nearly every nodule, out to its faint edge",
            (-1.2, 1.0, 0.0, 0.0),
        ),
        (
            "Expert 3",
            "moderate: marks most nodules, halfway up the edge",
            (0.0, 0.0, 0.0, -0.5),
        ),
        (
            "Expert 4",
            "reserved: passes over what is small or faint, with a restless contour",
            (0.2, -1.2, 1.0, -1.0),
        ),
    )
)
"""The named four."""
