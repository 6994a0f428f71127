"""The table of cases as files and a data list, from which a server trains without Slicer."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from diffoseg.cohorts.datalist import DataEntry, write_datalist
from diffoseg.errors import InputError
from diffoseg.experts.panel import unused_color
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.space.geometry import Geometry

from .CaseRows import CaseRow
from .FileWork import Files, FilesEvent
from .SceneCases import SceneCase, patientKeys, sceneCase

_SLAB_BYTES = 4 << 20
_TYPES = {
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "int32": "int32",
    "uint32": "uint32",
    "int64": "int64",
    "uint64": "uint64",
    "float32": "float",
    "float64": "double",
}


def exportCases(rows: Sequence[CaseRow], expertName: str, path: Path) -> Files:
    """Write scans, drawings and the list of them; files are named by number, not by patient.

    Args:
        rows: of the table.
        expertName: who drew the rows that name nobody.
        path: of the list; the files go into a folder beside it, "list-cases" for "list.json".
    """
    folder = path.with_name(f"{path.stem}-cases")
    folder.mkdir(exist_ok=True)
    scans = list(dict.fromkeys(row.volume for row in rows))
    patients = patientKeys(rows)
    entries: list[DataEntry] = []
    for number, volumeNode in enumerate(scans, start=1):
        name = f"case-{number:04d}"
        told = _("Writing scan {number} of {total}.").format(number=number, total=len(scans))
        yield FilesEvent("progress", told, number - 1, len(scans))
        own = [(n, row) for n, row in enumerate(rows, start=1) if row.volume is volumeNode]
        cases = [_case(n, row) for n, row in own]
        for _slab in writeNrrd(cases[0].geometry, volumeNode, folder / f"{name}.nrrd"):
            yield FilesEvent("progress", told, number - 1, len(scans))
        drawn = _writeDrawings(cases, folder / f"{name}.seg.nrrd")
        for lesion, (case, segment) in enumerate(zip(cases, drawn, strict=True), start=1):
            entries.append(
                DataEntry(
                    image=folder / f"{name}.nrrd",
                    label=folder / f"{name}.seg.nrrd",
                    drawn={segment: case.row.drawnBy(expertName)},
                    region=case.region,
                    patient=patients[case.row.id],
                    name=name if len(cases) == 1 else f"{name}-{lesion}",
                )
            )
    write_datalist(path, entries)
    if len(entries) == 1:
        return _("1 case was written beside {name}.").format(name=path.name)
    return _("{n} cases were written beside {name}.").format(n=len(entries), name=path.name)


def writeNrrd(
    geometry: Geometry, volumeNode: "slicer.vtkMRMLScalarVolumeNode", path: Path
) -> Iterator[None]:
    """Write a volume, uncompressed, 4 MB at each step.

    Args:
        geometry: the volume's own grid, LPS.
        volumeNode: whose voxels are written.
        path: ends in .nrrd.
    """
    voxels = slicer.util.arrayFromVolume(volumeNode)
    steps = map(_vector, geometry.matrix.T * np.array(geometry.spacing)[:, None])
    lines = [
        "NRRD0004",
        f"type: {_TYPES[voxels.dtype.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, geometry.size))}",
        f"space directions: {' '.join(steps)}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: raw",
        f"space origin: {_vector(np.array(geometry.origin))}",
    ]
    part = path.with_name(f".part-{path.name}")
    try:
        with part.open("wb") as file:
            file.write("\n".join([*lines, "", ""]).encode("ascii"))
            planes = max(1, voxels.nbytes // _SLAB_BYTES)
            for slab in np.array_split(voxels, planes):
                file.write(np.ascontiguousarray(slab, slab.dtype.newbyteorder("<")).data)
                yield
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _case(number: int, row: CaseRow) -> SceneCase:
    try:
        return sceneCase(row)
    except InputError as error:
        raise InputError(
            _("Case {number}: {problem}").format(number=number, problem=error)
        ) from error


def _writeDrawings(cases: Sequence[SceneCase], path: Path) -> list[str]:
    """Write the drawings on one scan's voxels; return the segments' names, which all differ."""
    drawn = [case.mask for case in cases if case.mask.voxels.size]
    if drawn:
        start = np.min([mask.start for mask in drawn], axis=0)
        size = np.max([np.add(mask.start, mask.size) for mask in drawn], axis=0) - start
    else:
        start, size = np.zeros(3, int), np.ones(3, int)
    names: list[str] = []
    colors: list[tuple[float, float, float]] = []
    for case in cases:
        names.append(_free(case.row.segmentName or "Segment", names))
        colors.append(unused_color(colors))
    masks = [case.mask.within(start, size) for case in cases]
    write_seg_nrrd(
        path,
        dict(zip(names, masks, strict=True)),
        cases[0].geometry.crop(start, size),
        colors=dict(zip(names, colors, strict=True)),
    )
    return names


def _free(name: str, taken: Sequence[str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free


def _vector(values: np.ndarray) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
