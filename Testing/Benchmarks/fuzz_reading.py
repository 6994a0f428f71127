"""Damaged files by the thousand through the readers: nothing but a sentence may come of them.

python Testing/Benchmarks/fuzz_reading.py [--count 2000] [--seed 0] [--formats nifti,nrrd]

Headers are mutated and files cut short, and each goes through read_volume and read_region in a
process of its own kind, within 5 s and 3 GB. What is read in spite of it is compared with nibabel
or SimpleITK: where they refuse or read other numbers, that is told as a difference.
"""

import argparse
import contextlib
import gzip
import multiprocessing
import resource
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813
from fuzz_dicom import DICOM_FORMATS, SERIES, judged_in_folder

from diffoseg.errors import InputError
from diffoseg.output.seg_nrrd import write_seg_nrrd
from diffoseg.reading import read_region, read_volume
from diffoseg.reading.quiet import quiet_itk
from diffoseg.reading.seg_nrrd import read_seg_nrrd
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume, image_of

_SECONDS = 5.0
_BYTES = 3 * 2**30
_MOST_EXAMPLES = 8
_EXTREME = (b"-1", b"0", b"999999999", b"1e30", b"nan", b"inf", b"%s%n", b"", b"1,5", b"(0,0,0)")
_VOXELS = np.arange(7 * 6 * 5, dtype=np.int16).reshape(5, 6, 7) - 100
_GRID = Geometry((7, 6, 5), (0.7, 0.8, 2.5), (10, 20, 30))


def main() -> int:
    """Fuzz every format that is asked for; returns 1 where anything but sentences came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", default=",".join(FORMATS))
    arguments = parser.parse_args()
    worst = 0
    for name in arguments.formats.split(","):
        with tempfile.TemporaryDirectory() as folder:
            found, examples = fuzz(name, Path(folder), arguments.count, arguments.seed)
        print(name, ", ".join(f"{count} {what}" for what, count in sorted(found.items())))
        for example in examples:
            print(f"  {example}")
        worst += sum(count for what, count in found.items() if what in FAULTS)
    return int(worst > 0)


FAULTS = ("traceback", "aborted", "too slow", "differs")


def fuzz(name: str, folder: Path, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Return how often each thing came of it, and examples of faults."""
    suffix, make, mutate = FORMATS[name]
    whole = make(folder)
    random = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    examples: dict[str, str] = {}
    child = _Child()
    for number in range(count):
        path = folder / f"{number}{suffix}"
        path.write_bytes(mutate(whole, random))
        what, words = child.judge(path)
        found[what] += 1
        if what in FAULTS:
            examples.setdefault(words[:80], f"{what}: {words}")
            (Path(tempfile.gettempdir()) / f"fuzz-{what}{suffix}").write_bytes(path.read_bytes())
        path.unlink()
    child.stop()
    return found, list(examples.values())[:_MOST_EXAMPLES]


