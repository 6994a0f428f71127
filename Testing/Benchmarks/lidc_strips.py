"""Slices of LIDC-IDRI's nodules, cut out of the scans, as what a model learns from or is judged on.

The folder holds nodules.csv, slices.csv, strips.zip and volumes.zip. Nothing of it may enter the
repository. LIDC-IDRI: CC BY 3.0, doi 10.7937/K9/TCIA.2015.LO9QL9SX; cropped, 8 bit, rasterised.

A nodule has four drawings, of whom nobody is the same person in another patient; a reader who did
not mark it has drawn nothing. Without a name of their own they are put in the order of their
volumes, ties by chance: the tightest of four to the widest.
"""

import csv
import io
import zipfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from diffoseg.cohorts.order_statistics import OF_FOUR, order_by_volume
from diffoseg.space.intensity import IntensityMapping
from diffoseg.training.slices import SliceSet

READERS = len(OF_FOUR)
SPACING_MM = 0.7
WIDTH = 112  # pixels of SPACING_MM about the nodule, so that windows of 64 can be shifted by 24
PERSONAL = 3  # nodules that a person drew in one scan, from which on a style can be told
INTENSITY = IntensityMapping("window", -1000.0, 400.0)

_END_SLICES = 2  # beyond a nodule on either side, where its volume shows them
_LEAST_SIDE_MM = 22.0  # of bare surroundings that are worth learning from
_SMALLEST_CROP = 24  # pixels
# Where the grey scale is estimated it is off by about this much; see the folder's own notes.
_OFFSET_HU, _SCALE = 25.0, 0.03


@dataclass(frozen=True)
class Nodule:
    """One nodule as its strip holds it.

    Attributes:
        name, patient: as in nodules.csv.
        spacing_mm, slice_mm: of the pixels, and from slice to slice.
        hu: (S, h, w) float32.
        exact: (S,) bool, whether the grey scale is the scan's own.
        drawings: (READERS, S, h, w) bool, the smallest volume first.
        persons: who made each of the drawings, within this scan alone; "" where nobody can tell.
    """

    name: str
    patient: str
    spacing_mm: float
    slice_mm: float
    hu: np.ndarray
    exact: np.ndarray
    drawings: np.ndarray
    persons: tuple[str, ...]


def nodules(folder: Path, folds: Collection[int]) -> Iterator[Nodule]:
    """Yield the nodules of some folds."""
    grey = defaultdict(list)
    for row in rows_of(folder / "slices.csv"):
        grey[row["nodule"]].append(row)
    with zipfile.ZipFile(folder / "strips.zip") as strips:
        for row in rows_of(folder / "nodules.csv"):
            if int(row["fold"]) not in folds:
                continue
            name, edge = row["nodule"], int(row["size"])
            values, bits = (
                np.asarray(Image.open(io.BytesIO(strips.read(f"{name}.{part}.png"))))
                for part in ("image", "masks")
            )
            low, step, exact = (
                np.array([float(line[key]) for line in grey[name]])[:, None, None]
                for key in ("hu_at_0", "hu_per_step", "hu_exact")
            )
            hu = low + step * values.reshape(-1, edge, edge)
            drawings = _drawings(bits.reshape(-1, edge, edge))
            order = order_by_volume(drawings, name)
            persons = _persons(row)
            yield Nodule(
                name,
                row["patient"],
                float(row["pixel_spacing_mm"]),
                abs(float(row["slice_spacing_mm"])),  # one nodule is listed from its top
                hu.astype(np.float32),
                exact[:, 0, 0] > 0,
                drawings[order],
                tuple(persons[reader] for reader in order),
            )


def slices_of_strips(
    folder: Path, folds: Collection[int], seed: int, *, surroundings: float = 0.5
) -> SliceSet:
    """Return slices to learn from: marked ones, the ends beyond them, and bare surroundings.

    Each drawing is there twice: by the name of its law and by that of the person who made it, if
    that person drew PERSONAL nodules of the scan or more; else again by the name of its law.

    Args:
        folder: with the strips.
        folds: of patients.
        seed: of the uncertainty of estimated grey scales, and of surroundings.
        surroundings: of how many nodules a part of a slice beside it is taken, in 0..1.
    """
    random = np.random.default_rng(seed)
    drew = Counter(
        person
        for row in rows_of(folder / "nodules.csv")
        if int(row["fold"]) in folds
        for person in _persons(row)
    )
    persons = sorted(name for name, count in drew.items() if name and count >= PERSONAL)
    found = _Found((*OF_FOUR.names, *persons))
    for nodule in nodules(folder, folds):
        images = on_model_grid(nodule.hu, nodule.spacing_mm)
        masks = on_model_grid(nodule.drawings, nodule.spacing_mm) > 0.5
        masks &= _within(nodule.hu.shape[1:], nodule.spacing_mm)
        for row, image in enumerate(images):
            found.add(_unsure(image, nodule.exact[row], random), masks[:, row], nodule)
        if random.random() < surroundings and (bare := _bare(nodule, random)) is not None:
            found.add(bare, np.zeros((READERS, WIDTH, WIDTH), bool), nodule)
        for image in _ends(folder, nodule.name):
            found.add(image, np.zeros((READERS, WIDTH, WIDTH), bool), nodule)
    return found.slices()


