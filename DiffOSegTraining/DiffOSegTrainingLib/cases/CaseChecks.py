"""What is wrong with each case, looked at bit by bit and again only where something has changed."""

import hashlib
import logging
import time
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass, replace

import slicer
from slicer.i18n import tr as _

from diffoseg.cohorts.checks import Finding, duplicates, findings
from diffoseg.errors import InputError
from diffoseg.experts.panel import check_name, name_key
from diffoseg.model.cards import ModelCard
from diffoseg.model.metadata import ModelMetadata
from diffoseg.space.same_grid import SharedGrid

from .CaseRows import CaseRow
from .SceneCases import SceneCase, sceneCase

_STEP_SECONDS = 0.01  # rows are begun for so long in one step

Findings = tuple[Finding, ...]


@dataclass(frozen=True)
class _Looked:
    """What was found of a row, and what it was found on."""

    state: Hashable
    findings: Findings
    content: Hashable


class CaseChecks:
    """Remembers what was found of each row; made by the table.

    Attributes:
        isSettled: whether the last step found every row as it was when it was looked at.
    """

    def __init__(self) -> None:
        self.isSettled = False
        self._looked: dict[str, _Looked] = {}
        self._looking: tuple[str, Generator[None, None, _Looked]] | None = None

    def of(
        self, rows: Sequence[CaseRow], expertName: str, card: ModelCard | None
    ) -> list[Findings | None]:
        """Return what is wrong with each row; None where that has yet to be looked at.

        Args:
            rows: of the table.
            expertName: who drew the rows that name nobody.
            card: of the base model; None where there is none, and nothing is known then.
        """
        known = [self._known(row, card) for row in rows]
        keys = [
            (looked.content, name_key(row.drawnBy(expertName)))
            if looked is not None and looked.content is not None
            else row.id
            for row, looked in zip(rows, known, strict=True)
        ]
        twice = duplicates(keys)
        return [
            None if looked is None else (*looked.findings, *filter(None, [twice.get(index)]))
            for index, looked in enumerate(known)
        ]

    def step(self, rows: Sequence[CaseRow], card: ModelCard | None) -> bool:
        """Look at rows for about 10 ms; return whether anything new was found."""
        self._forget(rows)
        changed = [row for row in rows if self._known(row, card) is None] if card else []
        self.isSettled = not changed
        begun = time.perf_counter()
        found = 0
        while card and found < len(changed) and time.perf_counter() - begun < _STEP_SECONDS:
            found += self._lookOn(changed[found], card)
        return found > 0

    def _lookOn(self, row: CaseRow, card: ModelCard) -> bool:
        """Look at a row a little further; return whether that was all of it."""
        if self._looking is None or self._looking[0] != row.id:
            self._looking = row.id, _lookAt(row, card)
        try:
            next(self._looking[1])
        except StopIteration as end:
            self._looked[row.id], self._looking = end.value, None
            return True
        return False

    def _known(self, row: CaseRow, card: ModelCard | None) -> _Looked | None:
        looked = self._looked.get(row.id)
        return looked if looked is not None and looked.state == _state(row, card) else None

    def _forget(self, rows: Sequence[CaseRow]) -> None:
        for rowID in self._looked.keys() - {row.id for row in rows}:
            del self._looked[rowID]


def _lookAt(row: CaseRow, card: ModelCard) -> Generator[None, None, _Looked]:
    """Look at a row in steps of less than 50 ms, unless the lesion is very large."""
    state = _state(row, card)
    try:
        if row.expertName:
            check_name(row.expertName)
        case = sceneCase(row)
        yield
        found = _findings(case, card.metadata)
        yield
        return _Looked(state, found, _content(case))
    except InputError as error:
        return _Looked(state, (Finding("error", str(error)),), None)
    except Exception as error:  # whatever a scene from elsewhere holds, the table stays usable
        logging.exception("DiffOSeg Training: a case could not be looked at")
        return _Looked(state, (Finding("error", _notLookedAt(error)),), None)


def _findings(case: SceneCase, metadata: ModelMetadata) -> Findings:
    """Ask the engine about the voxels around the drawing, and say where it was resampled."""
    mask, own = case.mask, case.mask.ownGrid
    if mask.drawn and not mask.voxels.size and case.region is None:
        sentence = _("The segment lies outside the volume. Choose the volume that it was drawn on.")
        return (Finding("error", sentence),)
    # Percentiles of a whole volume would take long; those around the drawing show the same faults.
    around = replace(metadata, intensity=replace(metadata.intensity, kind="window"))
    try:
        start, size = case.carried(around)
    except InputError as error:
        return (Finding("error", str(error)),)
    k, j, i = (slice(a, a + n) for a, n in zip(start[::-1], size[::-1], strict=True))
    image = slicer.util.arrayFromVolume(case.row.volume)[k, j, i]
    part = case.geometry.crop(start, size)
    found = findings(part, image, mask.within(start, size), part, case.region, metadata)
    onVolumes = own is not None and SharedGrid.of(case.geometry, own) is not None
    if onVolumes or not mask.drawn:
        return found
    sentence = _(
        "The segment was drawn on other voxels than the volume's. What lies at the centre of each"
        " voxel is taken; look whether the volume is the right one."
    )
    return (*found, Finding("warning", sentence))


def _notLookedAt(error: Exception) -> str:
    return _(
        "This case cannot be looked at ({kind}). Leave it out, or send Slicer's log to the authors"
        " of DiffOSeg."
    ).format(kind=type(error).__name__)


def _content(case: SceneCase) -> Hashable:
    """Return what two cases that are the same have in common."""
    box = (case.mask.start, case.mask.size, hashlib.sha256(case.mask.voxels.tobytes()).hexdigest())
    assert case.row.volume is not None
    return case.row.volume.GetID(), box, case.region


def _state(row: CaseRow, card: ModelCard | None) -> Hashable:
    """Return what changes with everything that a row's findings depend on."""
    parts: list[Hashable] = [row, card and card.hash]
    for node in (row.volume, row.segmentation, row.roi):
        if node is not None:
            parts += [node.GetScene() is not None, node.GetMTime(), _transformTime(node)]
    image = row.volume.GetImageData() if row.volume is not None else None
    if image is not None:
        parts.append(image.GetMTime())
    segment = row.segment
    if segment is not None:
        parts += [segment.GetMTime(), segment.GetLabelValue()]
        names: list[str] = []
        segment.GetContainedRepresentationNames(names)
        parts += [segment.GetRepresentation(name).GetMTime() for name in names]
    return tuple(parts)


def _transformTime(node: "slicer.vtkMRMLTransformableNode") -> int:
    transform = node.GetParentTransformNode()
    return 0 if transform is None else int(transform.GetTransformToWorldMTime())
