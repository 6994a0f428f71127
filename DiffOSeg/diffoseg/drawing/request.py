"""What is asked of one segmentation, complete: the same request gives the same answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..space.geometry import Box
from ..space.volume import Volume


@dataclass(frozen=True)
class SegmentationRequest:
    """One volume, one region, some experts, and how to draw them.

    Attributes:
        image: one volume, any orientation and spacing.
        region: where to answer, LPS mm; None searches the whole volume first.
        experts: names, "consensus" among them where wanted; None asks all the model has.
        samples: plausible drawings of each, 1..1000.
        steps: network evaluations a sample by the model's own sampler, in place of the preset's;
            None leaves it to the preset.
        seed: names the draw.
        preset: one of ``presets.PRESETS``, how much care to take.
        renewal: how much of the noise each step draws anew, 0..1; see ``sampling.ddim``.
        presence: what the probability that an expert marks anything in the region is set to, in
            (0, 1]; 1 asks what is drawn given that anything is. None leaves it to the model. Only
            the fast kind can be told.
    """

    image: Volume
    region: Box | None
    experts: Sequence[str] | None
    samples: int
    steps: int | None
    seed: int
    preset: str
    renewal: float
    presence: float | None
