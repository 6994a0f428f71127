"""The table of cases as the scene keeps it: saved with it, and told of nodes that are deleted.

A row's nodes are node references of the module's parameter node, because only these are followed
when a scene is saved, opened or put into another; the rest of a row is JSON in one parameter.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import slicer
from slicer.util import NodeModify

ROWS = "cases"
"""Name of the parameter."""

_NODES = {
    "volume": "vtkMRMLVolumeNode",
    "segmentation": "vtkMRMLSegmentationNode",
    "roi": "vtkMRMLMarkupsROINode",
}
_MOST_ROWS = 10_000  # a saved scene comes from anywhere
_LONGEST_TEXT = 1000


@dataclass(frozen=True)
class CaseRow:
    """One scan and what one expert drew on it.

    Attributes:
        volume: the scan; None where none is chosen or it was deleted, and so are the other nodes.
        segmentation, segmentID: the drawing.
        roi: where the lesion in question is; None: around the segment.
        expertName: who drew it; "" is the panel's expert.
        patient: cases of one patient are held out together; "": as the scene knows the volume.
        id: names the row as long as it is there, also in a saved scene.
        names: of "volume", "segmentation", "segment" and "roi" when they were chosen.
    """

    volume: "slicer.vtkMRMLScalarVolumeNode | None" = None
    segmentation: "slicer.vtkMRMLSegmentationNode | None" = None
    segmentID: str = ""
    roi: "slicer.vtkMRMLMarkupsROINode | None" = None
    expertName: str = ""
    patient: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    names: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def segment(self) -> "slicer.vtkSegment | None":
        """The segment; None where none is chosen or it was deleted."""
        if self.segmentation is None:
            return None
        return self.segmentation.GetSegmentation().GetSegment(self.segmentID)

    @property
    def volumeName(self) -> str:
        """The scan's name, also of one that was deleted; "" where none was chosen."""
        return self._nameOf("volume", self.volume)

    @property
    def segmentationName(self) -> str:
        """The segmentation's name, likewise."""
        return self._nameOf("segmentation", self.segmentation)

    @property
    def segmentName(self) -> str:
        """The segment's name, likewise."""
        return self._nameOf("segment", self.segment)

    @property
    def roiName(self) -> str:
        """The region's name, likewise."""
        return self._nameOf("roi", self.roi)

    def drawnBy(self, expertName: str) -> str:
        """Return who drew it, where ``expertName`` is the panel's expert; "" for nobody yet."""
        return self.expertName.strip() or expertName.strip()

    def _nameOf(self, what: str, thing: Any) -> str:
        return (thing.GetName() or "") if thing is not None else self.names.get(what, "")

    def named(self) -> "CaseRow":
        """Return the row with the names that its nodes have now."""
        names = {
            "volume": self.volumeName,
            "segmentation": self.segmentationName,
            "segment": self.segmentName,
            "roi": self.roiName,
        }
        return replace(self, names=names)


def readRows(node: "slicer.vtkMRMLScriptedModuleNode") -> tuple[CaseRow, ...]:
    """Return the cases that a parameter node holds; what cannot be read is left out."""
    return tuple(_row(node, entry) for entry in _entriesOf(node.GetParameter(ROWS) or "[]"))


@lru_cache(maxsize=2)
def _entriesOf(text: str) -> tuple[dict[str, Any], ...]:
    """Return the readable entries; kept, since rows are asked for far oftener than they change."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(entries, list):
        return ()
    return tuple({entry["id"]: entry for entry in entries[:_MOST_ROWS] if _isEntry(entry)}.values())


def writeRows(node: "slicer.vtkMRMLScriptedModuleNode", rows: Sequence[CaseRow]) -> None:
    """Keep these cases and no others; the node tells its observers once."""
    kept = {_role(row.id, what) for row in rows for what in _NODES}
    with NodeModify(node):
        for role in set(_roles(node)) - kept:
            node.RemoveNodeReferenceIDs(role)
        for row in rows:
            for what in _NODES:
                _refer(node, _role(row.id, what), getattr(row, what))
        node.SetParameter(ROWS, json.dumps([_entry(row) for row in rows]))


def changed(
    rows: Iterable[CaseRow], rowIDs: Iterable[str], values: dict[str, Any]
) -> list[CaseRow]:
    """Return the rows, those with these IDs with other values; raises KeyError for an unknown ID.

    A node that is chosen anew, None too, takes the old one's name away.
    """
    byID = {row.id: row for row in rows}
    for rowID in rowIDs:
        row = byID[rowID]
        forgotten = {"segment"} if "segmentID" in values else set()
        names = {n: v for n, v in row.names.items() if n not in values and n not in forgotten}
        byID[rowID] = replace(row, **values, names=names).named()
    return list(byID.values())


def _entry(row: CaseRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "segment": row.segmentID,
        "expert": row.expertName,
        "patient": row.patient,
        "names": row.names,
    }


def _row(node: "slicer.vtkMRMLScriptedModuleNode", entry: dict[str, Any]) -> CaseRow:
    found = {what: node.GetNodeReference(_role(entry["id"], what)) for what in _NODES}
    return CaseRow(
        **{what: one for what, one in found.items() if one is not None and one.IsA(_NODES[what])},
        segmentID=entry["segment"],
        expertName=entry["expert"],
        patient=entry["patient"],
        id=entry["id"],
        names=entry["names"],
    )


def _isEntry(entry: Any) -> bool:
    """Whether this is a row as ``_entry`` writes it, of sane size."""
    if not isinstance(entry, dict) or not isinstance(entry.get("names"), dict):
        return False
    own = [entry.get(name) for name in ("id", "segment", "expert", "patient")]
    texts = [*own, *entry["names"], *entry["names"].values()]
    return all(isinstance(text, str) and len(text) <= _LONGEST_TEXT for text in texts) and (
        entry["id"].isalnum()
    )


def _role(rowID: str, what: str) -> str:
    return f"case.{rowID}.{what}"


def _roles(node: "slicer.vtkMRMLScriptedModuleNode") -> list[str]:
    found: list[str] = []
    node.GetNodeReferenceRoles(found)
    return [role for role in found if role.startswith("case.")]


def _refer(node: "slicer.vtkMRMLScriptedModuleNode", role: str, target: Any) -> None:
    ID = target.GetID() if target is not None else None
    if node.GetNodeReferenceID(role) != ID:
        node.SetNodeReferenceID(role, ID)
