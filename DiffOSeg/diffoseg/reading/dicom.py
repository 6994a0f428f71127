"""DICOM slices as one volume, or a sentence why they are none.

Headers are read with pydicom, which says what each file is; voxels with SimpleITK, which knows the
compressed transfer syntaxes and applies rescale slope and intercept slice by slice. Positions come
from ImagePositionPatient and ImageOrientationPatient alone (DICOM PS3.3 C.7.6.2).
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import walk
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..space.geometry import Geometry
from ..space.volume import Volume
from .quiet import quiet_itk

_MOST_FILES = 20_000
_MOST_LISTED = 8
_SAME = 1e-3  # between orientations, and relative between pixel spacings, of one stack
_UNEVEN = 0.1  # relative deviation of one slice's distance from the median's
_ASKEW = 0.01  # mm aside per mm along the slices' normal: 0.6 degrees of gantry tilt
_TAGS = [
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "SeriesNumber",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "PixelSpacing",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
]


@dataclass(frozen=True)
class SliceHeader:
    """What the header of one image says."""

    path: Path
    uid: str  # of this image
    series: str
    patient: str
    number: str
    modality: str
    scout: bool
    flat: bool  # one frame of one value per pixel
    inverted: bool  # shown bright where the values are low, which changes no value
    shape: tuple[int, int]  # rows, columns
    spacing: tuple[float, ...]  # mm between rows, between columns
    thickness: float
    position: np.ndarray
    orientation: np.ndarray  # (2, 3): along a row, along a column

    @property
    def placed(self) -> bool:
        """Whether the header says where the slice is in the patient."""
        lengths = (self.position.size, self.orientation.size, len(self.spacing))
        return lengths == (3, 6, 2) and bool(np.isfinite([*self.position, *self.spacing]).all())

    @property
    def normal(self) -> np.ndarray:
        """The direction across the slice, (3,)."""
        return np.cross(*self.orientation)


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM files do, or is called one."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM" or path.suffix.lower() == ".dcm"
    except OSError:
        return False


def read_dicom_file(path: Path) -> Volume:
    """Return one slice as a volume; raises InputError where it is no placed slice of a scan."""
    image = read_header(path)
    if image is None:
        raise InputError(f"{path.name} holds no image. Give a CT or MR slice, or its folder.")
    if image.scout:
        raise InputError(f"{path.name} is a scout image. Give a slice, or the folder of a series.")
    return _volume([image], path.name)


def read_dicom_folder(folder: Path, series: int | str | None) -> Volume:
    """Return the one series in a folder and its subfolders, or the one of that number or UID.

    Scouts, colour pictures and X-ray images beside the slices are left out, and noted so.

    Raises:
        InputError: no series, several and none chosen, or slices that do not make one volume.
    """
    images = [image for path in _files(folder) if (image := read_header(path)) is not None]
    if not images:
        raise InputError("The folder holds no DICOM images. Give the folder of a CT or MR series.")
    slices = [image for image in images if not image.scout]
    if not slices:
        raise InputError(
            "The folder holds only scout images. Give the folder of a CT or MR series."
        )
    usable = [image for image in slices if image.flat and image.placed] or slices
    chosen = _choose(_by_series(usable), series)
    volume = _volume(chosen, f"Series {chosen[0].number}")
    left = len(images) - len(usable)
    if not left:
        return volume
    note = (
        f"{left} scout{'s' if left > 1 else ''} or other image{'s' if left > 1 else ''} left out."
    )
    return Volume(volume.array, volume.geometry, volume.modality, volume.name, (note,))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the DICOM files below a folder, in one order on every machine."""
    seen = 0
    for parent, folders, names in walk(folder):
        folders.sort()
        seen += len(names)
        if seen > _MOST_FILES:
            raise InputError(
                f"The folder holds more than {_MOST_FILES} files. Give the folder of one series."
            )
        yield from (path for name in sorted(names) if is_dicom(path := Path(parent, name)))


