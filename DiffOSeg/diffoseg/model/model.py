"""The model: networks, schedule, experts and what it says about itself, in one object."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..experts.local_expert import LocalExpert
from ..experts.panel import ExpertPanel
from ..networks.fast import Belief, FastNetwork, Features
from ..networks.unet import UNet
from .parts import ModelParts
from .stored import check_base, read_parts, save_model


@dataclass(frozen=True)
class Model(ModelParts):
    """The networks of one kind, with all that is needed to use them; see ``ModelParts``."""

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
        check_base(self, local)
        own = ExpertPanel(self.panel[: self.known])
        panel = own.joined_by([expert.expert for expert in local])
        return replace(self, panel=panel, local=tuple(local))

    @property
    def parameter_count(self) -> int:
        """Number of trainable values of all networks."""
        return sum(values.numel() for net in self.networks for values in net.parameters())

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.networks[0].parameters()).device

    def to(self, device: torch.device | str) -> "Model":
        """Move the networks to ``device``, in place, and return the model."""
        for network in self.networks:
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
        """Write the model to a safetensors file; see ``stored.save_model``."""
        save_model(self, path)

    @classmethod
    def load(cls, path: str | Path | None = None) -> "Model":
        """Read a model from a file, or the default weights; see ``load_model``."""
        parts = read_parts(path)
        return cls(**{field.name: getattr(parts, field.name) for field in fields(parts)})


def load_model(path_or_name: str | Path | None = None) -> Model:
    """Return the model of a file: float32, on the CPU, in eval mode.

    Args:
        path_or_name: a file, or the name of a model that comes with the program
            (``cards.available_models``); None is the default one.

    Raises WeightsError as ``stored.read_parts`` does.
    """
    return Model.load(path_or_name)


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
