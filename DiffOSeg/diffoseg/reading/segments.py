"""Masks by segment's name, from whatever file holds named segments."""

from pathlib import Path

from ..space.geometry import Geometry
from .dicom_files import is_dicom
from .dicom_seg import DicomSegments, read_dicom_seg
from .image_file import is_image_file
from .seg_nrrd import SegmentMasks, read_seg_nrrd


def holds_segments(path: Path) -> bool:
    """Return whether a file is of a kind that names its segments: a .seg.nrrd, or DICOM."""
    if is_image_file(path):
        return path.name.lower().endswith(".seg.nrrd")
    return is_dicom(path)


def read_segments(path: Path) -> tuple[SegmentMasks | DicomSegments, Geometry]:
    """Return the masks by segment's name, and their grid; InputError where there are none."""
    return read_seg_nrrd(path) if is_image_file(path) else read_dicom_seg(path)
