"""What a model is made of, in one checked object: what a file stores, and nothing that answers."""

from dataclasses import dataclass

from ..diffusion import CategoricalSchedule
from ..errors import InputError
from ..experts.local_expert import LocalExpert
from ..experts.panel import ExpertPanel
from ..networks.fast import FastNetwork
from ..networks.unet import UNet
from .calibration import IDENTITY, Calibration
from .metadata import ModelMetadata


@dataclass(frozen=True)
class ModelParts:
    """The networks of one kind, with all that is needed to use them.

    Of the kind "paper" there is a consensus network, an experts' network, or both. Of the kind
    "fast" there is one network, and its consensus is the mixture over its experts.

    Attributes:
        consensus: the network of stage I, or None.
        personal: the network of stage II, or None.
        schedule: the noise levels that they were trained with.
        panel: the experts, in the order of the network's rows, and then the local ones.
        metadata: what the model says about itself.
        fast: the fast network, or None.
        calibration: how the fast network's logits are corrected, and over what reach its beliefs
            are drawn as pieces; the paper's are left as they are.
        local: the experts that this model was taught, the last of the panel; see
            ``Model.with_experts``.

    The networks answer in evaluation mode, into which they are put here.
    """

    consensus: UNet | None
    personal: UNet | None
    schedule: CategoricalSchedule
    panel: ExpertPanel
    metadata: ModelMetadata
    fast: FastNetwork | None = None
    calibration: Calibration = IDENTITY
    local: tuple[LocalExpert, ...] = ()

    def __post_init__(self) -> None:
        if not self.networks:
            raise InputError("A model needs a consensus network, an experts' network, or both.")
        if self.fast is not None and len(self.networks) > 1:
            raise InputError("A fast network stands alone; the paper's are another model.")
        if (self.fast is not None) != (self.metadata.kind == "fast"):
            raise InputError(f"These networks are not of the kind {self.metadata.kind!r}.")
        if self.fast is None and self.calibration != IDENTITY:
            raise InputError("Only a fast network is calibrated; leave it out of the paper's.")
        if self.consensus is not None and self.consensus.config.experts:
            raise InputError("A network that knows experts cannot be the consensus network.")
        knowing = self.personal or self.fast
        if knowing is not None and knowing.config.experts != self.known:
            raise InputError(
                f"The network knows {knowing.config.experts} experts, but {self.known} are named."
                " Name each one."
            )
        sizes = (len(self.metadata.classes), len(self.metadata.image_channels))
        for network in self.networks:
            config = network.config
            if (config.classes, config.image_channels) != sizes:
                raise InputError(
                    f"The metadata name {sizes[0]} classes and {sizes[1]} image channels, the"
                    f" network has {config.classes} and {config.image_channels}."
                )
            network.eval()
        if self.fast is not None:
            self.fast.config.check_patch(self.metadata.patch)

    @property
    def networks(self) -> tuple[UNet | FastNetwork, ...]:
        """Those that there are."""
        networks = (self.consensus, self.personal, self.fast)
        return tuple(network for network in networks if network is not None)

    @property
    def has_consensus(self) -> bool:
        """Whether the consensus can be asked for."""
        return self.consensus is not None or self.fast is not None

    @property
    def experts(self) -> tuple[str, ...]:
        """Names of the experts that the model can draw like; none without an experts' network."""
        return () if self.personal is None and self.fast is None else self.panel.names

    @property
    def known(self) -> int:
        """How many experts of the panel are the network's own, whom the consensus is about."""
        return len(self.panel) - len(self.local)
