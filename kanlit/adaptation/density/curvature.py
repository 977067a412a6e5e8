"""The published density, by curvature."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from kanlit.adaptation.density.derivatives import DerivativeDensity, second_derivatives
from kanlit.errors import ConfigurationError
from kanlit.nn import KANLayer

__all__ = ["CurvatureDensity"]


class CurvatureDensity(DerivativeDensity):
    r"""Weighs samples by a power of the curvature: knots concentrate where the function bends.

    .. math:: w_j = \Big(\sum_q \sum_d \Big|\frac{\partial^2 f_q}{\partial x_d^2}(x_j)\Big|
              + \varepsilon\Big)^p

    With ``scope="layer"`` f is the layer itself, whose Hessian with respect to its inputs is
    diagonal, and each input feature gets separate weights,
    :math:`w_{jd} = (\sum_q |\varphi''_{qd}(x_{jd})| + \varepsilon)^p`.

    Args:
        scope: ``"network"`` uses the output of the whole network, as in the published experiments,
            with the same weights for every layer; ``"layer"`` uses the output of each layer.
        method: ``"exact"`` derivatives, or central ``"finite_difference"`` with step 1e-3 in the
            dtype of the network, as published.
        power: p above 0; 1 is the published density, 0.5 leaves more knots to flat regions.
        epsilon: ε, at least 0, in units of the second derivative; larger is more uniform.

    Raises:
        ConfigurationError: If a setting is out of range, or splines have degree 1.

    Source: arXiv 2601.18672, without the power.
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
                    f"CurvatureDensity needs splines of degree {least} or more: those of degree "
                    f"{layer.spline_order} in {name or 'the layer'} have no second derivative; "
                    f"raise spline_order or use InputDensity"
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
