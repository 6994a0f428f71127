"""Experts of a cohort whose readers are not the same persons from patient to patient.

Four readers drew each lesion, and nobody knows which of them is whom elsewhere. What can be learnt
by name are four laws: the smallest of the four drawings, the second, the third and the largest, by
volume within each lesion. Who did not draw it counts as empty, and chance breaks ties. They are
laws, not persons. Each is drawn as often as any other, so that their mixture is exactly the law of
the four drawings taken together.

Besides, within one scan a reader is one person. As passing experts, known by scan and session, they
show how one person varies from another.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np

from ..errors import InputError
from ..experts.panel import Expert, ExpertPanel
from .case import Case
from .folder import FolderCohort

OF_FOUR = ExpertPanel(
    [
        Expert(
            f"{name} of four",
            f"A law, not a person: the {rank} of four readers' drawings of a lesion",
        )
        for name, rank in (
            ("Tightest", "smallest"),
            ("Tighter", "second smallest"),
            ("Wider", "second largest"),
            ("Widest", "largest"),
        )
    ]
)
"""From the smallest drawing to the largest."""


def order_statistics(case: Case, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the four drawings of a case by the names of OF_FOUR, ranked within each lesion.

    Args:
        case: drawn by four readers, in any order.
        seed: of the ties; together with the case's name it says who comes first.

    Raises:
        InputError: the case has not four masks.
    """
    readers = tuple(case.masks)
    if len(readers) != len(OF_FOUR):
        raise InputError(
            f"Case {case.name} was drawn by {len(readers)} readers; tightest to widest of four need"
            " four."
        )
    ranked = {name: np.zeros_like(case.masks[readers[0]]) for name in OF_FOUR.names}
    for number, drawn in _lesions_of(case).items():
        order = order_by_volume([drawn[reader] for reader in readers], case.name, seed, number)
        for name, row in zip(OF_FOUR.names, order, strict=True):
            ranked[name] |= drawn[readers[row]]
    return ranked


def order_by_volume(
    drawings: Sequence[np.ndarray], name: str, seed: int = 0, lesion: int = 1
) -> np.ndarray:
    """Return the places of one lesion's drawings, the smallest first; chance breaks ties.

    Args:
        drawings: bool, of any one shape; empty ones too.
        name, seed, lesion: what chance is keyed by.
    """
    volumes = [int(drawing.sum()) for drawing in drawings]
    lots = _random(name, seed, lesion).permutation(len(drawings))
    return np.lexsort((lots, np.array(volumes)))


def _lesions_of(case: Case) -> dict[int, Mapping[str, np.ndarray]]:
    """Return each lesion's masks by reader; a reader who did not draw it has an empty one."""
    if case.lesions is None:
        return {1: case.masks}
    lesions = case.lesions
    numbers = np.unique(np.concatenate([np.unique(lesions[name]) for name in case.masks]))
    return {
        int(number): {name: lesions[name] == number for name in case.masks}
        for number in numbers[numbers > 0]
    }


def _random(name: str, seed: int, lesion: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed} {lesion} {name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


class OrderStatisticsCohort(Sequence[Case]):
    """The cases of a cohort as its four order statistics drew them, and its readers after them.

    Attributes:
        experts: the four that a model shall know by name; they come first in each case's masks.
    """

    experts = OF_FOUR

    def __init__(self, cohort: FolderCohort, *, readers_too: bool, seed: int = 0):
        """Take a cohort; ``readers_too`` adds each scan's readers under names of their own.

        Raises InputError where the cohort's readers are persons throughout, who need no law.
        """
        if cohort.persistent_experts:
            raise InputError(
                "The experts of this cohort are the same persons throughout. Train them as they"
                " are, without --experts."
            )
        self._cohort = cohort
        self._readers_too = readers_too
        self._seed = seed

    def __len__(self) -> int:
        return len(self._cohort)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> "OrderStatisticsCohort": ...
    def __getitem__(self, index: int | slice) -> "Case | OrderStatisticsCohort":
        """Read one case, or take some; raises InputError where a case is incomplete."""
        if isinstance(index, slice):
            part = self._cohort[index]
            return OrderStatisticsCohort(part, readers_too=self._readers_too, seed=self._seed)
        case = self._cohort[index]
        masks = order_statistics(case, self._seed)
        if self._readers_too:
            scan = case.tags.get("scan", case.patient)
            masks |= {f"{reader} of scan {scan}": mask for reader, mask in case.masks.items()}
        return Case(case.patient, case.name, case.volume, masks, case.region, case.tags)
