"""Slices of one DICOM series as one straight stack, or a sentence why they are none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..space.geometry import Geometry
from .dicom_header import SliceHeader
from .dicom_voxels import read_plane

_SAME = 1e-3  # between orientations, and relative between pixel spacings, of one stack
_UNEVEN = 0.1  # relative deviation of one slice's distance from the median's
_ASKEW = 0.01  # mm aside per mm along the slices' normal: 0.6 degrees of gantry tilt
_FEW = 0.1  # of a series, or one image, that may be of another kind
_LEAST_SLICES = 3  # that make a stack beside images of another kind


@dataclass(frozen=True)
class Stack:
    """Slices in the order of their places, the grid that they make, and what was left out."""

    slices: tuple[SliceHeader, ...]
    geometry: Geometry
    notes: tuple[str, ...] = ()


def stacked(slices: Sequence[SliceHeader], name: str) -> Stack:
    """Return the slices of one series as a stack.

    Reads voxels only where two images are at one place: a copy is left out, and noted so, as is an
    odd image among many. ``name`` is what sentences call the series. Raises InputError where the
    slices do not make one straight stack without gaps.
    """
    kind, others = _of_one_kind(slices)
    _require_stack(kind, name)
    first = kind[0]
    ordered = sorted(kind, key=lambda image: float(image.position @ first.normal))
    stack = _without_copies(ordered)
    spacing = _slice_spacing(stack, name)
    rows, columns = first.shape
    geometry = Geometry(
        (columns, rows, len(stack)),
        (first.spacing[1], first.spacing[0], spacing),
        (*stack[0].position,),
        tuple(np.stack([*first.orientation, first.normal], axis=1).ravel()),
    )
    copies = len(ordered) - len(stack)
    notes = (
        _note(
            others, "image of another size or orientation", "images of other sizes or orientations"
        ),
        _note(copies, "copy of a slice", "copies of slices"),
    )
    return Stack(tuple(stack), geometry, tuple(filter(None, notes)))


def _note(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several} left out." if count else ""


def _of_one_kind(slices: Sequence[SliceHeader]) -> tuple[list[SliceHeader], int]:
    """Return the slices that make up nearly all of a series, and how few others there are."""
    kinds: dict[int, list[SliceHeader]] = {}
    for image in slices:
        like = next((row for row, kind in kinds.items() if _alike(kind[0], image)), len(kinds))
        kinds.setdefault(like, []).append(image)
    most = max(kinds.values(), key=len)
    others = len(slices) - len(most)
    if len(most) < _LEAST_SLICES or others > max(1, _FEW * len(slices)):
        return list(slices), 0
    return most, others


def _alike(one: SliceHeader, other: SliceHeader) -> bool:
    """Return whether two images can be slices of one stack."""
    return (
        (one.flat, one.placed, one.shape) == (other.flat, other.placed, other.shape)
        and np.shape(one.orientation) == np.shape(other.orientation)
        and np.allclose(one.orientation, other.orientation, rtol=0, atol=_SAME)
        and len(one.spacing) == len(other.spacing)
        and np.allclose(one.spacing, other.spacing, rtol=_SAME)
    )


def _without_copies(ordered: Sequence[SliceHeader]) -> list[SliceHeader]:
    """Return slices without those that are at the place of another and equal it voxel by voxel."""
    kept: list[SliceHeader] = []
    for image in ordered:
        if not (kept and _is_copy(image, kept[-1])):
            kept.append(image)
    return kept


def _is_copy(image: SliceHeader, other: SliceHeader) -> bool:
    """Return whether two images are one; their voxels are read only where their places agree."""
    return np.allclose(image.position, other.position, rtol=0, atol=_SAME) and np.array_equal(
        read_plane(image), read_plane(other)
    )


def _require_stack(slices: Sequence[SliceHeader], name: str) -> None:
    """Refuse images that are not slices of one straight stack."""
    first = slices[0]
    if not all(image.flat for image in slices):
        raise InputError(f"{name} has colour or multi-frame images. Export single grey slices.")
    if not all(image.placed for image in slices):
        raise InputError(f"{name} does not say where its slices lie. Give a CT or MR series.")
    if not all(_alike(first, image) for image in slices):
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
