"""Measure how a phantom cohort's readers disagree, beside LIDC-IDRI's radiologists.

python Testing/Benchmarks/phantom_table.py [--kind KIND] [--cases N] [--seed N] [--strips FOLDER]

Prints a Markdown table: every figure of LIDC-IDRI, the phantom's, and whether it is within a fifth.
As in LIDC-IDRI only nodules that somebody marked count. With --strips the same code measures the
nodules of LIDC-IDRI's own strips instead, which shows that both columns mean the same. Nothing is
written.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from lidc_strips import READERS, nodules, rows_of
from scipy.ndimage import distance_transform_edt

from diffoseg.cohorts.kinds import KINDS, NODULES
from diffoseg.cohorts.phantom import PhantomCohort

FIFTH = 0.2
DEEP_MM = 2.0
_MARGIN_MM = (8.0, 16.0)

LIDC: dict[str, tuple[float, ...]] = {
    "nodules marked by 1 / 2 / 3 / 4, %": (29, 19, 18, 34),
    "slices marked by 1 / 2 / 3 / 4, %": (31, 18, 18, 33),
    "sphere diameter, mm, 10 / 50 / 90 %": (3.8, 5.6, 13.1),
    "1 - IoU of a slice, all pairs / present": (0.517, 0.336),
    "Dice of present pairs, slice / 3-D": (0.782, 0.760),
    "volume, largest / smallest of four, median": (1.57,),
    "mean surface distance / HD95, 3-D, mm": (0.50, 1.67),
    f"pairs that cross deeper than {DEEP_MM:g} mm, %": (4.7,),
    "level-set gate, slice, one reader left out": (0.0016,),
    "first or last slice differs by, mm": (0.76,),
    "1 - IoU by margin, poor / sharp (8-16 mm)": (0.345, 0.223),
}
"""As measured on all 2,637 nodules of LIDC-IDRI."""


@dataclass(frozen=True)
class Lesion:
    """A nodule as four readers drew it: masks (READERS, K, H, W) bool, spacing mm (z, y, x)."""

    masks: np.ndarray
    spacing: tuple[float, float, float]
    margin: str


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, default=NODULES)
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--strips", type=Path, help="measure LIDC-IDRI's own strips instead")
    arguments = parser.parse_args()
    if arguments.strips:
        lesions, title = lesions_of_strips(arguments.strips), "LIDC-IDRI's strips"
    else:
        cohort = PhantomCohort(seed=arguments.seed, cases=arguments.cases, kind=arguments.kind)
        lesions, title = lesions_of_phantoms(cohort), arguments.kind
    found = table(lesions)
    print(f"| | LIDC-IDRI | {title} | within a fifth |\n|---|--:|--:|---|")
    for name, values in found.items():
        print(f"| {name} | {_text(LIDC[name])} | {_text(values)} | {verdict(values, LIDC[name])} |")
    return 0


def lesions_of_phantoms(cohort: PhantomCohort) -> Iterator[Lesion]:
    """Yield a cohort's nodules; those that nobody marked, too."""
    for case in cohort:
        masks = np.stack(list(case.masks.values()))
        yield Lesion(masks, cohort.spacing[::-1], case.tags.get("margin", ""))


def lesions_of_strips(folder: Path) -> Iterator[Lesion]:
    """Yield LIDC-IDRI's nodules."""
    rows = {row["nodule"]: row for row in rows_of(folder / "nodules.csv")}
    for nodule in nodules(folder, range(10)):
        row = rows[nodule.name]
        spacing = (float(row["slice_spacing_mm"]), nodule.spacing_mm, nodule.spacing_mm)
        rating = float(row["mean_margin"])
        margin = "poor" if rating <= 2.5 else "sharp" if rating >= 4.5 else ""
        yield Lesion(nodule.drawings, spacing, margin)


