"""What the benchmark of new experts is measured on: unseen experts, their cases and their truth.

Every phantom is rendered once and drawn by every expert from random numbers of its own, so that any
part of the benchmark, in any process and order, sees the same drawings. None of the seeds is used
anywhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from bench_expert_outlines import above_half, best_outlines

from diffoseg.cohorts.case import Case
from diffoseg.cohorts.kinds import CROSSING
from diffoseg.cohorts.phantom import PhantomCohort
from diffoseg.cohorts.simulated import Style, View, draw, draw_latents, style_population
from diffoseg.model.metadata import ModelMetadata
from diffoseg.space.model_grid import GridWindow, ModelGrid
from diffoseg.training.slices import centred_window

EXPERTS_SEED, TEST_SEED, LESSONS_SEED = 0xE59E, 20_615, 20_616
TEST_CASES, LESSON_CASES = 24, 100
FRESH = 8
"""Drawings of a test case by each expert that answers are scored against."""
MAP = 128
"""Other drawings of it that the expert's own probability map is the mean of; at most 255."""

_FRESH, _MAP, _LESSON, _LOT = 101, 102, 103, 104  # what a stream of random numbers is for


def experts(count: int) -> tuple[Style, ...]:
    """Return the first experts of a population that no network has seen."""
    return style_population(EXPERTS_SEED, count)


@dataclass(frozen=True)
class Phantom:
    """One rendered phantom.

    Attributes:
        case: as anyone would read it; its masks are nobody's.
        view: what experts look at.
        window: on the model's grid, which is that of the phantom.
        images: mapped intensities, (S, C, h, w) float32.
    """

    case: Case
    view: View
    window: GridWindow
    images: np.ndarray

    def cut(self, drawings: np.ndarray) -> np.ndarray:
        """Return whole drawings, (D, K, J, I), within the window, (D, S, h, w)."""
        return drawings[:, *_places(self.window)]


def phantoms(seed: int, count: int, metadata: ModelMetadata) -> tuple[Phantom, ...]:
    """Return rendered phantoms of a seed."""
    cohort = PhantomCohort(seed=seed, cases=count, kind=CROSSING)
    return tuple(_phantom(cohort, index, metadata) for index in range(count))


def _phantom(cohort: PhantomCohort, index: int, metadata: ModelMetadata) -> Phantom:
    case = cohort[index]
    grid = ModelGrid.fit(case.volume.geometry, metadata.spacing_mm)
    window = centred_window(grid, case, metadata.patch)
    cut = grid.slices(case.volume.array, window)
    if not np.array_equal(cut, case.volume.array[_places(window)]):
        raise SystemExit("These weights have another grid than the phantoms: none at 0.7 mm.")
    images = metadata.intensity.resolve(case.volume.array).apply(cut)
    # What is looked at in a lesson is what is in a test: one field of view, not four that overlap.
    seen = case.volume.geometry.crop(window.start[::-1], window.size[::-1]).bounding_box()
    view = cohort.scene(index)[1]
    return Phantom(replace(case, region=seen), view, window, images[:, None].astype(np.float32))


def _places(window: GridWindow) -> tuple[slice, ...]:
    pairs = zip(window.start, window.size, strict=True)
    return tuple(slice(start, start + size) for start, size in pairs)


def _stream(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([EXPERTS_SEED, *key])))


def _drawn(phantom: Phantom, style: Style, count: int, *key: int) -> np.ndarray:
    """Return fresh drawings on the whole phantom, (count, K, J, I) bool."""
    latents = draw_latents(_stream(*key), style, phantom.view, count)
    return phantom.view.paste(draw(phantom.view, style, latents))


