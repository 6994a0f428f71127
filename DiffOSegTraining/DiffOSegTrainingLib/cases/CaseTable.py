"""The table of cases: its rows, what is wrong with each, and who is told when that changes."""

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from diffoseg.cohorts.datalist import read_datalist
from diffoseg.errors import InputError, WeightsError
from diffoseg.experts.panel import name_key
from diffoseg.model.cards import ModelCard, read_card

from .CaseChecks import CaseChecks, Findings
from .CaseExport import exportCases
from .CaseFiles import loadCases
from .CaseRows import CaseRow, changed, readRows, writeRows
from .FileWork import FilesEvent, FilesListener, FileWork
from .FolderCases import casesIn
from .ScenePairs import drawnSegments, scenePairs, volumeOf
from .TrainingParameters import TrainingParameterNode
from .WeakObservers import observeWeakly

_LOOK_SECONDS = 0.5  # between two looks whether somebody has changed a segment or a volume


def _unheard(_event: FilesEvent) -> None:
    """Take an event that nobody listens to."""


class CaseTable(ScriptedLoadableModuleLogic):
    """The cases in the scene's parameter node; without qt, so that scripts can use it."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.moduleName = "DiffOSegTraining"
        self._checks = CaseChecks()
        self._callbacks: list[Callable[[], None]] = []
        self._nextLook, self._isUnsettled = 0.0, True
        self._observedNode: Any = None
        self._stopObserving: Callable[[], Any] = lambda: None
        self._files: FileWork | None = None
        scene = slicer.mrmlScene
        for event in (scene.NodeRemovedEvent, scene.EndImportEvent, scene.EndCloseEvent):
            observeWeakly(scene, event, self._onSceneChanged)

    def getParameterNode(self) -> TrainingParameterNode:
        """Return the scene's parameter node of this module, which is made where there is none."""
        return TrainingParameterNode(self._node())

    # Rows

    def rows(self) -> tuple[CaseRow, ...]:
        """Return the cases in their order."""
        return readRows(self._node())

    def addRow(
        self,
        volume: "slicer.vtkMRMLScalarVolumeNode | None" = None,
        segmentation: "slicer.vtkMRMLSegmentationNode | None" = None,
        segmentID: str = "",
        roi: "slicer.vtkMRMLMarkupsROINode | None" = None,
        expertName: str = "",
        patient: str = "",
    ) -> str:
        """Add a case at the end and return its ID.

        Args:
            volume: None is the one that the segmentation was drawn on, where the scene tells.
            segmentation: None is to be chosen later.
            segmentID: "" is the segmentation's first segment that somebody drew.
            roi: None is around the segment.
            expertName: "" is the panel's expert.
            patient: cases of one patient are held out together; "" as the scene knows the volume.
        """
        if segmentation is not None:
            segmentID = segmentID or next(iter(drawnSegments(segmentation)), "")
            volume = volume or volumeOf(segmentation)
        row = CaseRow(volume, segmentation, segmentID, roi, expertName, patient).named()
        writeRows(self._node(), (*self.rows(), row))
        return row.id

    def addNode(self, node: "slicer.vtkMRMLNode") -> int:
        """Add what was dropped on the table; return how many rows came.

        A segmentation gives a row for each visible segment, a volume one that waits for a segment.
        Rows that are there already do not come twice. Raises InputError for other nodes.
        """
        if node.IsA("vtkMRMLSegmentationNode"):
            return self.addSegments(node, drawnSegments(node))
        if node.IsA("vtkMRMLScalarVolumeNode"):
            return self._addNew([CaseRow(node)])
        raise InputError(
            _("{name} is neither a volume nor a segmentation. Drop one of these.").format(
                name=node.GetName()
            )
        )

    def addSegments(
        self, segmentation: "slicer.vtkMRMLSegmentationNode", segmentIDs: Iterable[str]
    ) -> int:
        """Add these segments, on the volume they were drawn on; likewise."""
        volume = volumeOf(segmentation)
        return self._addNew(CaseRow(volume, segmentation, one) for one in segmentIDs)

    def addAllPairs(self) -> int:
        """Add every visible segment of the scene with the volume it was drawn on; return how many.

        Rows that are there already do not come twice.
        """
        return self._addNew(CaseRow(*pair) for pair in scenePairs())

    def setRow(self, rowID: str, **values: Any) -> None:
        """Give a row other values, by the names of ``CaseRow``; raises KeyError without the row."""
        writeRows(self._node(), changed(self.rows(), [rowID], values))

    def removeRow(self, rowID: str) -> None:
        """Remove a row; the nodes stay in the scene."""
        self.removeRows([rowID])

    def removeRows(self, rowIDs: Iterable[str]) -> None:
        """Remove rows; the nodes stay in the scene."""
        gone = set(rowIDs)
        writeRows(self._node(), [row for row in self.rows() if row.id not in gone])

    def assign(self, segmentName: str, expertName: str) -> int:
        """Say who drew all segments of a name; return how many rows that are."""
        rows = self.rows()
        meant = [row.id for row in rows if row.segmentName == segmentName]
        writeRows(self._node(), changed(rows, meant, {"expertName": expertName}))
        return len(meant)

    def segmentNames(self) -> tuple[str, ...]:
        """Return the different names of the segments, in the rows' order."""
        return tuple(dict.fromkeys(row.segmentName for row in self.rows() if row.segmentName))

    def expertNames(self) -> tuple[str, ...]:
        """Return who drew the cases, in the rows' order and by the first spelling of each name."""
        own = self._node().GetParameter("expertName")
        names = [row.drawnBy(own) for row in self.rows()]
        spelt = {name_key(name): name for name in reversed(names) if name}
        return tuple(dict.fromkeys(spelt[name_key(name)] for name in names if name))

    # Files

    def addFromFolder(self, path: Path | str, onEvent: FilesListener = _unheard) -> None:
        """Load the pairs of scan and segmentation in a folder, one case at a tick.

        Raises InputError where it holds none, or other files are being loaded.
        """
        self._requireNoFiles()
        found = casesIn(Path(path))
        self._files = FileWork(loadCases(found.entries, self._addNew, found.note), onEvent)

    def addFromList(self, path: Path | str, onEvent: FilesListener = _unheard) -> None:
        """Load the cases of a data list, one at a tick.

        Raises InputError where it is none, or other files are being loaded.
        """
        self._requireNoFiles()
        entries = read_datalist(Path(path)).entries
        self._files = FileWork(loadCases(entries, self._addNew), onEvent)

    def exportList(self, path: Path | str, onEvent: FilesListener = _unheard) -> None:
        """Write all cases as files and a data list, bit by bit.

        Raises InputError where there are no cases, or other files are being loaded.
        """
        self._requireNoFiles()
        rows = self.rows()
        if not rows:
            raise InputError(_("There are no cases. Add a volume and its segment first."))
        own = self._node().GetParameter("expertName")
        self._files = FileWork(exportCases(rows, own, Path(path)), onEvent)

    @property
    def filesBusy(self) -> bool:
        """Whether files are being loaded or written."""
        return self._files is not None and self._files.outcome is None

    def cancelFiles(self) -> None:
        """Stop loading or writing files; what is finished stays."""
        if self._files is not None:
            self._files.cancel()

    def _requireNoFiles(self) -> None:
        if self.filesBusy:
            raise InputError(_("Files are being loaded or written. Wait for the end of that."))

    def _addNew(self, rows: Iterable[CaseRow]) -> int:
        """Add the rows that are not there yet, be it with a region; return how many."""
        there = self.rows()
        known = {(_drawing(row), roi) for row in there for roi in (row.roi, None)}
        new = [row.named() for row in rows if (_drawing(row), row.roi) not in known]
        if new:
            writeRows(self._node(), (*there, *new))
        return len(new)

    # What is wrong with them

    def checks(self) -> list[Findings | None]:
        """Return what is wrong with each row, in order; None where that has yet to be looked at."""
        return self._checks.of(self.rows(), self._node().GetParameter("expertName"), self._card())

    @property
    def checking(self) -> bool:
        """Whether ticks may find more that is wrong with a row."""
        return self._isUnsettled

    def observe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after rows or what is wrong with them changed; return what ends that."""
        self._callbacks.append(callback)

        def stop() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return stop

    def _look(self) -> None:
        """Look at rows for about 10 ms, if any has changed."""
        if time.monotonic() < self._nextLook or slicer.mrmlScene.IsBatchProcessing():
            return
        if self._checks.step(self.rows(), self._card()):
            self._notify()
        elif self._checks.isSettled:
            self._isUnsettled = False
            self._nextLook = time.monotonic() + _LOOK_SECONDS

    def _card(self) -> ModelCard | None:
        """Return the base model's card; None where there is none that can be read."""
        try:
            return read_card(self._node().GetParameter("model") or None)
        except WeightsError:
            return None

    # The scene

    def _node(self) -> "slicer.vtkMRMLScriptedModuleNode":
        node = ScriptedLoadableModuleLogic.getParameterNode(self)
        if node is not self._observedNode:
            self._stopObserving()
            self._stopObserving = observeWeakly(node, "ModifiedEvent", self._onSceneChanged)
            self._observedNode = node
        return node

    def _onSceneChanged(self, *_arguments: object) -> None:
        if not slicer.mrmlScene.IsBatchProcessing():
            self._notify()

    def _notify(self) -> None:
        self._nextLook, self._isUnsettled = 0.0, True
        for callback in tuple(self._callbacks):
            try:
                callback()
            except Exception:
                logging.exception("DiffOSeg Training: a view of the cases failed")


def _drawing(row: CaseRow) -> tuple[Any, ...]:
    return row.volume, row.segmentation, row.segmentID
