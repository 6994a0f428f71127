"""A DICOM file or folder as one volume, or a sentence why it is none."""

from collections.abc import Iterable, Sequence
from filecmp import cmp
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files.values import one_line
from ..space.volume import Volume
from .dicom_files import read_folder
from .dicom_header import HeaderError, SliceHeader, read_frames
from .dicom_stack import alike, stacked
from .dicom_voxels import read_plane, read_voxels

_MOST_LISTED = 8
_MOST_NAMED = 4
_FEW = 4  # slices of a stack for each image beside it that may be left out


def read_dicom_file(path: Path) -> Volume:
    """Return one slice, or the frames of one file, as a volume; InputError where it is no scan."""
    images = read_frames(path)
    if not images:
        raise InputError(f"{path.name} holds no image. Give a CT or MR slice, or its folder.")
    if images[0].modality == "SEG":
        raise InputError(
            f"{path.name} is a segmentation, not a scan. Give the scan that it was drawn on."
        )
    if images[0].scout:
        raise InputError(f"{path.name} is a scout image. Give a slice, or the folder of a series.")
    return _volume(images, one_line(path.name), [])


def read_dicom_folder(folder: Path, series: int | str | None) -> Volume:
    """Return the one series in a folder and its subfolders, or the one of that number or UID.

    Scouts, colour pictures and X-ray images beside the slices are left out, and noted so; so are
    copies of slices and the odd image that is no slice of the stack.

    Raises:
        InputError: no series, several and none chosen, slices that do not make one volume, or files
            that should be slices and cannot be read.
    """
    found = read_folder(folder)
    if not found.images:
        _require_all_read(found.unread)
        raise InputError("The folder holds no DICOM images. Give the folder of a CT or MR series.")
    slices = [image for image in found.images if not image.scout]
    if not slices:
        raise InputError(
            "The folder holds only scout images. Give the folder of a CT or MR series."
        )
    usable = [image for image in slices if image.flat and image.placed] or slices
    chosen = _choose(_by_series(usable), series)
    own = chosen[0].series
    _require_all_read(error for error in found.unread if error.series in ("", own))
    _require_places(chosen, [image for image in slices if image.series == own])
    left = len(found.images) - len(usable)
    notes = [f"{_count(left, 'scout or other image', 'scouts or other images')} left out."]
    others = [error for error in found.unread if error.series not in ("", own)]
    notes = (notes if left else []) + ([f"Of other series, {_unread(others)}."] if others else [])
    return _volume(chosen, f"Series {chosen[0].number}", notes)


def _require_all_read(unread: Iterable[HeaderError]) -> None:
    """Refuse files that should be slices: those at the end of a stack, nobody would miss."""
    if errors := list(unread):
        raise InputError(
            f"{_unread(errors)}. Copy or export them again, or take them out of the folder."
        )


def _unread(errors: Sequence[HeaderError]) -> str:
    """Return how many files cannot be read, and the names of the first."""
    named = ", ".join(
        f"{one_line(error.path.name)} ({error.reason})" for error in errors[:_MOST_NAMED]
    )
    more = f" and {len(errors) - _MOST_NAMED} more" if len(errors) > _MOST_NAMED else ""
    return (
        f"{_count(len(errors), 'file', 'files')} that may be slices cannot be read: {named}{more}"
    )


def _require_places(chosen: Sequence[SliceHeader], series: Sequence[SliceHeader]) -> None:
    """Refuse images of the chosen series that would be slices, were it known where they lie."""
    lost = [
        image
        for image in series
        if image.flat and not image.placed and image.shape == chosen[0].shape
    ]
    if lost and chosen[0].placed:
        raise InputError(
            f"{_count(len(lost), 'image', 'images')} of the series do not say where in the patient"
            f" they lie, the first is {one_line(lost[0].path.name)}. Export the series again, or"
            " take them out of the folder."
        )


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


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
    lines = "; ".join(_descriptions(listed)[:_MOST_LISTED])
    more = "; and others" if len(listed) > _MOST_LISTED else ""
    problem = (
        f"The folder holds {len(listed)} series"
        if matches or wanted is None
        else (f"The folder holds no series {wanted}, but {len(listed)} other")
    )
    raise InputError(f"{problem}: {lines}{more}. Choose one with --series.")


