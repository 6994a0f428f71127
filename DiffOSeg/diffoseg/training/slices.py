"""Training data as slices on the model's grid, split by patient, drawn by counter.

Every random choice of a batch is keyed by (seed, iteration). A run that was killed therefore goes
on with exactly the batches it would have seen: the iteration number is the whole random state.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..cohorts.case import Case
from ..errors import InputError
from ..space.intensity import IntensityMapping
from ..space.model_grid import GridWindow, ModelGrid
from .windows import around_lesions

EMPTY_SHARE = 0.4
"""Share of kept slices that no expert marked, so that a network learns to leave a slice empty.

Keeping few of them would teach that faint slices are marked more often than they are: of two alike,
the one that somebody marked is always kept.
"""

_NEAR = 0.25  # of the room there is, by how much a field of view about its subject is shifted
_MOST_WINDOWS = 64  # of one case without a region


@dataclass(frozen=True)
class SliceSet:
    """Slices of many cases, all on one in-plane grid.

    Attributes:
        images: (N, C, h, w) float32, intensity-mapped.
        masks: (N, M, h, w) uint8, class of each pixel in each of M drawings of the slice.
        drawn_by: (N, M) int, the place in ``experts`` of who made each drawing.
        patients: N names; the unit of every split.
        experts: names of all who drew.
        positions: (N,) int, the slice's index in its case.
        cases: N names of the cases.
    """

    images: np.ndarray
    masks: np.ndarray
    drawn_by: np.ndarray
    patients: tuple[str, ...]
    experts: tuple[str, ...]
    positions: np.ndarray
    cases: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def joined(cls, parts: Sequence["SliceSet"]) -> "SliceSet":
        """Return the slices of one part or more, whose masks are as many and as large."""
        experts = tuple(dict.fromkeys(name for part in parts for name in part.experts))
        place = {name: row for row, name in enumerate(experts)}
        drawn_by = [
            np.array([place[name] for name in part.experts])[part.drawn_by] for part in parts
        ]
        return cls(
            images=np.concatenate([part.images for part in parts]),
            masks=np.concatenate([part.masks for part in parts]),
            drawn_by=np.concatenate(drawn_by),
            patients=sum((part.patients for part in parts), ()),
            experts=experts,
            positions=np.concatenate([part.positions for part in parts]),
            cases=sum((part.cases for part in parts), ()),
        )

    def of_the_same_experts(self) -> "SliceSet":
        """Return these slices, once it is sure that column m of the masks is expert m throughout.

        Raises InputError when other experts drew other cases.
        """
        if self.masks.shape[1] == len(self.experts):
            return self
        raise InputError(
            f"{len(self.experts)} experts drew these cases, but only {self.masks.shape[1]} of them"
            " drew each. Here every case needs the same experts; train the fast network on such"
            " cases, or leave the others out."
        )

    def fingerprint(self) -> str:
        """Return the SHA-256, in hexadecimal, of images, drawings, patients and experts."""
        digest = hashlib.sha256(repr((self.patients, self.experts)).encode())
        for array in (self.images, self.masks, self.drawn_by):
            digest.update(repr((array.shape, str(array.dtype))).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def take(self, rows: Sequence[int] | np.ndarray) -> "SliceSet":
        """Return the slices at ``rows``, in that order."""
        rows = np.asarray(rows, dtype=int)
        return SliceSet(
            images=self.images[rows],
            masks=self.masks[rows],
            drawn_by=self.drawn_by[rows],
            patients=tuple(self.patients[row] for row in rows),
            experts=self.experts,
            positions=self.positions[rows],
            cases=tuple(self.cases[row] for row in rows),
        )

    def drawn_by_first(self, count: int) -> "SliceSet":
        """Return the slices with the drawings of the first ``count`` experts alone.

        They are to be the same columns of the masks throughout.
        """
        columns = np.flatnonzero((self.drawn_by < count).all(0))
        return replace(
            self,
            masks=self.masks[:, columns],
            drawn_by=self.drawn_by[:, columns],
            experts=self.experts[:count],
        )

    def without_strangers(self, count: int) -> "SliceSet":
        """Return the slices with the first ``count`` experts and those others who drew any."""
        known = np.union1d(np.arange(count), np.unique(self.drawn_by))
        experts = tuple(self.experts[place] for place in known)
        return replace(self, experts=experts, drawn_by=np.searchsorted(known, self.drawn_by))

    def split(self, validation_share: float, seed: int) -> tuple["SliceSet", "SliceSet"]:
        """Return (training, validation) slices; no patient is in both.

        Raises InputError when there are fewer than two patients.
        """
        names = sorted(set(self.patients))
        if len(names) < 2:
            raise InputError("Training needs cases of at least two patients; add another patient.")
        order = np.random.Generator(np.random.Philox(key=[seed, 1])).permutation(len(names))
        count = min(max(1, round(validation_share * len(names))), len(names) - 1)
        held_out = {names[index] for index in order[:count]}
        inside = np.array([patient in held_out for patient in self.patients])
        return self.take(np.flatnonzero(~inside)), self.take(np.flatnonzero(inside))


def slices_of(
    cohort: Iterable[Case], *, spacing_mm: float, intensity: IntensityMapping, edge: int
) -> SliceSet:
    """Cut every case into square slices of ``edge`` pixels around its region's centre.

    A case without a region is cut around each lesion, unless its slices are no larger than that.
    Keeps each slice that any expert marked, and as many unmarked ones as EMPTY_SHARE asks for,
    nearest to the marked ones first. Raises InputError when the number of experts differs between
    cases; who they are may.
    """
    parts: list[SliceSet] = []
    for case in cohort:
        part = _slices_of_case(case, spacing_mm, intensity, edge)
        if parts and len(part.experts) != len(parts[0].experts):
            raise InputError(
                f"Case {case.name} has the experts {', '.join(part.experts)}; the cases before"
                f" have {', '.join(parts[0].experts)}. Every case needs as many experts."
            )
        parts.append(part)
    if not parts:
        raise InputError("The cohort holds no case; give a folder with at least two.")
    return SliceSet.joined(parts)


def centred_window(grid: ModelGrid, case: Case, edge: int) -> GridWindow:
    """Return a window of all of the region's slices, ``edge`` pixels square about its centre."""
    window = grid.window_of(case.region)
    top, left = (window.start[axis] + (window.size[axis] - edge) // 2 for axis in (1, 2))
    return GridWindow((window.start[0], top, left), (window.size[0], edge, edge))


def _slices_of_case(
    case: Case, spacing_mm: float, intensity: IntensityMapping, edge: int
) -> SliceSet:
    grid = ModelGrid.fit(case.volume.geometry, spacing_mm)
    mapping = intensity.resolve(case.volume.array)
    windows = _windows(grid, case, edge)
    return SliceSet.joined([_slices_in(window, grid, case, mapping) for window in windows])


def _windows(grid: ModelGrid, case: Case, edge: int) -> list[GridWindow]:
    """Return where to look in a case: at its region, else at all of it or around each lesion."""
    if case.region is None and max(grid.shape[1:]) > edge:
        marked = np.logical_or.reduce(list(case.masks.values()))
        if lesions := around_lesions(grid, marked, edge, _MOST_WINDOWS):
            return lesions
    return [centred_window(grid, case, edge)]


def _slices_in(
    window: GridWindow, grid: ModelGrid, case: Case, mapping: IntensityMapping
) -> SliceSet:
    mapped = mapping.apply(grid.slices(case.volume.array, window))
    experts = tuple(case.masks)
    masks = np.stack(
        [grid.slices(case.masks[name], window) > 0.5 for name in experts], axis=1
    ).astype(np.uint8)
    kept = _kept_slices(np.asarray(masks.any((1, 2, 3))))
    return SliceSet(
        images=mapped[kept, None].astype(np.float32),
        masks=masks[kept],
        drawn_by=np.tile(np.arange(len(experts)), (len(kept), 1)),
        patients=(case.patient,) * len(kept),
        experts=experts,
        positions=kept + window.start[0],
        cases=(case.name,) * len(kept),
    )


def _kept_slices(marked: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(marked)
    empty = np.flatnonzero(~marked)
    wanted = max(1, round(len(rows) * EMPTY_SHARE / (1 - EMPTY_SHARE)))
    if len(rows):
        distance = np.abs(empty[:, None] - rows[None]).min(1)
        empty = empty[np.argsort(distance, kind="stable")]
    return np.sort(np.concatenate([rows, empty[:wanted]]))


@dataclass(frozen=True)
class Batch:
    """What one training step sees.

    Attributes:
        images: (B, C, e, e) float32.
        masks: (B, M, e, e) uint8, all drawings of the same slices.
        drawn_by: (B, M) int, the place in the slices' ``experts`` of who made each.
        random: the generator of this iteration, for every later draw of the step.
    """

    images: np.ndarray
    masks: np.ndarray
    drawn_by: np.ndarray
    random: np.random.Generator


def draw_batch(slices: SliceSet, iteration: int, *, size: int, edge: int, seed: int) -> Batch:
    """Return one iteration's batch: shifted crops, flips and quarter turns of random slices.

    Half of them are shifted by little, as a field of view lies about what a user points at; the
    others by as much as there is room, as it lies where tiles cover a larger region.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, iteration], counter=[0, 0, 0, 7]))
    rows = random.integers(0, len(slices), size)
    room = slices.images.shape[-1] - edge
    reach = np.where(random.random((size, 1)) < 0.5, _NEAR, 1.0) * room / 2
    offsets = np.rint(room / 2 + random.uniform(-1, 1, (size, 2)) * reach).astype(int)
    turns = random.integers(0, 4, size)
    mirrored = random.integers(0, 2, size)
    images: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    for row, (top, left), turn, mirror in zip(rows, offsets, turns, mirrored, strict=True):
        for source, target in ((slices.images, images), (slices.masks, masks)):
            crop = source[row, :, top : top + edge, left : left + edge]
            crop = np.rot90(crop, turn, axes=(1, 2))
            target.append(crop[:, :, ::-1] if mirror else crop)
    return Batch(np.stack(images), np.stack(masks), slices.drawn_by[rows], random)
