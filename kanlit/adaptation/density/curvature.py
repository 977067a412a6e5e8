"""The density by curvature, the published one."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from kanlit.adaptation.density.derivatives import DerivativeDensity, second_derivatives
from kanlit.errors import ConfigurationError
from kanlit.nn import KANLayer

__all__ = ["CurvatureDensity"]


class CurvatureDensity(DerivativeDensity):
    r"""Samples count by curvature, tempered by a power: knots gather where the function bends.

    .. math:: w_j = \Big(\sum_q \sum_d \Big|\frac{\partial^2 f_q}{\partial x_d^2}(x_j)\Big|
              + \varepsilon\Big)^p

    With ``scope="layer"`` f is the layer itself, whose Hessian with respect to its inputs is
    diagonal, and each input feature gets weights of its own,
    :math:`w_{jd} = (\sum_q |\varphi''_{qd}(x_{jd})| + \varepsilon)^p`.

    Args:
        scope: ``"network"`` takes the whole network's output, as in the published experiments,
            and hands the same weights to every layer; ``"layer"`` takes each layer's own.
        method: ``"exact"`` derivatives, or central ``"finite_difference"`` of step 1e-3 in the
            network's own precision, as published.
        power: p in (0, 1] or more; 1 is the published density, 0.5 keeps flat regions from
            starving.
        epsilon: ε, at least 0, in units of the second derivative; the larger, the more uniform.

    Raises:
        ConfigurationError: A setting out of its range; splines of degree 1.

    Source: arXiv 2601.18672; the power is kanlit's.
    """

    STEP = 1e-3

    def __init__(
        self,
        scope: Literal["network", "layer"] = "network",
        method: Literal["exact", "finite_difference"] = "exact",
        power: float = 0.5,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(scope, power, epsilon)
        if method not in ("exact", "finite_difference"):
            raise ConfigurationError(
                f"method must be 'exact' or 'finite_difference', got {method!r}"
            )
        self.method = method

    def check(self, network: nn.Module) -> None:
        for name, layer in network.named_modules():
            if not isinstance(layer, KANLayer):
                continue
            least = layer.basis_class.lowest_order(2, continuous=False)
            if layer.spline_order < least:
                raise ConfigurationError(
                    f"CurvatureDensity needs splines of degree {least} or more, for those of "
                    f"degree {layer.spline_order} in {name or 'the layer'} have no second "
                    f"derivative: raise spline_order or take InputDensity"
                )

    def of_network(self, network: nn.Module, x: Tensor) -> Tensor:
        if self.method == "exact":
            return second_derivatives(network, x).abs().sum((1, 2))
        h, centre = self.STEP, network(x)
        steps = torch.zeros_like(x, memory_format=torch.contiguous_format)
        total = x.new_zeros(x.shape[0])
        for d in range(x.shape[1:].numel()):
            steps.zero_().flatten(1)[:, d] = h
            difference = network(x + steps) - 2 * centre + network(x - steps)
            total += (difference / h**2).abs().flatten(1).sum(1)
        return total

    def of_layer(self, layer: KANLayer, x: Tensor) -> Tensor:
        if self.method == "exact":
            second = layer.edge_functions(x, derivative=2)
        else:
            h = self.STEP
            f = layer.edge_functions
            second = (f(x + h) - 2 * f(x) + f(x - h)) / h**2
        return second.abs().sum(2)