def read_header(path: Path) -> SliceHeader | None:
    """Return what a file says of its image, or None where it holds none."""
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            return _slice(path, tags) if "Rows" in tags and "Columns" in tags else None
    except Exception:  # a forged header can make pydicom raise nearly anything
        return None


def _slice(path: Path, tags: Any) -> SliceHeader:
    orientation = _numbers(tags, "ImageOrientationPatient")
    series = str(tags.get("SeriesInstanceUID", ""))
    return SliceHeader(
        path=path,
        uid=str(tags.get("SOPInstanceUID", "")),
        series=series,
        patient=str(tags.get("PatientID") or ""),
        number=str(tags.get("SeriesNumber") or series or "without a number"),
        modality=str(tags.get("Modality") or ""),
        scout="LOCALIZER" in (tags.get("ImageType") or ()),
        flat=int(tags.get("SamplesPerPixel") or 1) == 1
        and int(tags.get("NumberOfFrames") or 1) == 1,
        inverted=str(tags.get("PhotometricInterpretation") or "").strip() == "MONOCHROME1",
        shape=(int(tags.Rows), int(tags.Columns)),
        spacing=tuple(_numbers(tags, "PixelSpacing")),
        thickness=float(tags.get("SliceThickness") or 0),
        position=_numbers(tags, "ImagePositionPatient"),
        orientation=orientation.reshape(2, 3) if orientation.size == 6 else orientation,
    )


def _numbers(tags: Any, name: str) -> np.ndarray:
    value = tags.get(name)
    return np.array([] if value is None else value, float).reshape(-1)


def _by_series(slices: Sequence[SliceHeader]) -> list[list[SliceHeader]]:
    found: dict[str, list[SliceHeader]] = {}
    for image in slices:
        found.setdefault(image.series, []).append(image)
    return list(found.values())


def _choose(found: list[list[SliceHeader]], series: int | str | None) -> list[SliceHeader]:
    """Return the only series, or the one asked for by number or UID."""
    wanted = None if series is None else str(series).strip()
    matches = [
        group for group in found if wanted is None or wanted in (group[0].number, group[0].series)
    ]
    if len(matches) == 1:
        return matches[0]
    listed = matches or found
    numbers = [group[0].number for group in listed]
    lines = "; ".join(
        _describe(group, numbers.count(group[0].number) == 1) for group in listed[:_MOST_LISTED]
    )
    more = "; and others" if len(listed) > _MOST_LISTED else ""
    problem = (
        f"The folder holds {len(listed)} series"
        if matches or wanted is None
        else (f"The folder holds no series {wanted}, but {len(listed)} other")
    )
    raise InputError(f"{problem}: {lines}{more}. Choose one with --series.")


def _describe(group: Sequence[SliceHeader], unique: bool) -> str:
    """Name a series by nothing of the patient: number or UID, modality, size."""
    first = group[0]
    rows, columns = first.shape
    name = first.number if unique else first.series
    slices = f"{len(group)} slice{'s' if len(group) > 1 else ''} of {columns} x {rows}"
    return f"{name} ({first.modality or 'no modality'}, {slices})"


def _volume(slices: Sequence[SliceHeader], name: str) -> Volume:
    """Stack the slices of one series; ``name`` is what sentences call them."""
    stack, geometry = stacked(slices, name)
    return Volume(read_voxels(stack), geometry, stack[0].modality)


def stacked(slices: Sequence[SliceHeader], name: str) -> tuple[list[SliceHeader], Geometry]:
    """Return the slices of one series in the order of their places, and the grid that they make.

    Reads no voxel. ``name`` is what sentences call the series. Raises InputError where the slices
    do not make one straight stack without gaps.
    """
    _require_stack(slices, name)
    first = slices[0]
    stack = sorted(slices, key=lambda image: float(image.position @ first.normal))
    spacing = _slice_spacing(stack, name)
    rows, columns = first.shape
    geometry = Geometry(
        (columns, rows, len(stack)),
        (first.spacing[1], first.spacing[0], spacing),
        (*stack[0].position,),
        tuple(np.stack([*first.orientation, first.normal], axis=1).ravel()),
    )
    return stack, geometry


