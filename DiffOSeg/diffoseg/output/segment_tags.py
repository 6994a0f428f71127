"""What a segment's tags say of who drew it and what it is; Slicer's DICOM export reads them."""

from ..experts.panel import display_name
from ..version import __version__

ALGORITHM_TYPE = "DICOM.SegmentAlgorithmType"
ALGORITHM_NAME = "DICOM.SegmentAlgorithmName"
AUTOMATIC, SEMIAUTOMATIC = "AUTOMATIC", "SEMIAUTOMATIC"
PRESET = "DiffOSeg.Preset"
PRESENCE_GIVEN = "DiffOSeg.PresenceGiven"
MODEL, MODEL_HASH = "DiffOSeg.WeightsTitle", "DiffOSeg.WeightsHash"

# In the notation of Slicer's terminologies; without it, Slicer cannot export a DICOM SEG.
TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass~^^"
    "~Anatomic codes - DICOM master list~^^~^^"
)

_LONGEST_NAME = 64  # what DICOM's LO has room for


def algorithm_name(expert: str) -> str:
    """Return who drew a segment: the program, its version and the expert.

    A backslash, which parts two values in DICOM, becomes a slash.
    """
    name = display_name(expert).replace("\\", "/")
    return f"DiffOSeg {__version__} {name}"[:_LONGEST_NAME]