def on_model_grid(stack: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return (..., h, w) at SPACING_MM about the same middle, (..., WIDTH, WIDTH) float32, linear.

    Beyond its edges a stack is mirrored.
    """
    (r, down), (c, right) = (_taps(length, spacing_mm) for length in stack.shape[-2:])
    stack = stack.astype(np.float32)
    rows = stack[..., r, :] * (1 - down)[:, None] + stack[..., r + 1, :] * down[:, None]
    return rows[..., c] * (1 - right) + rows[..., c + 1] * right


class _Found:
    """Slices as they come."""

    def __init__(self, experts: tuple[str, ...]) -> None:
        self.experts = experts
        self.place = {name: row for row, name in enumerate(experts)}
        self.images: list[np.ndarray] = []
        self.masks: list[np.ndarray] = []
        self.of: list[Nodule] = []
        self.drawn_by: list[list[int]] = []

    def add(self, hu: np.ndarray, masks: np.ndarray, nodule: Nodule) -> None:
        self.images.append(INTENSITY.apply(hu).astype(np.float32))
        self.masks.append(np.concatenate([masks, masks]).astype(np.uint8))
        self.of.append(nodule)
        again = [self.place.get(person, law) for law, person in enumerate(nodule.persons)]
        self.drawn_by.append([*range(READERS), *again])

    def slices(self) -> SliceSet:
        count = len(self.images)
        return SliceSet(
            images=np.stack(self.images)[:, None],
            masks=np.stack(self.masks),
            drawn_by=np.array(self.drawn_by),
            patients=tuple(nodule.patient for nodule in self.of),
            experts=self.experts,
            positions=np.arange(count),
            cases=tuple(nodule.name for nodule in self.of),
        )


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _persons(row: dict[str, str]) -> list[str]:
    """Return who made each mask of a nodule: a session of its scan, or "" where it is not known."""
    sessions = [row.get(f"session_{mask}", "") for mask in range(READERS)]
    scan = row["series_uid"]
    return ["" if session in ("", "0") else f"session {session} of {scan}" for session in sessions]


def _drawings(bits: np.ndarray) -> np.ndarray:
    return np.stack([bits >> reader & 1 for reader in range(READERS)]) > 0


def _taps(length: int, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the sample below each of WIDTH positions, mirrored, and how far each lies beyond."""
    place = np.abs(_offsets(spacing_mm) + (length - 1) / 2) % (2 * (length - 1))
    place = np.minimum(place, 2 * (length - 1) - place)
    below = np.floor(place).astype(int).clip(0, length - 2)
    return below, (place - below).astype(np.float32)


def _offsets(spacing_mm: float) -> np.ndarray:
    return (np.arange(WIDTH) - (WIDTH - 1) / 2) * SPACING_MM / spacing_mm


def _within(shape: tuple[int, ...], spacing_mm: float) -> np.ndarray:
    """Return which pixels of the window lie in the crop itself, bool (WIDTH, WIDTH)."""
    rows, columns = (np.abs(_offsets(spacing_mm)) <= (length - 1) / 2 for length in shape)
    return rows[:, None] & columns


def _unsure(hu: np.ndarray, exact: bool, random: np.random.Generator) -> np.ndarray:
    """Return an image whose grey scale is as unsure as it is known to be."""
    if exact:
        return hu
    return hu + random.normal(0, _OFFSET_HU) + random.normal(0, _SCALE) * (hu + 1000)


def _bare(nodule: Nodule, random: np.random.Generator) -> np.ndarray | None:
    """Return the widest part of a slice beside the nodule, mirrored to a window; None if narrow."""
    row = int(random.integers(len(nodule.hu)))
    places = np.argwhere(nodule.drawings[:, row].any(0))
    if not len(places):
        return None
    (top, left), (bottom, right) = places.min(0), places.max(0)
    hu = nodule.hu[row]
    sides = [hu[:top], hu[bottom + 1 :], hu[:, :left], hu[:, right + 1 :]]
    part = max(sides, key=lambda side: min(side.shape))
    edge = min(part.shape) - 2  # a pixel of what readers leave at the border
    if edge * nodule.spacing_mm < _LEAST_SIDE_MM:
        return None
    top, left = (int(random.integers(length - edge + 1)) for length in part.shape)
    turned = np.rot90(part[top : top + edge, left : left + edge], int(random.integers(4)))
    return on_model_grid(turned, nodule.spacing_mm)


def _ends(folder: Path, name: str) -> Iterator[np.ndarray]:
    """Yield the unmarked slices next to a nodule, where there is a volume of it."""
    with zipfile.ZipFile(folder / "volumes.zip") as volumes:
        if f"{name}.npz" not in volumes.NameToInfo:
            return
        volume = np.load(io.BytesIO(volumes.read(f"{name}.npz")))
    marked = np.flatnonzero(volume["masks"].any((1, 2)))
    if not len(marked) or min(volume["hu"].shape[1:]) < _SMALLEST_CROP:
        return
    for row in set(range(marked[0] - _END_SLICES, marked[-1] + _END_SLICES + 1)) - {*marked}:
        if 0 <= row < len(volume["hu"]):
            yield on_model_grid(volume["hu"][row], float(volume["spacing_mm"][1]))