def read_voxels(stack: Sequence[SliceHeader]) -> np.ndarray:
    """Return the voxels of slices in their order, (K, J, I) float32; InputError where damaged."""
    array = np.empty((len(stack), *stack[0].shape), np.float32)
    for plane, image in zip(array, stack, strict=True):
        plane[:] = read_plane(image)
    return array


def _require_stack(slices: Sequence[SliceHeader], name: str) -> None:
    """Refuse images that are not slices of one straight stack."""
    first = slices[0]
    if not all(image.flat for image in slices):
        raise InputError(f"{name} has colour or multi-frame images. Export single grey slices.")
    if not all(image.placed for image in slices):
        raise InputError(f"{name} does not say where its slices lie. Give a CT or MR series.")
    if not all(
        image.shape == first.shape
        and np.allclose(image.orientation, first.orientation, rtol=0, atol=_SAME)
        and np.allclose(image.spacing, first.spacing, rtol=_SAME)
        for image in slices
    ):
        raise InputError(
            f"{name} has images of different orientation or size. Export one stack of slices."
        )


def _slice_spacing(stack: Sequence[SliceHeader], name: str) -> float:
    """Return mm from slice to slice; raises InputError for gaps, repeats and a tilted gantry."""
    if len(stack) == 1:
        if stack[0].thickness <= 0:
            raise InputError(f"{name} does not say how thick it is. Give the whole series.")
        return stack[0].thickness
    normal = stack[0].normal
    offsets = np.array([image.position - stack[0].position for image in stack])
    places = offsets @ normal
    steps = np.diff(places)
    usual = float(np.median(steps))
    if steps.min() <= _UNEVEN * usual:
        raise InputError(
            f"{name} has several images at one place, such as time points. Export one of each."
        )
    if np.abs(steps - usual).max() > _UNEVEN * usual:
        raise InputError(
            f"{name} lacks slices: two are {steps.max():.4g} mm apart and most {usual:.4g} mm."
            " Export the complete series."
        )
    off = float(np.abs(places - places[-1] / (len(stack) - 1) * np.arange(len(stack))).max())
    if off > _UNEVEN * usual:
        raise InputError(
            f"{name} has slices that lie up to {off:.2g} mm from an even grid, with steps from"
            f" {steps.min():.4g} to {steps.max():.4g} mm. Resample it to even steps first."
        )
    aside = np.linalg.norm(offsets - places[:, None] * normal, axis=1)
    if (aside > _ASKEW * places + 0.05).any():
        raise InputError(
            f"{name} was scanned with a tilted gantry. Resample it to a straight grid first."
        )
    return round(float(places[-1]) / (len(stack) - 1), 6)  # not finer than DICOM's decimals


def read_plane(image: SliceHeader) -> np.ndarray:
    """Return the pixels of one slice, (rows, columns), rescaled; InputError where damaged."""
    import SimpleITK as sitk  # noqa: N813

    if image.inverted:
        return _stored_plane(image)
    try:
        with quiet_itk():
            read = sitk.ReadImage(str(image.path), sitk.sitkFloat32)
        return sitk.GetArrayFromImage(read).reshape(image.shape)
    except (RuntimeError, ValueError):
        raise InputError(f"{image.path.name} is damaged. Copy it again.") from None


def _stored_plane(image: SliceHeader) -> np.ndarray:
    """Return stored values times slope plus intercept by pydicom: ITK would invert MONOCHROME1."""
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = pydicom.dcmread(image.path)
            slope = float(stored.get("RescaleSlope") or 1)
            plane = stored.pixel_array * slope + float(stored.get("RescaleIntercept") or 0)
        return plane.astype(np.float32).reshape(image.shape)
    except Exception:  # pydicom raises nearly anything for what it cannot unpack
        raise InputError(
            f"{image.path.name} is stored as a negative (MONOCHROME1) and cannot be unpacked."
            " Export it uncompressed."
        ) from None
