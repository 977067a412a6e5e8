"""The density that gives each interval the same share of the loss."""

from __future__ import annotations

from torch import Tensor

from kanlit.adaptation.density.base import ImportanceContext, ImportanceDensity
from kanlit.adaptation.density.cells import cell_weights, interval_sums
from kanlit.adaptation.density.loss import losses_of
from kanlit.errors import check_at_least

__all__ = ["ErrorDensity"]

_RATE = 2  # 1 is the law; most runs adapt only four to ten times, and 2 goes twice as far each time


class ErrorDensity(ImportanceDensity):
    r"""Divides the loss equally among the intervals of each feature: mesh refinement for knots.

    The squared error of the best spline of degree k on an interval of width h scales as
    :math:`h^{2k+3} |\varphi^{(k+1)}|^2`. Here it is measured, as the sum of the losses ℓ of the
    samples in the interval, so that a feature between the knots counts before any spline shows it:

    .. math:: \rho = \frac{1}{h_m} \left(\frac{E_m}{\max_i E_i}\right)^{r / (2k+3)}, \qquad
              E_m = \sum_{x_j \in I_m} \ell_j + \varepsilon \bar E \qquad \text{on } I_m

    with Ē the mean of the sums and r = 2. The factor 1/h_m keeps the present density of knots:
    where every interval has the same loss, knots stay as they are. (Weights by the loss alone,
    :class:`LossDensity`, then leave the places that they have just resolved.) r = 1 would
    equidistribute exactly if each error depended only on its interval; 2 moves knots twice as far.

    ρ is a density in x, turned into weights of the samples as that of :class:`DeBoorDensity`. A
    layer behind the first one counts the same losses at its own inputs. If all losses are zero, the
    weights are equal.

    Args:
        epsilon: ε, at least 0, as a fraction of the mean loss of an interval; larger is closer to
            the present knots.

    Raises:
        ConfigurationError: If epsilon is out of range, or losses are missing, negative or of the
            wrong shape.

    Source: equidistribution of a local error estimate, C. de Boor, A Practical Guide to Splines,
    chapter XII, with the measured loss as the estimate; the exponent is that of the L2 norm (W.
    Huang, R. D. Russell, Adaptive Moving Mesh Methods, Springer 2011, chapter 2).
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        check_at_least("epsilon", epsilon, 0)
        self.epsilon = epsilon

    def __call__(self, context: ImportanceContext) -> Tensor:
        layer, samples = context.layer, context.layer_input.detach()
        losses = context.by_row(losses_of(context, type(self).__name__))
        peak = losses.amax()
        if bool(peak == 0):
            return samples.new_ones(len(samples))
        columns, breakpoints = samples.T.double(), layer.breakpoints.double()
        error = interval_sums(breakpoints, losses / peak, columns, context.order)
        error = error + self.epsilon * error.mean(1, keepdim=True)
        share = error / error.amax(1, keepdim=True)
        density = share ** (_RATE / (2 * layer.spline_order + 3)) / breakpoints.diff(dim=1)
        weights = cell_weights(breakpoints, density, columns, context.order)
        return weights.to(samples.dtype)