class _Child:
    """A process that reads one file after the other, and is replaced where one kills it."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=_serve, args=(theirs,))
        self._process.start()
        theirs.close()

    def judge(self, path: Path) -> tuple[str, str]:
        """Return what came of a file, and words on it."""
        self._ours.send(path)
        try:
            if self._ours.poll(_SECONDS):
                return self._ours.recv()
            what = "too slow", path.name
        except (EOFError, ConnectionError):
            what = "aborted", path.name
        self.stop()
        self._start()
        return what

    def stop(self) -> None:
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    warnings.simplefilter("ignore")
    while True:
        pipe.send(_judged(pipe.recv()))


def _judged(path: Path) -> tuple[str, str]:
    scan = Volume(_VOXELS.astype(np.float32), _GRID)
    try:
        if path.name.endswith(SERIES):
            return judged_in_folder(path)
        with contextlib.suppress(InputError):
            read_region(path, scan)
        if path.name.endswith(".seg.nrrd"):
            read_seg_nrrd(path)
            return "read", ""
        volume = read_volume(path)
    except InputError as error:
        text = str(error)
        plain = text.endswith((".", "?")) and "\n" not in text and text.isprintable()
        return ("refused", "") if plain else ("traceback", text[:200])
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"[:300]
    return ("read", "") if path.suffix == ".dcm" else _compared(path, volume)


def _compared(path: Path, volume: Volume) -> tuple[str, str]:
    """Compare what was read with another library, which may refuse what has a note."""
    try:
        array, spacing = _by_another(path)
    except Exception as error:
        kind = "read with a note" if volume.notes else "differs"
        return kind, f"the other refuses: {error}"[:200]
    same = np.array_equal(array, volume.array, equal_nan=True)
    placed = np.allclose(spacing, volume.geometry.spacing, rtol=1e-4)
    if same and placed:
        return "read", ""
    words = f"voxels {'same' if same else 'others'}, spacing {volume.geometry.spacing} {spacing}"
    return ("read with a note" if volume.notes else "differs"), words


def _by_another(path: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    if ".nii" in path.name:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        second = data[4:8] == b"n+2\0"
        image = (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_bytes(data)
        array = np.asarray(image.get_fdata(), np.float32)
        units = {"meter": 1000.0, "micron": 0.001}.get(image.header.get_xyzt_units()[0], 1.0)
        spacing = np.linalg.norm(image.affine[:3, :3], axis=0) * units
        return array.reshape(array.shape[:3]).T, tuple(spacing)
    with quiet_itk():
        image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image).astype(np.float32)
    return array.reshape(array.shape[:3]), image.GetSpacing()


def _flip(data: bytes, random: np.random.Generator, end: int) -> bytes:
    """Return data with up to four bytes of its header at other values."""
    changed = bytearray(data)
    for at in random.integers(0, end, random.integers(1, 5)):
        changed[at] = random.integers(0, 256)
    return bytes(changed)


def _cut(data: bytes, random: np.random.Generator) -> bytes:
    return data[: random.integers(0, len(data))]


def _mutated_nifti(data: bytes, random: np.random.Generator) -> bytes:
    kind = random.integers(0, 4)
    changed = _cut(data, random) if kind == 0 else _flip(data, random, 352)
    if kind == 1:  # a field at an extreme value
        at = int(random.integers(0, 86)) * 4
        value = random.choice(np.array([np.nan, np.inf, -1, 0, 1e30, 1e-30], "<f4"))
        changed = data[:at] + value.tobytes() + data[at + 4 :]
    if kind == 3:
        packed = gzip.compress(changed, mtime=0)
        return _cut(packed, random) if random.random() < 0.3 else packed
    return changed


def _mutated_text(data: bytes, random: np.random.Generator) -> bytes:
    kind = random.integers(0, 5)
    end = max(data.find(b"\n\n"), data.find(b"LOCAL")) + 2
    if kind == 0:
        return _cut(data, random)
    if kind == 1:
        return _flip(data, random, end)
    lines = data[:end].split(b"\n")
    at = int(random.integers(1, max(2, len(lines) - 1)))
    if kind == 2:
        del lines[at]
    elif kind == 3:
        lines.insert(at, lines[int(random.integers(0, len(lines)))])
    else:
        words = lines[at].split(b" ")
        words[int(random.integers(0, len(words)))] = _EXTREME[int(random.integers(len(_EXTREME)))]
        lines[at] = b" ".join(words)
    return b"\n".join(lines) + data[end:]


def _nifti(folder: Path) -> bytes:
    path = folder / "whole.nii"
    nibabel.save(nibabel.Nifti1Image(_VOXELS.T, np.diag([-0.7, -0.8, 2.5, 1])), path)
    return path.read_bytes()


def _nifti2(folder: Path) -> bytes:
    path = folder / "whole.nii"
    nibabel.save(nibabel.Nifti2Image(_VOXELS.T, np.diag([-0.7, -0.8, 2.5, 1])), path)
    return path.read_bytes()


def _by_itk(suffix: str, packed: bool) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        path = folder / f"whole{suffix}"
        sitk.WriteImage(image_of(_VOXELS, _GRID), str(path), useCompression=packed)
        return path.read_bytes()

    return make


def _segments(folder: Path) -> bytes:
    path = folder / "whole.seg.nrrd"
    masks = {"Lesion": _VOXELS > 20, "Edge": _VOXELS > 50}
    write_seg_nrrd(path, masks, _GRID, colors=dict.fromkeys(masks, (1.0, 0.0, 0.0)))
    return path.read_bytes()


Made = tuple[str, Callable[[Path], bytes], Callable[[bytes, np.random.Generator], bytes]]
FORMATS: dict[str, Made] = {
    "nifti": (".nii.gz", _nifti, _mutated_nifti),
    "nifti2": (".nii.gz", _nifti2, _mutated_nifti),
    "nrrd": (".nrrd", _by_itk(".nrrd", False), _mutated_text),
    "nrrd-gzip": (".nrrd", _by_itk(".nrrd", True), _mutated_text),
    "meta": (".mha", _by_itk(".mha", False), _mutated_text),
    "meta-zlib": (".mha", _by_itk(".mha", True), _mutated_text),
    "segments": (".seg.nrrd", _segments, _mutated_text),
    **DICOM_FORMATS,
}

if __name__ == "__main__":
    sys.exit(main())
