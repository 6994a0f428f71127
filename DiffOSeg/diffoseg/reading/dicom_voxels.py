"""The values of DICOM pixels as pydicom has them: stored values, and the rescaling of each frame.

pydicom unpacks what is not compressed, and run lengths. JPEG in all its forms is unpacked by GDCM,
through SimpleITK, from a file of its own that says nothing of rescaling: ITK's reader would turn
MONOCHROME1 round and look past lookup tables and functional groups.
"""

import warnings
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..errors import InputError
from ..files.values import one_line
from .dicom_header import SliceHeader, macro, numbers
from .quiet import quiet_itk

_GDCM = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91))
_COPIED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


def read_voxels(stack: Sequence[SliceHeader]) -> np.ndarray:
    """Return the voxels of slices in their order, (K, J, I) float32; InputError where damaged."""
    array = np.empty((len(stack), *stack[0].shape), np.float32)
    for path, places in groupby(range(len(stack)), lambda k: stack[k].path):
        tags = open_image(path)
        for k in places:
            array[k] = _plane(tags, stack[k])
    return array


def read_plane(image: SliceHeader) -> np.ndarray:
    """Return the pixels of one slice, (rows, columns), rescaled; InputError where damaged."""
    return _plane(open_image(image.path), image)


def open_image(path: Path) -> Any:
    """Return all tags of a file; raises InputError where it is damaged."""
    import pydicom
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = pydicom.dcmread(path, force=True)
        if "TransferSyntaxUID" not in tags.file_meta:
            implicit, little = tags.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            tags.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        return tags
    except Exception:  # a forged header can make pydicom raise nearly anything
        raise _damaged(path) from None


def stored_frame(tags: Any, frame: int, path: Path) -> np.ndarray:
    """Return the stored values of one frame of one value per pixel, (rows, columns).

    Raises InputError, with the name of ``path``, where it is damaged or packed in a way that none
    of the libraries here knows.
    """
    syntax = tags.file_meta.TransferSyntaxUID
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if str(syntax) in _GDCM:
                return _by_gdcm(tags, frame)
            if not _is_known(syntax):
                raise InputError(
                    f"{one_line(path.name)} is compressed as {one_line(syntax.name)}, which cannot"
                    " be read here. Export it uncompressed."
                )
            return _by_pydicom(tags, frame)
    except InputError:
        raise
    except Exception:  # pydicom raises nearly anything for what it cannot unpack
        raise _damaged(path) from None


def _plane(tags: Any, image: SliceHeader) -> np.ndarray:
    stored = stored_frame(tags, image.frame, image.path)
    try:
        return _rescaled(stored, tags, image.frame).reshape(image.shape).astype(np.float32)
    except Exception:  # a lookup table can be forged, too
        raise InputError(
            f"{one_line(image.path.name)} does not say clearly how its values are rescaled."
            " Export it again."
        ) from None


def _rescaled(stored: np.ndarray, tags: Any, frame: int) -> np.ndarray:
    """Return what stored values mean: by a lookup table, or slope and intercept of the frame."""
    from pydicom.pixels import apply_modality_lut

    if tags.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(stored, tags))
    transform = macro(tags, frame, "PixelValueTransformationSequence")
    slope = numbers(transform, "RescaleSlope")
    intercept = numbers(transform, "RescaleIntercept")
    factor = float(slope.item()) if slope.size else 1.0
    if factor == 0:
        raise ValueError
    return stored * factor + (float(intercept.item()) if intercept.size else 0.0)


def _is_known(syntax: Any) -> bool:
    """Return whether pydicom can unpack a transfer syntax with what is installed."""
    from pydicom.pixels import get_decoder

    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _by_pydicom(tags: Any, frame: int) -> np.ndarray:
    from pydicom.pixels import pixel_array

    return pixel_array(tags, index=frame)


def _by_gdcm(tags: Any, frame: int) -> np.ndarray:
    """Return a frame by way of a file that holds it alone; raises where GDCM cannot unpack it."""
    import SimpleITK as sitk  # noqa: N813

    with TemporaryDirectory() as folder:
        path = Path(folder, "frame.dcm")
        _alone(tags, frame).save_as(path, enforce_file_format=True)
        with quiet_itk():
            return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]


def _alone(tags: Any, frame: int) -> Any:
    """Return a file with one frame as it is packed, and with nothing but what unpacking needs."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate, get_frame
    from pydicom.uid import CTImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = tags.file_meta.TransferSyntaxUID
    alone = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    alone.SOPClassUID, alone.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    alone.SamplesPerPixel, alone.PhotometricInterpretation = 1, "MONOCHROME2"
    for name in _COPIED:
        setattr(alone, name, int(tags[name].value))
    count = int(tags.get("NumberOfFrames") or 1)
    packed = get_frame(tags.PixelData, frame, number_of_frames=count)
    alone.PixelData = encapsulate([packed])
    alone["PixelData"].VR = "OB"
    return alone


def _damaged(path: Path) -> InputError:
    return InputError(f"{one_line(path.name)} is damaged. Copy it again.")
