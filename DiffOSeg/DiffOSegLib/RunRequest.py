"""What is asked of one run, frozen when it is asked."""

from dataclasses import dataclass

from diffoseg.geometry import Box


@dataclass(frozen=True)
class RunRequest:
    """One volume, one region, some experts; nothing in it changes once the run has begun.

    Attributes:
        volumeNodeID: of the scalar volume, in the scene.
        region: LPS, mm, in the volume's own space, its parent transform taken off; None: all of it.
        model: name or path of the weights; "" is the default model.
        experts: what to draw, of the model's answers and in their order: "consensus" and names.
        samples: drawings for each expert.
        steps: of the sampler; None is the model's own choice.
        seed: the same seed gives the same drawings.
        device: "auto", "cpu", "cuda" or "mps".
    """

    volumeNodeID: str
    region: Box | None
    model: str
    experts: tuple[str, ...]
    samples: int
    steps: int | None
    seed: int
    device: str
