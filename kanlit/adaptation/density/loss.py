"""The density by the loss of each sample."""

from __future__ import annotations

from torch import Tensor

from kanlit.adaptation.density.base import ImportanceContext, ImportanceDensity, Scope
from kanlit.adaptation.density.derivatives import check_tempering
from kanlit.errors import ConfigurationError

__all__ = ["LossDensity"]


class LossDensity(ImportanceDensity):
    r"""Samples count by their loss, tempered by a power: knots gather where the error is.

    .. math:: w_j = \Big(\frac{\ell_j}{\bar\ell} + \varepsilon\Big)^p, \qquad
              \bar\ell = \frac{1}{n} \sum_j \ell_j

    ℓ is the squared residual, of the data or of the differential equation, at the samples; every
    layer shares the weights. Losses that are all zero count alike.

    Args:
        power: p, above 0; on squared residuals 1 weighs by the square, 0.5 by the size.
        epsilon: ε, at least 0, as a share of the mean loss, so that the density does not depend
            on the loss's units or on how far training has come; the larger, the more uniform.

    Raises:
        ConfigurationError: A setting out of its range; no losses, losses of a wrong shape or
            negative ones.

    Source: residual-based adaptive distribution of C. Wu et al., arXiv 2207.10289, there for
    collocation points, with ε outside the power.
    """

    scope: Scope = "network"

    def __init__(self, power: float = 0.5, epsilon: float = 0.01) -> None:
        check_tempering(power, epsilon)
        self.power = power
        self.epsilon = epsilon

    def __call__(self, context: ImportanceContext) -> Tensor:
        losses, count = context.sample_losses, context.network_input.shape[0]
        if losses is None:
            raise ConfigurationError(
                "LossDensity needs the loss of each sample: give the LightningModule a method "
                "sample_losses(batch) that returns them as (n,), or pass sample_losses to "
                "adapt_grids"
            )
        if tuple(losses.shape) != (count,):
            raise ConfigurationError(
                f"LossDensity needs one loss for each sample, ({count},), got "
                f"{tuple(losses.shape)}: mend sample_losses(batch)"
            )
        if bool((losses < 0).any()):
            raise ConfigurationError(
                f"LossDensity needs losses that are not negative, the least is "
                f"{float(losses.min()):.3g}: let sample_losses(batch) give squared residuals"
            )
        # float64: the sum of many squares, and powers of small ones, must not leave the range.
        wide = losses.detach().double()
        mean = wide.mean()
        if bool(mean == 0):
            return context.layer.knots.new_ones(count)
        return ((wide / mean + self.epsilon) ** self.power).to(context.layer.knots.dtype)