def _descriptions(groups: Sequence[Sequence[SliceHeader]]) -> list[str]:
    """Name each series by nothing of the patient, and with more where two look the same."""
    numbers = [group[0].number for group in groups]
    sizes = [_size(group) for group in groups]
    return [
        f"{group[0].number if numbers.count(group[0].number) == 1 else group[0].series}"
        f" ({size}{_details(group) if sizes.count(size) > 1 else ''})"
        for group, size in zip(groups, sizes, strict=True)
    ]


def _size(group: Sequence[SliceHeader]) -> str:
    rows, columns = group[0].shape
    return (
        f"{group[0].modality or 'no modality'},"
        f" {_count(len(group), 'slice', 'slices')} of {columns} x {rows}"
    )


def _details(group: Sequence[SliceHeader]) -> str:
    """Return what tells a series from another one of the same size."""
    first = group[0]
    facts = [f"kernel {first.kernel}"] if first.kernel else []
    facts += [f"{first.thickness:g} mm thick"] if first.thickness else []
    if first.placed:
        places = [float(image.position @ first.normal) for image in group if image.placed]
        facts += [f"pixels of {first.spacing[1]:.3g} mm"]
        facts += [f"from {min(places):.5g} to {max(places):.5g} mm"]
    return "".join(f", {fact}" for fact in facts)


def _volume(slices: Sequence[SliceHeader], name: str, notes: Sequence[str]) -> Volume:
    """Stack the slices of one series; ``name`` is what sentences call them."""
    kept, strange = _without_strangers(slices)
    single, copies = _without_copies(kept)
    stack, geometry = stacked(single, name)
    said = [*notes]
    if strange:
        odd = _count(strange, "image", "images")
        said.append(f"{odd} of another size or orientation left out.")
    if copies:
        said.append(f"{_count(copies, 'copy of a slice', 'copies of slices')} left out.")
    return Volume(read_voxels(stack), geometry, stack[0].modality, notes=tuple(said))


def _without_strangers(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], int]:
    """Return the slices without the few images that are none of the stack, and how many those were.

    All are returned where they are too many to be strangers.
    """
    if not all(image.placed and image.flat for image in slices):
        return list(slices), 0
    kinds: list[list[SliceHeader]] = []
    for image in slices:
        for kind in kinds:
            if alike(image, kind[0]):
                kind.append(image)
                break
        else:
            kinds.append([image])
    largest = max(kinds, key=len)
    strange = len(slices) - len(largest)
    few = len(largest) >= 3 and strange <= max(1, len(largest) // _FEW)
    return (largest, strange) if few else (list(slices), 0)


def _without_copies(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], int]:
    """Return the slices, each once, and how many were there again: same place and same pixels.

    All are returned where another image is at a slice's place: then no grid holds them.
    """
    if not all(image.placed and image.flat for image in slices):
        return list(slices), 0
    single: dict[tuple[float, ...], SliceHeader] = {}
    for image in slices:
        other = single.setdefault(tuple(image.position), image)
        if other is not image and not _is_copy(image, other):
            return list(slices), 0
    return list(single.values()), len(slices) - len(single)


def _is_copy(image: SliceHeader, other: SliceHeader) -> bool:
    """Return whether two files hold one slice; two frames of one file are no copies."""
    if image.path == other.path or not alike(image, other):
        return False
    whole = image.frame == other.frame and cmp(image.path, other.path, shallow=False)
    return whole or np.array_equal(read_plane(image), read_plane(other))