def table(lesions: Iterable[Lesion]) -> dict[str, tuple[float, ...]]:
    """Return the rows of LIDC, measured alike; lesions that nobody marked are left out."""
    found = [_Measured.of(lesion) for lesion in lesions if lesion.masks.any()]
    slices, pairs = np.concatenate([each.slice_counts for each in found]), _joined(found, "pairs")
    volumes = _joined(found, "four")
    diameters = np.array([each.diameter for each in found])
    margin = [
        np.concatenate([each.present for each in found if each.margin == word] or [np.array([])])
        for word in ("poor", "sharp")
    ]
    values = (
        _shares([each.readers for each in found]),
        _shares(slices),
        np.quantile(diameters, (0.1, 0.5, 0.9)),
        (_mean(_joined(found, "all_pairs")), _mean(_joined(found, "present"))),
        (_mean(_joined(found, "dice")), _mean(pairs[:, 0])),
        (np.median(volumes) if len(volumes) else np.nan,),
        (_mean(pairs[:, 1]), _mean(pairs[:, 2])),
        (100 * _mean(_joined(found, "crossing")),),
        (_mean(_joined(found, "gates")),),
        (_mean(pairs[:, 3]),),
        tuple(map(_mean, margin)),
    )
    return {name: tuple(map(float, each)) for name, each in zip(LIDC, values, strict=True)}


def verdict(values: tuple[float, ...], wanted: tuple[float, ...]) -> str:
    """Return yes, no, or which of several values are not within a fifth."""
    if np.isnan(values).any():
        return "-"
    off = [str(n) for n, close in enumerate(within(values, wanted), 1) if not close]
    return "yes" if not off else "no" if len(off) == len(values) else f"not value {', '.join(off)}"


def within(values: tuple[float, ...], wanted: tuple[float, ...]) -> list[bool]:
    """Return which values are within a fifth of what is wanted."""
    return [abs(v - w) <= FIFTH * abs(w) + 1e-9 for v, w in zip(values, wanted, strict=True)]


@dataclass(frozen=True)
class _Measured:
    """One nodule.

    Attributes:
        readers: who marked it.
        slice_counts: readers of each slice that somebody marked.
        diameter: of the sphere of the mean volume, mm.
        all_pairs, present, dice: 1 - IoU of slices, of both present, and their Dice.
        four: largest over smallest volume, one number where all four marked, else none.
        pairs: (P, 4) of present pairs: 3-D Dice, mean surface distance, HD95, by how much an end
            differs.
        crossing: whether each pair present on a slice crosses deeply.
        gates: what thresholding costs, of each slice that all marked.
        margin: "poor", "sharp" or neither, of a nodule of _MARGIN_MM.
    """

    readers: int
    slice_counts: np.ndarray
    diameter: float
    all_pairs: np.ndarray
    present: np.ndarray
    dice: np.ndarray
    four: np.ndarray
    pairs: np.ndarray
    crossing: np.ndarray
    gates: np.ndarray
    margin: str

    @classmethod
    def of(cls, lesion: Lesion) -> "_Measured":
        masks = _cropped(lesion.masks)
        marked = masks[masks.any((1, 2, 3))]
        volumes = marked.sum((1, 2, 3)) * float(np.prod(lesion.spacing))
        diameter = float(np.cbrt(6 * volumes.mean() / np.pi))
        distances, both, dice = _slice_pairs(masks)
        pairs = [_pair(a, b, lesion.spacing) for a, b in combinations(marked, 2)]
        four = volumes.max() / volumes.min() if len(volumes) == READERS else None
        right_size = _MARGIN_MM[0] <= diameter <= _MARGIN_MM[1]
        return cls(
            readers=len(marked),
            slice_counts=(n := masks.any((2, 3)).sum(0))[n > 0],
            diameter=diameter,
            all_pairs=distances,
            present=distances[both],
            dice=dice[both],
            four=np.array([four] if four is not None else []),
            pairs=np.array(pairs).reshape(-1, 4),
            crossing=_crossings(masks, lesion.spacing),
            gates=_gates(masks),
            margin=lesion.margin if right_size else "",
        )


def _joined(found: list[_Measured], name: str) -> np.ndarray:
    return np.concatenate([getattr(each, name) for each in found])


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _shares(counts: Iterable[int]) -> tuple[float, ...]:
    counts = np.asarray(list(counts))
    return tuple(100 * float((counts == n).mean()) for n in range(1, READERS + 1))


