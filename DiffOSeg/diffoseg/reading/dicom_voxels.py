"""The stored values of DICOM slices, rescaled, as pydicom finds them.

SimpleITK unpacks what is compressed by JPEG, for which pydicom needs further packages.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..files.names import readable_name
from .dicom_header import SliceHeader
from .quiet import quiet_itk

if TYPE_CHECKING:
    from pathlib import Path

_JPEG = "1.2.840.10008.1.2.4."
_BY_ITK = {_JPEG + end for end in ("50", "51", "57", "70", "80", "81", "90", "91")}
_RLE = "1.2.840.10008.1.2.5"


def read_voxels(stack: Sequence[SliceHeader]) -> np.ndarray:
    """Return the voxels of slices in their order, (K, J, I) float32; InputError where damaged."""
    array = np.empty((len(stack), *stack[0].shape), np.float32)
    frames: dict[Path, np.ndarray] = {}
    for plane, image in zip(array, stack, strict=True):
        plane[:] = read_plane(image, frames)
    return array


def read_plane(image: SliceHeader, frames: "dict[Path, np.ndarray] | None" = None) -> np.ndarray:
    """Return the pixels of one slice, (rows, columns) float32, rescaled.

    Args:
        image: what its header says.
        frames: keeps the frames of a file with several, which is read once.

    Raises:
        InputError: damaged, or compressed in a way that cannot be read here.
    """
    if image.frame is None:
        return _by_itk(image) if _packed_for_itk(image) else _by_pydicom(image)
    kept = {} if frames is None else frames
    if image.path not in kept:
        kept.clear()  # one file after the other
        kept[image.path] = _frames_of(image)
    slope, intercept = image.scale
    try:
        plane = kept[image.path][image.frame] * np.float64(slope) + intercept
        return plane.astype(np.float32).reshape(image.shape)
    except (IndexError, ValueError):
        raise InputError(f"{image.path.name} is damaged. Copy it again.") from None


def _packed_for_itk(image: SliceHeader) -> bool:
    """Return whether JPEG packs a file; raises InputError for what nothing here unpacks."""
    import pydicom

    try:
        meta = pydicom.dcmread(
            image.path, force=True, specific_tags=["Rows"], stop_before_pixels=True
        )
        syntax: Any = meta.file_meta.get("TransferSyntaxUID")
        packed = syntax is not None and syntax.is_compressed and str(syntax) != _RLE
        known = str(syntax) in _BY_ITK
    except Exception:  # no transfer syntax, or a private one
        return False
    if not packed or syntax.name == "Deflated Explicit VR Little Endian":
        return False
    if not known:
        raise InputError(
            f"{image.path.name} is compressed as {syntax.name}, which cannot be read here. Export"
            " it uncompressed."
        )
    return True


def _by_pydicom(image: SliceHeader) -> np.ndarray:
    """Return stored values times slope plus intercept, or through the table that stands for it."""
    import pydicom
    from pydicom.pixels import apply_modality_lut

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = pydicom.dcmread(image.path, force=True)
            _state_syntax(stored)
            if "ModalityLUTSequence" in stored:
                plane = apply_modality_lut(stored.pixel_array, stored)
            else:
                plane = stored.pixel_array * np.float64(image.scale[0]) + image.scale[1]
        return plane.astype(np.float32).reshape(image.shape)
    except Exception:  # pydicom raises nearly anything for what it cannot unpack
        raise InputError(f"{image.path.name} is damaged. Copy it again.") from None


def _state_syntax(stored: Any) -> None:
    """State how a file without a preamble was read, which pydicom wants to be told."""
    if "TransferSyntaxUID" not in stored.file_meta:
        from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

        implicit, little = stored.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        stored.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _frames_of(image: SliceHeader) -> np.ndarray:
    """Return all stored frames of a file, (F, rows, columns)."""
    import pydicom

    if _packed_for_itk(image):
        raise InputError(
            f"{image.path.name} holds compressed frames, which cannot be read here. Export it"
            " uncompressed."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = pydicom.dcmread(image.path, force=True)
            _state_syntax(stored)
            return stored.pixel_array.reshape(-1, *image.shape)
    except Exception:
        raise InputError(f"{image.path.name} is damaged. Copy it again.") from None


def _by_itk(image: SliceHeader) -> np.ndarray:
    import SimpleITK as sitk  # noqa: N813

    if image.inverted:  # whose values ITK would turn around
        raise InputError(
            f"{image.path.name} is stored as a negative (MONOCHROME1) and cannot be unpacked."
            " Export it uncompressed."
        )
    try:
        with readable_name(image.path) as name, quiet_itk():
            read = sitk.ReadImage(name, sitk.sitkFloat32)
        return sitk.GetArrayFromImage(read).reshape(image.shape)
    except (RuntimeError, ValueError):
        raise InputError(f"{image.path.name} is damaged. Copy it again.") from None