# --- truth ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """What one expert draws on the N test phantoms; masks as bits, eight pixels a byte.

    Attributes:
        drawings: (N, FRESH, bytes) uint8.
        outlines: "best" and "half" of the expert's own probability map, (N, bytes) uint8: the
            answers of whoever knows the expert's law exactly.
        counts: how many of ``drawn`` other drawings mark each pixel, (N, S, h, w) uint8.
        drawn: how many drawings the map is the mean of.
    """

    drawings: np.ndarray
    outlines: Mapping[str, np.ndarray]
    counts: np.ndarray
    drawn: int


def packed(masks: np.ndarray) -> np.ndarray:
    """Return masks (..., S, h, w) bool as bits (..., bytes) uint8."""
    return np.packbits(masks.reshape(*masks.shape[:-3], -1), axis=-1)


def unpacked(bits: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return bits (..., bytes) as masks (..., S, h, w) bool."""
    count = int(np.prod(shape))
    flat = np.unpackbits(bits, axis=-1, count=count).astype(bool)
    return flat.reshape(*bits.shape[:-1], *shape)


class Cohort:
    """The test phantoms and the lessons of a number of unseen experts.

    Args:
        metadata: of the model, whose grid and intensities the phantoms are brought to.
        count: how many experts.
        tests: how many test phantoms.
        drawn: how many drawings an expert's probability map is the mean of.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        count: int,
        tests: int = TEST_CASES,
        lessons: int = LESSON_CASES,
        drawn: int = MAP,
    ):
        self.metadata = metadata
        self.styles = experts(count)
        self._tests, self._lessons, self._drawn = tests, lessons, drawn
        self._truths: dict[int, Truth] = {}

    @cached_property
    def tests(self) -> tuple[Phantom, ...]:
        """The phantoms that everything is scored on."""
        return phantoms(TEST_SEED, self._tests, self.metadata)

    @cached_property
    def lessons(self) -> tuple[Phantom, ...]:
        """The phantoms that experts are learnt from."""
        return phantoms(LESSONS_SEED, self._lessons, self.metadata)

    def truth(self, expert: int) -> Truth:
        """Return what an expert draws on the test phantoms; kept."""
        if expert not in self._truths:
            self._truths[expert] = self._truth_of(expert)
        return self._truths[expert]

    def _truth_of(self, expert: int) -> Truth:
        style, fresh, counts, there = self.styles[expert], [], [], []
        for number, phantom in enumerate(self.tests):
            drawn = _drawn(phantom, style, FRESH, expert, number, _FRESH)
            fresh.append(packed(phantom.cut(drawn)))
            others = phantom.cut(_drawn(phantom, style, self._drawn, expert, number, _MAP))
            counts.append(others.sum(0, dtype=np.uint8))
            there.append(others.any((1, 2, 3)).mean())
        maps = np.stack(counts) / np.float32(self._drawn)
        outlines = {
            "best": packed(best_outlines(maps, np.array(there))),
            "half": packed(above_half(maps)),
        }
        return Truth(np.stack(fresh), outlines, np.stack(counts), self._drawn)

    def chosen(self, expert: int, draw: int, k: int) -> list[int]:
        """Return the lessons of one random draw; those of fewer cases are among those of more.

        The first is one in which the expert marked anything, as the product asks for.
        """
        order = _stream(expert, draw, _LOT).permutation(len(self.lessons)).tolist()
        first = next(number for number in order if self.lesson(expert, number).any())
        return [first, *(number for number in order if number != first)][:k]

    def cases(self, expert: int, draw: int, k: int) -> list[Case]:
        """Return the annotated cases of one random draw, as the product reads them."""
        name = self.styles[expert].name
        return [
            replace(self.lessons[number].case, masks={name: self._lesson(expert, number)})
            for number in self.chosen(expert, draw, k)
        ]

    def lesson(self, expert: int, number: int) -> np.ndarray:
        """Return the one drawing that an expert makes of a lesson, within its window, (S, h, w)."""
        return self.lessons[number].cut(self._lesson(expert, number)[None])[0]

    def _lesson(self, expert: int, number: int) -> np.ndarray:
        phantom, style = self.lessons[number], self.styles[expert]
        return _drawn(phantom, style, 1, expert, number, _LESSON)[0]
