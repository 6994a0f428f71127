"""The grid that the slices of one DICOM series make, or a sentence why they make none.

Positions come from ImagePositionPatient and ImageOrientationPatient alone (DICOM PS3.3 C.7.6.2).
"""

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..space.geometry import Geometry
from .dicom_header import SliceHeader

_SAME = 1e-3  # between orientations, and relative between pixel spacings, of one stack
_UNEVEN = 0.1  # relative deviation of one slice's distance from the median's
_ASKEW = 0.01  # mm aside per mm along the slices' normal: 0.6 degrees of gantry tilt


def alike(image: SliceHeader, other: SliceHeader) -> bool:
    """Return whether two placed images can be slices of one stack: size, spacing, orientation."""
    return (
        image.shape == other.shape
        and np.allclose(image.orientation, other.orientation, rtol=0, atol=_SAME)
        and np.allclose(image.spacing, other.spacing, rtol=_SAME)
    )


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


def _require_stack(slices: Sequence[SliceHeader], name: str) -> None:
    """Refuse images that are not slices of one straight stack."""
    first = slices[0]
    if not all(image.flat for image in slices):
        raise InputError(f"{name} has colour or multi-frame images. Export grey slices.")
    if not all(image.placed for image in slices):
        raise InputError(f"{name} does not say where its slices lie. Give a CT or MR series.")
    if not all(alike(image, first) for image in slices):
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
