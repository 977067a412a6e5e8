"""The density by the loss of each sample."""

from __future__ import annotations

from torch import Tensor

from kanlit.adaptation.density.base import ImportanceContext, ImportanceDensity, Scope
from kanlit.adaptation.density.derivatives import check_tempering
from kanlit.errors import ConfigurationError

__all__ = ["LossDensity", "losses_of"]


class LossDensity(ImportanceDensity):
    r"""Weighs samples by a power of their loss: knots concentrate where the error is large.

    .. math:: w_j = \Big(\frac{\ell_j}{\bar\ell} + \varepsilon\Big)^p, \qquad
              \bar\ell = \frac{1}{n} \sum_j \ell_j

    ℓ is the squared residual of the data or of the differential equation at the samples. All layers
    use the same weights. If all losses are zero, the weights are equal.

    Args:
        power: p, above 0; for squared residuals, 1 weighs by the square and 0.5 by the magnitude.
        epsilon: ε, at least 0, as a fraction of the mean loss, so that the density does not depend
            on the units of the loss or the progress of training; larger is more uniform.

    Raises:
        ConfigurationError: If a setting is out of range, or losses are missing, negative or of the
            wrong shape.

    Source: residual-based adaptive distribution of C. Wu et al., arXiv 2207.10289, for collocation
    points and with ε outside the power.
    """

    scope: Scope = "network"

    def __init__(self, power: float = 0.5, epsilon: float = 0.01) -> None:
        check_tempering(power, epsilon)
        self.power = power
        self.epsilon = epsilon

    def __call__(self, context: ImportanceContext) -> Tensor:
        wide = losses_of(context, type(self).__name__)
        mean = wide.mean()
        if bool(mean == 0):
            return context.layer.knots.new_ones(len(wide))
        return ((wide / mean + self.epsilon) ** self.power).to(context.layer.knots.dtype)


def losses_of(context: ImportanceContext, density: str) -> Tensor:
    """The loss of each sample ``(n,)`` in float64, where powers of small numbers stay in range.

    Args:
        context: The context of the density.
        density: Name of its class, for errors.

    Raises:
        ConfigurationError: If losses are missing, negative or of the wrong shape.
    """
    losses, count = context.sample_losses, context.network_input.shape[0]
    if losses is None:
        raise ConfigurationError(
            f"{density} needs the loss of each sample: give the LightningModule a method "
            f"sample_losses(batch) that returns a tensor (n,), or pass sample_losses to "
            f"adapt_grids"
        )
    if tuple(losses.shape) != (count,):
        raise ConfigurationError(
            f"{density} needs one loss per sample, ({count},), got "
            f"{tuple(losses.shape)}: correct sample_losses(batch)"
        )
    if bool((losses < 0).any()):
        raise ConfigurationError(
            f"{density} needs nonnegative losses, but the smallest is "
            f"{float(losses.min()):.3g}: return squared residuals from sample_losses(batch)"
        )
    return losses.detach().double()
