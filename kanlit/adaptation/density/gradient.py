"""The density by slope."""

from __future__ import annotations

from torch import Tensor, nn

from kanlit.adaptation.density.derivatives import DerivativeDensity, first_derivatives
from kanlit.nn import KANLayer

__all__ = ["GradientDensity"]


class GradientDensity(DerivativeDensity):
    r"""Weighs samples by a power of the slope: knots concentrate where the function is steep.

    .. math:: w_j = \Big(\sum_q \sum_d \Big|\frac{\partial f_q}{\partial x_d}(x_j)\Big|
              + \varepsilon\Big)^p

    With ``scope="layer"`` f is the layer itself, and each input feature gets separate weights,
    :math:`w_{jd} = (\sum_q |\varphi'_{qd}(x_{jd})| + \varepsilon)^p`. The derivatives are exact.

    Args:
        scope: ``"network"`` uses the output of the whole network, with the same weights for every
            layer; ``"layer"`` uses the output of each layer.
        power: p above 0; 1 is the slope itself, 0.5 leaves more knots to flat regions.
        epsilon: ε, at least 0, in units of the derivative; larger is more uniform.

    Raises:
        ConfigurationError: If a setting is out of range.

    Source: the gradient monitor function of moving meshes (W. Huang, R. D. Russell, Adaptive
    Moving Mesh Methods, Springer 2011), without the power.
    """

    def of_network(self, network: nn.Module, x: Tensor) -> Tensor:
        return first_derivatives(network, x).abs().sum((1, 2))

    def of_layer(self, layer: KANLayer, x: Tensor) -> Tensor:
        return layer.edge_functions(x, derivative=1).abs().sum(2)
