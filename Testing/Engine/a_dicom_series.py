"""Tiny DICOM files for tests: a series of CT slices, and an enhanced file of many frames."""

import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels import pack_bits
from pydicom.uid import EnhancedCTImageStorage, SegmentationStorage, generate_uid

from diffoseg.cohorts.dicom_series import write_dicom_series
from diffoseg.space.geometry import Geometry
from diffoseg.space.volume import Volume


def a_series(folder, *, slices=8, number=1, seed=0, size=(5, 6)):
    """Write CT slices 2.5 mm apart, each of other values; returns their paths from feet to head."""
    array = np.random.default_rng(seed).integers(-900, 400, (slices, *size)).astype(float)
    geometry = Geometry(array.shape[::-1], (0.7, 0.8, 2.5), (-10, 20, 30))
    return write_dicom_series(Volume(array, geometry), folder, patient_id="P", series_number=number)


def change(path, **tags):
    """Give a file other values of some tags."""
    dataset = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


def with_text(path, name, text):
    """Write a tag's text as it is, even where pydicom would refuse it."""
    dataset = pydicom.dcmread(path)
    old = dataset.get_item(name)
    raw = text.encode() + b" " * (len(text) % 2)
    dataset._dict[old.tag] = pydicom.dataelem.RawDataElement(
        old.tag, old.VR, len(raw), raw, 0, False, True
    )
    dataset.save_as(path)


def an_enhanced_file(path, *, frames=4, order=None, slopes=None, shared_place=False):
    """Write frames 2 mm apart, stored in an order; returns (pixels, slopes) from feet to head."""
    pixels = np.random.default_rng(1).integers(0, 1000, (frames, 5, 6)).astype("<u2")
    order = list(order or range(frames))
    slopes = list(slopes or [1] * frames)
    tags = _of_many_frames(EnhancedCTImageStorage, frames, thickness=2)
    for place, item in zip(order, tags.PerFrameFunctionalGroupsSequence, strict=True):
        spot = 0 if shared_place else 2 * place
        item.PlanePositionSequence = [a_group(ImagePositionPatient=[-10, 20, 30 + spot])]
        item.PixelValueTransformationSequence = [
            a_group(RescaleSlope=slopes[place], RescaleIntercept=-1000, RescaleType="HU")
        ]
    tags.PixelRepresentation, tags.PixelData = 0, pixels[order].tobytes()
    tags.Rows, tags.Columns = pixels.shape[1:]
    tags.save_as(path)
    return pixels, np.array(slopes, float)


def a_segmentation_by_hand(path, mask, planes):
    """Write the segment "Hand", on some planes of a series' grid alone, in their order."""
    tags = _of_many_frames(SegmentationStorage, len(planes), thickness=2, apart=2.5)
    tags.Modality, tags.SegmentationType = "SEG", "BINARY"
    tags.BitsAllocated = tags.BitsStored = 1
    tags.HighBit = tags.PixelRepresentation = 0
    tags.SegmentSequence = [a_group(SegmentNumber=3, SegmentLabel="Hand")]
    shared = tags.SharedFunctionalGroupsSequence[0]
    shared.SegmentIdentificationSequence = [a_group(ReferencedSegmentNumber=3)]
    for plane, item in zip(planes, tags.PerFrameFunctionalGroupsSequence, strict=True):
        item.PlanePositionSequence = [a_group(ImagePositionPatient=[-10, 20, 30 + 2.5 * plane])]
    tags.Rows, tags.Columns = mask.shape[1:]
    tags.PixelData = pack_bits(mask[planes].astype(np.uint8))
    tags["PixelData"].VR = "OB"
    tags.save_as(path)
    return path


def a_group(**tags):
    """Return an item of a functional group."""
    item = Dataset()
    for name, value in tags.items():
        setattr(item, name, value)
    return item


def _of_many_frames(kind, frames, *, thickness, apart=None):
    """Return a file of a kind, with functional groups that say all but the frames' places."""
    with TemporaryDirectory() as folder:
        tags = copy.deepcopy(pydicom.dcmread(a_series(Path(folder, "one"), slices=1)[0]))
    for name in ("ImagePosition", "ImageOrientation"):
        delattr(tags, f"{name}Patient")
    for name in ("PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept"):
        delattr(tags, name)
    for name in ("RescaleType", "WindowCenter", "WindowWidth"):
        delattr(tags, name)
    tags.SOPClassUID = tags.file_meta.MediaStorageSOPClassUID = kind
    tags.SeriesInstanceUID, tags.NumberOfFrames = generate_uid(), frames
    shared = Dataset()
    shared.PixelMeasuresSequence = [a_group(PixelSpacing=[0.8, 0.7], SliceThickness=thickness)]
    if apart:
        shared.PixelMeasuresSequence[0].SpacingBetweenSlices = apart
    shared.PlaneOrientationSequence = [a_group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    tags.SharedFunctionalGroupsSequence = [shared]
    tags.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(frames)]
    return tags
