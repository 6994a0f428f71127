"""Where a new expert is expected to lie, before any of its cases is seen.

The network knows the codes of its own experts and of a population of others. A new one is expected
to be one more of them: its code is normally distributed with their mean and covariance,

    z = mean + spread u,    u ~ N(0, 1) independent,    spread spread' = covariance.

Of few codes the covariance is not known well. It is then drawn towards equal variances in all
directions, as if as many codes more as there are directions had shown them (a conjugate prior).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ...networks.fast import FastNetwork

_VARIANCE = 0.25  # of one number of a code, where a single code is known: that of a new network
_CORRECTION = 0.5  # spread about the expert who is corrected, as a share of that of all


class ExpertPrior(NamedTuple):
    """The normal distribution of codes.

    Attributes:
        mean: (W,).
        spread: lower triangle, (W, W).
    """

    mean: Tensor
    spread: Tensor

    def code(self, u: Tensor) -> Tensor:
        """Return the codes at ``u``, (..., W), in standard deviations from the mean."""
        return self.mean + u @ self.spread.T


def prior_of(network: FastNetwork, corrects: int | None = None) -> ExpertPrior:
    """Return where a new expert lies among all that the network has learnt from.

    Args:
        network: whose codes tell how experts vary.
        corrects: row of the expert who is to be corrected, about whom the new one is expected.
    """
    own = network.codes[:-1].detach()
    codes = torch.cat([own, network.population.detach()]).double()
    count, width = codes.shape
    covariance = (
        torch.cov(codes.T).reshape(width, width) if count > 1 else torch.zeros(width, width)
    )
    variance = float(covariance.diagonal().mean()) or _VARIANCE
    equal = variance * torch.eye(width, dtype=torch.float64, device=codes.device)
    shrunk = (count * covariance.to(equal) + width * equal) / (count + width)
    spread = torch.linalg.cholesky(shrunk).float()
    if corrects is None:
        return ExpertPrior(codes.mean(0).float(), spread)
    return ExpertPrior(own[corrects].float(), _CORRECTION * spread)