def _text(values: tuple[float, ...]) -> str:
    if np.isnan(values).any():
        return "-"
    digits = 4 if max(values) < 0.05 else 3 if max(values) < 0.9 else 2 if max(values) < 3 else 1
    return " / ".join(f"{value:.{digits}f}" for value in values)


def _cropped(masks: np.ndarray) -> np.ndarray:
    """Return the box of what anybody drew, and a voxel more."""
    used = masks.any(0)
    box = []
    for axis in range(3):
        at = np.flatnonzero(used.any(tuple({0, 1, 2} - {axis})))
        box.append(slice(at[0], at[-1] + 1))
    return np.pad(masks[:, *box], [(0, 0), (1, 1), (1, 1), (1, 1)])


def _slice_pairs(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return 1 - IoU, whether both are present, and Dice of all pairs on slices somebody marked."""
    one, other = np.triu_indices(len(masks), 1)
    a, b = masks[one], masks[other]
    both, either = (a & b).sum((2, 3)), (a | b).sum((2, 3))
    here = masks.any((0, 2, 3))[None] & np.ones_like(both, bool)
    present = a.any((2, 3)) & b.any((2, 3))
    iou = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return (1 - iou)[here], present[here], (2 * iou / (1 + iou))[here]


def _pair(a: np.ndarray, b: np.ndarray, spacing: tuple[float, float, float]) -> list[float]:
    """Return (3-D Dice, mean surface distance, HD95, difference of an end)."""
    dice = 2 * (a & b).sum() / (a.sum() + b.sum())
    edges = [_surface(each) for each in (a, b)]
    to_edge = [distance_transform_edt(~edge, spacing) for edge in edges]
    there, back = to_edge[1][edges[0]], to_edge[0][edges[1]]
    both = np.concatenate([there, back])
    ends = [np.flatnonzero(each.any((1, 2)))[[0, -1]] for each in (a, b)]
    apart = float(np.abs(ends[0] - ends[1]).mean()) * spacing[0]
    hd95 = max(float(np.quantile(there, 0.95)), float(np.quantile(back, 0.95)))
    return [float(dice), float(both.mean()), hd95, apart]


def _crossings(masks: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Return for pairs present on a slice whether each has a point further than DEEP_MM outside."""
    found = []
    for drawn in masks.transpose(1, 0, 2, 3):
        present = [mask for mask in drawn if mask.any()]
        away = [distance_transform_edt(~mask, spacing[1:]) for mask in present]
        for i, j in combinations(range(len(present)), 2):
            beyond = (away[j][present[i]].max(), away[i][present[j]].max())
            found.append(min(beyond) > DEEP_MM)
    return np.array(found, bool)


def _surface(mask: np.ndarray) -> np.ndarray:
    """Return the voxels of a mask with a face to the outside."""
    inner = mask.copy()
    for axis in range(3):
        inner &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    return mask & ~inner


def _gates(masks: np.ndarray) -> np.ndarray:
    """Return for slices that all marked how much worse level sets do than the others' drawings."""
    drawn = masks.transpose(1, 0, 2, 3)
    return np.array([_left_out(each) for each in drawn if each.any((1, 2)).all()])


def _left_out(drawn: np.ndarray) -> float:
    """Return the excess of the energy distance of level sets, each of (n, H, W) left out in turn.

    The others' level sets, and the others' own drawings, are compared with the one left out: twice
    the mean distance to it, less the mean distance between two different ones of their own.
    """
    flat = drawn.reshape(len(drawn), -1)
    excess = []
    for left_out in range(len(flat)):
        truth, others = flat[left_out : left_out + 1], np.delete(flat, left_out, 0)
        levels = np.sort(others, axis=0)
        excess.append(_energy(levels, truth) - _energy(others, truth))
    return float(np.mean(excess))


def _energy(masks: np.ndarray, truth: np.ndarray) -> float:
    count = len(masks)
    among = _distances(masks, masks).sum() / (count * (count - 1))
    return 2 * float(_distances(masks, truth).mean()) - float(among)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    shared = a.astype(np.float32) @ b.astype(np.float32).T
    union = a.sum(1)[:, None] + b.sum(1) - shared
    return np.where(union > 0, 1 - shared / np.maximum(union, 1), 0.0)


if __name__ == "__main__":
    sys.exit(main())
