"""A request with everything at its default but what a test asks for."""

import inspect

from diffoseg.drawing.request import SegmentationRequest
from diffoseg.drawing.segmenter import Segmenter

_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(Segmenter.segment).parameters.items()
    if name in SegmentationRequest.__dataclass_fields__ and name != "image"
}


def a_request(image, region=None, **asked) -> SegmentationRequest:
    return SegmentationRequest(image, **{**_DEFAULTS, "region": region, **asked})
