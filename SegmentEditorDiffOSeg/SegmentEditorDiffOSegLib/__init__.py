"""The Segment Editor effect "DiffOSeg".

Slicer looks the effect's class up as an attribute of this package; see SegmentEditorDiffOSeg.py.
"""

from .SegmentEditorEffect import SegmentEditorEffect

__all__ = ["SegmentEditorEffect"]
