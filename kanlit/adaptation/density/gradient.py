"""The density by slope."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from kanlit.adaptation.density.derivatives import DerivativeDensity, first_derivatives
from kanlit.nn import KANLayer

__all__ = ["GradientDensity"]


class GradientDensity(DerivativeDensity):
    r"""Samples count by slope, tempered by a power: knots gather where the function is steep.

    .. math:: w_j = \Big(\sum_q \sum_d \Big|\frac{\partial f_q}{\partial x_d}(x_j)\Big|
              + \varepsilon\Big)^p

    The slopes' sizes are summed, as :class:`CurvatureDensity` sums its own. With
    ``scope="layer"`` f is the layer itself, and each input feature gets weights of its own,
    :math:`w_{jd} = (\sum_q |\varphi'_{qd}(x_{jd})| + \varepsilon)^p`. The derivatives are exact.

    Args:
        scope: ``"network"`` takes the whole network's output and hands the same weights to every
            layer; ``"layer"`` takes each layer's own.
        power: p in (0, 1] or more; 1 is the slope itself, 0.5 keeps flat regions from starving.
        epsilon: ε, at least 0, in units of the derivative; the larger, the more uniform.

    Raises:
        ConfigurationError: A setting out of its range.

    Source: the gradient monitor function of moving meshes (W. Huang, R. D. Russell, Adaptive
    Moving Mesh Methods, Springer 2011); the power is kanlit's.
    """

    def __init__(
        self,
        scope: Literal["network", "layer"] = "network",
        power: float = 0.5,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(scope, power, epsilon)

    def of_network(self, network: nn.Module, x: Tensor) -> Tensor:
        return first_derivatives(network, x).abs().sum((1, 2))

    def of_layer(self, layer: KANLayer, x: Tensor) -> Tensor:
        return layer.edge_functions(x, derivative=1).abs().sum(2)
