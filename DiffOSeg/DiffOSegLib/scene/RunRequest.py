"""What is asked of one run, frozen when it is asked."""

from dataclasses import dataclass

from diffoseg.model.presets import STANDARD
from diffoseg.space.geometry import Box


@dataclass(frozen=True)
class RunRequest:
    """One volume, one region, some experts; nothing in it changes once the run has begun.

    Attributes:
        volumeNodeID: of the scalar volume, in the scene.
        region: LPS, mm, in the volume's own space, its parent transform taken off; None: all of it.
        model: name or path of the weights; "" is the default model.
        experts: what to draw, of the model's answers and in their order: "consensus" and names.
        samples: drawings for each expert.
        steps: of the model's own sampler; None leaves it to the preset.
        seed: the same seed gives the same drawings.
        device: "auto", "cpu", "cuda" or "mps".
        preset: one of ``diffoseg.model.presets.PRESETS``, how much care to take.
        presence: what the chance that an expert marks anything is set to, in (0, 1], 1 being "given
            that something is marked"; None leaves it to the model. See ``Presence.givenTo``.
    """

    volumeNodeID: str
    region: Box | None
    model: str
    experts: tuple[str, ...]
    samples: int
    steps: int | None
    seed: int
    device: str
    preset: str = STANDARD
    presence: float | None = None

    @property
    def presetUsed(self) -> str | None:
        """The preset; None where a number of steps stands in its place."""
        return self.preset if self.steps is None else None
