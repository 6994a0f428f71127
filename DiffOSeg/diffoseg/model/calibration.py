"""Calibration: what a fast network says, corrected by what held-out experts drew.

A trained network may be surer than it has reason to be, or less sure. Each of its logits is
therefore stretched and shifted (Platt 1999): that of presence by one slope and offset, that of the
pixels by a slope and an offset that depend on how much of the noisy mask is left to see. Slopes are
above 0, so nothing that was likelier becomes less likely.

What a network says of each pixel does not tell how neighbouring pixels go together when masks are
drawn from it. The reach of the pieces that a border moves in is therefore kept here, too.
``training.calibrate`` fits all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from ..files.values import is_number
from ..networks.fast import information_of

_MOST_ROWS = 64
# Any network that is of use needs far less; these only keep nonsense out of a file.
_GREATEST_SLOPE = 100.0
_GREATEST_OFFSET = 100.0
_GREATEST_LOG_INFORMATION = 50.0
_GREATEST_REACH = 1000.0


class Stretch(NamedTuple):
    """A corrected logit is ``slope`` times the logit plus ``offset``; slope > 0."""

    slope: float
    offset: float


AS_IT_IS = Stretch(1.0, 0.0)
"""The correction that leaves a logit alone."""


@dataclass(frozen=True)
class Calibration:
    """How the logits of a fast network are corrected and drawn; JSON-able by ``to_values``.

    Attributes:
        of_presence: of the logit that an expert marks anything at all.
        log_information: rising; natural logarithms of D a atanh(a), of R noise levels, R >= 0.
        of_context: R corrections of a pixel's logit before its own evidence is added, one at each
            of those levels. Between two levels both numbers change in proportion, beyond the
            outermost ones they stay. Without any the logit stays as it is.
        reach: how far a drawn border moves as one piece, in pixels of the model's grid; 0 where
            each pixel is drawn by itself. See ``noise.NoiseField.smooth``.
    """

    of_presence: Stretch = AS_IT_IS
    log_information: tuple[float, ...] = ()
    of_context: tuple[Stretch, ...] = ()
    reach: float = 0.0

    def __post_init__(self) -> None:
        if len(self.of_context) != len(self.log_information):
            raise InputError("A calibration has one correction at each of its noise levels.")
        if len(self.of_context) > _MOST_ROWS:
            raise InputError(f"A calibration has at most {_MOST_ROWS} noise levels.")
        for stretch in (self.of_presence, *self.of_context):
            if not 1 / _GREATEST_SLOPE <= stretch.slope <= _GREATEST_SLOPE:
                raise InputError(f"A calibration cannot stretch by {stretch.slope:g}.")
            if not abs(stretch.offset) <= _GREATEST_OFFSET:
                raise InputError(f"A calibration cannot shift by {stretch.offset:g}.")
        levels = self.log_information
        if not all(abs(level) <= _GREATEST_LOG_INFORMATION for level in levels):
            raise InputError("A calibration names a noise level that no schedule has.")
        if any(later <= earlier for earlier, later in pairwise(levels)):
            raise InputError("The noise levels of a calibration rise, each one named once.")
        if self.reach and not 1 <= self.reach <= _GREATEST_REACH:
            raise InputError(f"No border moves as one piece over {self.reach:g} pixels.")

    def presence(self, logit: Tensor) -> Tensor:
        """Return the corrected logit that an expert marks anything, float32 of any shape."""
        return _stretched(logit, *self.of_presence)

    def context(self, logit: Tensor, survival: Tensor, mask_distance: int) -> Tensor:
        """Return the corrected logit of the mask, without the pixels' own evidence.

        Args:
            logit: float (B, H, W).
            survival: share a of the pixels that noise has left alone, in 0..1, (B,).
            mask_distance: D of the network, which turns survival into information.
        """
        if not self.of_context:
            return logit
        slope, offset = self.at(survival, mask_distance)
        return _stretched(logit, slope[:, None, None], offset[:, None, None])

    def at(self, survival: Tensor, mask_distance: int) -> tuple[Tensor, Tensor]:
        """Return slope and offset of the context logit at noise levels, float32, both (B,)."""
        wanted = information_of(survival, mask_distance).log()
        if not self.of_context:
            return torch.ones_like(wanted), torch.zeros_like(wanted)
        levels = torch.tensor(self.log_information, device=wanted.device)
        values = torch.tensor(self.of_context, device=wanted.device)  # (R, 2)
        above = torch.searchsorted(levels, wanted).clamp(1, max(1, len(levels) - 1))
        below, above = above - 1, above.clamp(max=len(levels) - 1)
        way = (wanted - levels[below]) / (levels[above] - levels[below]).clamp(min=1e-6)
        between = torch.lerp(values[below], values[above], way.clamp(0, 1)[:, None])
        return between[:, 0], between[:, 1]

    def to_values(self) -> dict[str, Any]:
        """Return it as plain numbers, ready for JSON."""
        rows = zip(self.log_information, self.of_context, strict=True)
        return {
            "presence": list(self.of_presence),
            "context": [[level, *stretch] for level, stretch in rows],
            "reach": self.reach,
        }

    @classmethod
    def from_values(cls, values: Any) -> "Calibration":
        """Read what ``to_values`` wrote, from whoever made the file.

        Raises InputError where it is anything else, or holds numbers that no calibration has.
        """
        if not isinstance(values, dict) or not {"presence", "context", "reach"} <= values.keys():
            raise InputError("its calibration is not described as this version knows it")
        presence, rows = _row(values["presence"], 2), values["context"]
        if not isinstance(rows, list) or len(rows) > _MOST_ROWS:
            raise InputError(f"its calibration is no list of at most {_MOST_ROWS} noise levels")
        context = [_row(row, 3) for row in rows]
        levels = tuple(level for level, _, _ in context)
        (reach,) = _row([values["reach"]], 1)
        return cls(Stretch(*presence), levels, tuple(Stretch(*row[1:]) for row in context), reach)


IDENTITY = Calibration()
"""The calibration that leaves everything as the network says it."""


def _stretched(logit: Tensor, slope: Tensor | float, offset: Tensor | float) -> Tensor:
    return logit * slope + offset


def _row(values: Any, count: int) -> Sequence[float]:
    is_row = isinstance(values, list) and len(values) == count
    if not is_row or not all(is_number(value) for value in values):
        raise InputError(f"its calibration has a row that is not {count} finite numbers")
    return [float(value) for value in values]
