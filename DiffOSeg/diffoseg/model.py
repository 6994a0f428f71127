"""The model: networks, schedule, experts and what it says about itself, in one object."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .calibration import IDENTITY, Calibration
from .diffusion import CategoricalSchedule
from .errors import InputError
from .experts import ExpertPanel
from .local_expert import LocalExpert
from .metadata import ModelMetadata
from .networks.fast import Belief, FastNetwork, Features
from .networks.unet import UNet

__all__ = ["Model", "ModelMetadata"]


@dataclass(frozen=True)
class Model:
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
        local: the experts that this model was taught, the last of the panel; see ``with_experts``.

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
        if not self._networks:
            raise InputError("A model needs a consensus network, an experts' network, or both.")
        if self.fast is not None and len(self._networks) > 1:
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
        for network in self._networks:
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
    def _networks(self) -> tuple[UNet | FastNetwork, ...]:
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

    @property
    def codes(self) -> Tensor:
        """The code of each expert of the panel, float32 (E, W), on the fast network's device."""
        assert self.fast is not None
        own = self.fast.codes[: self.known]
        if not self.local:
            return own
        local = torch.from_numpy(np.stack([expert.code for expert in self.local]))
        return torch.cat([own, local.to(own.device)])

    def with_experts(self, local: Sequence[LocalExpert]) -> "Model":
        """Return a model that shares this one's network and can also draw like local experts.

        Consensus, search and every other expert answer as before, to the bit.

        Args:
            local: those it has then, in place of any that it has now.

        Raises:
            WeightsError: one was taught to other weights.
            InputError: one has a name that is taken, or this model is of the kind "paper".
        """
        from .weights import check_base

        check_base(self, local)
        own = ExpertPanel(self.panel[: self.known])
        panel = own.joined_by([expert.expert for expert in local])
        return replace(self, panel=panel, local=tuple(local))

    @property
    def parameter_count(self) -> int:
        """Number of trainable values of all networks."""
        return sum(values.numel() for net in self._networks for values in net.parameters())

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self._networks[0].parameters()).device

    def to(self, device: torch.device | str) -> "Model":
        """Move the networks to ``device``, in place, and return the model."""
        for network in self._networks:
            network.to(device)
        return self

    def predict_x0(
        self, x_t: Tensor, t: Tensor, image: Tensor, expert: Tensor | None = None
    ) -> Tensor:
        """Predict the clean mask from a noisy one.

        Args:
            x_t: noisy classes in 0..K-1, int64, (B, H, W); any H and W.
            t: their time, int64 in 1..T, (B,).
            image: mapped by ``metadata.intensity``, float, (B, C, H, W).
            expert: row of the expert to draw like, int64, (B,); None asks the consensus.

        Returns:
            Probabilities, float32, (B, K, H, W), sum to 1 over K.

        Raises:
            InputError: the model lacks what is asked for, or the shapes do not fit.
        """
        network = self.fast or self._network(expert)
        self._check(x_t, t, image, expert)
        if isinstance(network, FastNetwork):
            return self._fast_x0(network, x_t, t, image, expert)
        noisy = functional.one_hot(x_t, network.config.classes).movedim(-1, 1).float()
        return network(noisy, t, image.float(), expert)

    def _fast_x0(
        self, network: FastNetwork, x_t: Tensor, t: Tensor, image: Tensor, expert: Tensor | None
    ) -> Tensor:
        """Return p(x_0 | x_t) = P(anything | x_t) p(x_0 | x_t, anything), and the rest background.

        Images of any size: padded by their edge to a multiple of the network's stride.
        """
        height, width = x_t.shape[1:]
        stride = network.config.stride
        padding = (0, -width % stride, 0, -height % stride)
        image = functional.pad(image.float(), padding, mode="replicate")
        signs = functional.pad(2.0 * x_t[:, None] - 1, padding, mode="replicate")[:, 0]
        if expert is None:
            code, bias = (
                network.codes[[network.anyone] * len(t)],
                torch.zeros(len(t), device=self.device),
            )
        else:
            code, bias = self.codes[expert], self._presence_bias[expert]
        survival = self.schedule.level(t).float()
        belief = self.fast_belief(network.encode(image), signs, survival, code)
        there = (belief.presence + bias).sigmoid()[:, None, None]
        marked = (belief.logits.sigmoid() * there)[:, :height, :width]
        return torch.stack([1 - marked, marked], 1)

    def presence_logit(self, features: Features, expert: int) -> Tensor:
        """Return the logit that an expert marks anything at all, calibrated, (B,).

        Args:
            features: of B images.
            expert: row of the panel.
        """
        assert self.fast is not None
        logit = self.fast.presence_logit(features, self.codes[[expert] * len(features.summary)])
        return self.calibration.presence(logit + self._presence_bias[expert])

    @property
    def _presence_bias(self) -> Tensor:
        """What is added to each expert's logit of marking anything, (E,); 0 but for local ones."""
        biases = [0.0] * self.known + [expert.presence_bias for expert in self.local]
        return torch.tensor(biases, device=self.device)

    def fast_belief(self, features: Features, x: Tensor, survival: Tensor, code: Tensor) -> Belief:
        """Return what the fast network's ``step`` says, its context calibrated."""
        assert self.fast is not None
        belief = self.fast.step(features, x, survival, code)
        distance = self.fast.config.mask_distance
        context = self.calibration.context(belief.context, survival, distance)
        return belief._replace(context=context)

    def _network(self, expert: Tensor | None) -> UNet:
        network = self.consensus if expert is None else self.personal
        if network is not None:
            return network
        known = "the consensus" if self.personal is None else ", ".join(self.experts)
        asked = "no consensus network" if expert is None else "no experts' network"
        raise InputError(f"This model has {asked}. Ask it for {known}.")

    def _check(self, x_t: Tensor, t: Tensor, image: Tensor, expert: Tensor | None) -> None:
        channels, classes = len(self.metadata.image_channels), len(self.metadata.classes)
        if x_t.ndim != 3 or x_t.dtype != torch.int64:
            raise InputError(
                f"x_t holds classes, int64 (B, H, W), not {x_t.dtype} {tuple(x_t.shape)}."
            )
        batch, height, width = x_t.shape
        if image.shape != (batch, channels, height, width):
            raise InputError(
                f"The image is {tuple(image.shape)}; this model and x_t need"
                f" {(batch, channels, height, width)}."
            )
        _check_range("x_t", x_t, x_t.shape, 0, classes - 1)
        _check_range("t", t, (batch,), 1, self.schedule.T)
        if expert is not None:
            _check_range("expert", expert, (batch,), 0, len(self.panel) - 1)

    def save(self, path: str | Path) -> None:
        """Write the model to a safetensors file; see ``weights.save_model``."""
        from .weights import save_model

        save_model(self, path)

    @classmethod
    def load(cls, path: str | Path | None = None) -> "Model":
        """Read a model from a file, or the default weights; see ``weights.load_model``."""
        from .weights import load_model

        return load_model(path)


def _check_range(
    name: str, values: Tensor, shape: tuple[int, ...], lowest: int, highest: int
) -> None:
    if values.shape != shape:
        raise InputError(f"{name} is {tuple(values.shape)}; it should be {tuple(shape)}.")
    if values.numel() and not (values.min() >= lowest and values.max() <= highest):
        raise InputError(
            f"{name} lies in {lowest}..{highest}, but {int(values.min())}..{int(values.max())}"
            " was given."
        )
