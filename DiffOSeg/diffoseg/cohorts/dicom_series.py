"""A volume as a DICOM CT series: one CT Image Storage file per slice (DICOM PS3.3 A.3)."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..files.atomic import replacing
from ..space.geometry import Geometry
from ..space.volume import Volume
from ..version import __version__

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_DAY, _TIME = "20000101", "120000"  # a phantom has no day; the same bytes in every run


def write_dicom_series(
    volume: Volume,
    folder: Path,
    *,
    series_description: str = "Phantom",
    patient_id: str = "PHANTOM",
    series_number: int = 1,
) -> list[Path]:
    """Write a volume as CT slices of 16 bits signed, in whole HU, uncompressed.

    Identifiers follow from the voxels and the arguments: the same volume gives the same bytes, and
    another one never the same identifiers.

    Args:
        volume: in HU; is rounded.
        folder: is made if missing; must hold nothing but an earlier series of the same size.
        series_description: shown by viewers.
        patient_id: stands for the name too.
        series_number: tells several series of one patient apart.

    Returns:
        The files, in the order of the volume's slices.

    Raises:
        InputError: values beyond 16 bits, other files in the folder, or writing fails.
    """
    pixels = np.rint(volume.array)
    if pixels.min() < -32768 or pixels.max() > 32767:
        raise InputError("The volume's values do not fit a CT image. Give Hounsfield units.")
    stored = pixels.astype("<i2")
    names = [f"slice_{index + 1:04d}.dcm" for index in range(len(stored))]
    _require_own(folder, names)
    digest = hashlib.sha256(stored.tobytes() + repr(volume.geometry).encode()).hexdigest()
    entropy = [patient_id, series_description, str(series_number), digest]
    for index, name in enumerate(names):
        tags = _slice(volume.geometry, stored, index, entropy)
        tags.PatientName, tags.PatientID = f"{patient_id}^", patient_id
        tags.SeriesDescription, tags.SeriesNumber = series_description, series_number
        with replacing(folder / name) as part:
            folder.mkdir(parents=True, exist_ok=True)
            tags.save_as(part, enforce_file_format=True)
    return [folder / name for name in names]


def _require_own(folder: Path, names: list[str]) -> None:
    """Refuse a folder whose other files would be read as part of the series."""
    if folder.is_dir() and not {path.name for path in folder.iterdir()} <= set(names):
        raise InputError("The folder for the DICOM series holds other files. Give an empty one.")


def _slice(geometry: Geometry, stored: np.ndarray, index: int, entropy: list[str]) -> "FileDataset":
    """Return one slice with its pixels and its place in the patient."""
    tags = _frame(entropy, index)
    tags.InstanceNumber = index + 1
    tags.Rows, tags.Columns = stored.shape[1:]
    tags.PixelSpacing = _decimals([geometry.spacing[1], geometry.spacing[0]])
    (tags.SliceThickness,) = _decimals([geometry.spacing[2]])
    tags.ImageOrientationPatient = _decimals(geometry.matrix.T[:2].ravel())
    tags.ImagePositionPatient = _decimals(geometry.index_to_point((0, 0, index)))
    tags.PixelData = stored[index].tobytes()
    tags["PixelData"].VR = "OW"
    return tags


def _frame(entropy: list[str], index: int) -> "FileDataset":
    """Return what all slices share, and the identifiers of one."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

    def uid(*what: str) -> UID:
        return generate_uid(entropy_srcs=[*entropy, *what])

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid("image", str(index))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    tags = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    tags.SpecificCharacterSet = "ISO_IR 192"
    tags.SOPClassUID, tags.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    tags.StudyInstanceUID, tags.SeriesInstanceUID = uid("study"), uid("series")
    tags.FrameOfReferenceUID, tags.PositionReferenceIndicator = uid("frame"), ""
    tags.PatientBirthDate = tags.PatientSex = tags.AccessionNumber = tags.ReferringPhysicianName = (
        ""
    )
    tags.StudyID, tags.PatientPosition, tags.Modality = "1", "HFS", "CT"
    tags.StudyDate = tags.SeriesDate = tags.ContentDate = _DAY
    tags.StudyTime = tags.SeriesTime = tags.ContentTime = _TIME
    tags.BodyPartExamined = "CHEST"
    tags.Manufacturer, tags.ManufacturerModelName = "DiffOSeg", "Phantom"
    tags.SoftwareVersions = __version__
    tags.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    tags.ImageComments = "Computed, not of a person"
    tags.KVP = tags.AcquisitionNumber = None
    tags.SamplesPerPixel, tags.PhotometricInterpretation = 1, "MONOCHROME2"
    tags.BitsAllocated, tags.BitsStored, tags.HighBit, tags.PixelRepresentation = 16, 16, 15, 1
    tags.RescaleIntercept, tags.RescaleSlope, tags.RescaleType = 0, 1, "HU"
    tags.WindowCenter, tags.WindowWidth = -600, 1500  # the lung
    return tags


def _decimals(values: list[float] | np.ndarray) -> list[str]:
    """Return numbers as DICOM's decimal strings, which hold at most 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(value)) for value in values]
