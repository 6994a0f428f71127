"""The phantom cohort: synthetic CT-like cases whose experts' laws are known exactly.

There are two kinds. Readers of "nodules" disagree as radiologists do, in whether they mark and how
large they draw, on pictures that look like CT (chest.py, readers.py). "crossing" is a stress test:
experts there choose between parts, so that their masks cross some eight times as often as
radiologists' do, and thresholding cannot imitate them (anatomy.py, simulated.py).

Every case is a function of (seed, index) alone: the same bytes in whatever order, process or subset
it is read. Experts act on the visible image only (simulated.py), so fresh drawings of the same case
can be had without end, which is the Monte-Carlo truth; oracle.py gives the enumerable one.

Synthetic data: good for testing methods, never clinical evidence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from ..errors import InputError
from ..experts.panel import Expert, ExpertPanel
from ..space.geometry import Box, Geometry
from ..space.volume import Volume
from .anatomy import Recipe, Scene, Spacing, render
from .case import Case
from .chest import render_chest
from .kinds import CROSSING, KINDS, NODULES
from .readers import READERS, reader_population
from .shapes import Size
from .simulated import DEFAULT_EXPERTS, Style, View, draw, draw_latents, style_population

REGION_EDGE = 45.0  # mm in plane

POPULATION = 256
"""How many experts take turns in passing by."""

_PASSING_SEED = 0x9A55

_SCENE, _CASE, _TRUTH, ENUMERATED, _PASSING = range(5)  # what a stream of random numbers is for

_DEFAULTS: dict[str, dict[str, object]] = {
    NODULES: {"experts": READERS, "size": (20, 96, 96), "spacing": (0.7, 0.7, 1.25)},
    CROSSING: {"experts": DEFAULT_EXPERTS, "size": (12, 96, 96), "spacing": (0.7, 0.7, 2.0)},
}

_NODULES_STREAM = 101  # beside the crossing kind's 0 and shifts

SHIFTS: dict[str, Recipe] = {
    "noise": Recipe(noise=(55.0, 75.0), grain=0.9),
    "nodule": Recipe(
        radius=(3.4, 5.2),
        lobe=(1.2, 1.5),
        solid=(-120.0, -40.0),
        roughness=0.22,
        nodule="mostly ground-glass",
    ),
    "experts": Recipe(),
}


@dataclass(frozen=True)
class PhantomCohort(Sequence[Case]):
    """Synthetic cases, made when asked for.

    Attributes:
        seed: of everything; cohorts of different seeds are independent.
        cases: number of patients.
        experts: the simulated experts; by default the named four of the kind. Replaced by unseen
            ones where ``shift`` is "experts".
        draws: cases per patient: the same volume, drawn again by every expert.
        passing: how many others draw each case besides, different ones of a population of
            POPULATION from case to case; a network learns from them how experts vary.
        size: (K, J, I) voxels; by default 67 mm in plane and about 25 mm of slices.
        spacing: mm along (x, y, z); by default 0.7 mm in plane, slices of 1.25 mm as half of
            LIDC-IDRI's are at most, of 2 mm for the crossing kind.
        shift: None, or what differs from the training distribution: "noise" (another scanner),
            "nodule" (another type of nodule) or "experts" (unseen ones of the same population). The
            crossing kind alone can be shifted.
        kind: "nodules" or "crossing", as in kinds.py.

    Raises InputError for an unknown kind or shift and for numbers below one.
    """

    seed: int = 0
    cases: int = 64
    experts: tuple[Style, ...] = None  # type: ignore[assignment]  # by kind
    draws: int = 1
    passing: int = 0
    size: Size = None  # type: ignore[assignment]  # by kind
    spacing: Spacing = None  # type: ignore[assignment]  # by kind
    shift: str | None = None
    kind: str = NODULES

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"There is no kind {self.kind!r}. Choose from {', '.join(KINDS)}.")
        for name, default in _DEFAULTS[self.kind].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if self.shift is not None and self.shift not in SHIFTS:
            raise InputError(f"There is no shift {self.shift!r}. Choose from {', '.join(SHIFTS)}.")
        if self.shift is not None and self.kind != CROSSING:
            raise InputError(f"Phantoms of kind {self.kind!r} cannot be shifted; {CROSSING!r} can.")
        if min(self.cases, self.draws, *self.size, len(self.experts)) < 1:
            raise InputError("A phantom cohort needs at least one case, draw, voxel and expert.")
        if not 0 <= self.passing <= POPULATION:
            raise InputError(f"From 0 to {POPULATION} experts can pass by, not {self.passing}.")
        if self.shift == "experts":
            unseen = style_population(self.seed, len(self.experts))
            object.__setattr__(self, "experts", unseen)

    @cached_property
    def panel(self) -> ExpertPanel:
        """The simulated experts as a model knows them."""
        return ExpertPanel([Expert(style.name, style.description) for style in self.experts])

    def __len__(self) -> int:
        return self.cases * self.draws

    def __iter__(self) -> Iterator[Case]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        """Return one case; slicing is not offered."""
        index = range(len(self))[index]
        patient, session = divmod(index, self.draws)
        scene, view = self.scene(index)
        everyone = (*self.experts, *self._passing_by(index, session))
        drawings = self._drawings(everyone, view, index, (_CASE, session), 1)
        suffix = f"-{session + 1}" if self.draws > 1 else ""
        label = f"phantom-{self._prefix()}{self.seed}-{patient:04d}"
        geometry = self._geometry()
        return Case(
            patient=label,
            name=label + suffix,
            volume=Volume(scene.hu, geometry, "CT", label + suffix),
            masks={name: masks[0] for name, masks in drawings.items()},
            region=_region(geometry, scene.center),
            tags=scene.tags,
        )

    def scene(self, index: int) -> tuple[Scene, View]:
        """Return what was rendered for a case and the experts' view of it."""
        random = self.stream(index, _SCENE)
        if self.kind == NODULES:
            scene = render_chest(random, self.size, self.spacing)
            return scene, View.by_contrast(scene, self.spacing)
        recipe = SHIFTS[self.shift] if self.shift else Recipe()
        scene = render(random, recipe, self.size, self.spacing)
        return scene, View.of(scene, self.spacing)

    def case_truth(self, index: int, draws: int) -> dict[str, np.ndarray]:
        """Return fresh drawings by expert, bool, (draws, K, J, I), independent of the case's masks.

        The Monte-Carlo truth (tier M): probabilities estimated from it have a standard error of
        sqrt(p (1 - p) / draws).
        """
        return self._drawings(self.experts, self.scene(index)[1], index, (_TRUTH,), draws)

    def _drawings(
        self,
        experts: Sequence[Style],
        view: View,
        index: int,
        purpose: tuple[int, ...],
        draws: int,
    ) -> dict[str, np.ndarray]:
        drawings = {}
        for row, style in enumerate(experts):
            latents = draw_latents(self.stream(index, *purpose, row), style, view, draws)
            drawings[style.name] = view.paste(draw(view, style, latents))
        return drawings

    def _passing_by(self, index: int, session: int) -> list[Style]:
        """Return who else draws a case."""
        lot = self.stream(index, _PASSING, session).permutation(POPULATION)[: self.passing]
        return [_population(self.kind)[number] for number in lot]

    def stream(self, index: int, *purpose: int) -> np.random.Generator:
        """Return the random numbers that a case's patient has for one purpose, from the start."""
        patient = range(len(self))[index] // self.draws
        variant = list(SHIFTS).index(self.shift) + 1 if self.shift else 0
        variant = _NODULES_STREAM if self.kind == NODULES else variant
        entropy = [self.seed, variant, patient, *purpose]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))

    def _prefix(self) -> str:
        """Return what tells a case's name from that of the same number elsewhere."""
        special = self.kind if self.kind != CROSSING else self.shift
        return f"{special}-" if special else ""

    def _geometry(self) -> Geometry:
        """Return a grid off the scanner's centre, as the lungs are."""
        k, j, i = self.size
        return Geometry((i, j, k), self.spacing, origin=(-90.0, -40.0, -120.0))


@cache
def _population(kind: str) -> tuple[Style, ...]:
    population = style_population if kind == CROSSING else reader_population
    styles = population(_PASSING_SEED, POPULATION)
    return tuple(replace(style, name=f"Passing {number}") for number, style in enumerate(styles, 1))


def _region(geometry: Geometry, center: tuple[float, float, float]) -> Box:
    """Return the box round the nodule: 45 mm in plane, all slices, within the volume."""
    point = geometry.index_to_point(center[::-1])
    whole = geometry.bounding_box()
    lower = np.maximum(point - REGION_EDGE / 2, whole.lower)
    upper = np.minimum(point + REGION_EDGE / 2, whole.upper)
    lower[2], upper[2] = whole.lower[2], whole.upper[2]
    return Box(tuple(lower.tolist()), tuple(upper.tolist()))
