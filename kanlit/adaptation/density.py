"""Importance density functions (IDFs): how much each sample counts when knots are placed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer

__all__ = [
    "CurvatureDensity",
    "ImportanceContext",
    "ImportanceDensity",
    "InputDensity",
    "Scope",
]

Scope = Literal["network", "layer"]

_CHUNK = 65536  # samples evaluated at once; bounds memory on tables of millions of rows


@dataclass(frozen=True)
class ImportanceContext:
    """What a density may look at.

    Attributes:
        layer: The layer whose grid is about to be adapted.
        layer_input: Its input ``(n, in)``, as the already adapted layers before it give it.
        network: The whole network, a map from ``(n, d)`` to ``(n, out)``.
        network_input: ``(n, d)``.
        sample_losses: Loss of each sample ``(n,)``, or ``None`` where it is not known.
    """

    layer: KANLayer
    layer_input: Tensor
    network: nn.Module
    network_input: Tensor
    sample_losses: Tensor | None = None


class ImportanceDensity(ABC):
    """Base of all densities. A density of one's own is a subclass, named in YAML by its path.

    ``scope`` says how often it is asked: ``"layer"``, anew for each layer; ``"network"``, once
    for each adaptation, on the network before any layer has changed, and all layers share the
    weights.
    """

    scope: Scope = "layer"

    @abstractmethod
    def __call__(self, context: ImportanceContext) -> Tensor:
        """Importance weights, ``(n,)`` or ``(n, in)``, finite and not negative; any scale.

        Raises:
            ConfigurationError: The context lacks what this density needs.
        """

    def state_dict(self) -> dict[str, Any]:
        """What the density remembers, for checkpoints: tensors and plain Python."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - most have no state
        """Takes up where another left off."""

    def check(self, network: nn.Module) -> None:  # noqa: B027 - most densities work anywhere
        """Raises :class:`ConfigurationError` if the density cannot work on this network.

        Called once before training starts.
        """


class InputDensity(ImportanceDensity):
    r"""Every sample counts alike, :math:`w_j = 1`: knots follow the input's own density."""

    def __call__(self, context: ImportanceContext) -> Tensor:
        return context.layer_input.new_ones(context.layer_input.shape[0])


class CurvatureDensity(ImportanceDensity):
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
        if scope not in ("network", "layer"):
            raise ConfigurationError(f"scope must be 'network' or 'layer', got {scope!r}")
        if method not in ("exact", "finite_difference"):
            raise ConfigurationError(
                f"method must be 'exact' or 'finite_difference', got {method!r}"
            )
        if not 0 < power < float("inf"):
            raise ConfigurationError(f"power must be positive, got {power}; 0.5 is a sound value")
        if not 0 <= epsilon < float("inf"):
            raise ConfigurationError(f"epsilon must be at least 0, got {epsilon}")
        self.scope = scope
        self.method = method
        self.power = power
        self.epsilon = epsilon

    def check(self, network: nn.Module) -> None:
        for name, layer in network.named_modules():
            if isinstance(layer, KANLayer) and layer.spline_order < 2:
                raise ConfigurationError(
                    f"CurvatureDensity needs splines of degree 2 or more, for those of degree "
                    f"{layer.spline_order} in {name or 'the layer'} have no second derivative: "
                    f"raise spline_order or take InputDensity"
                )

    def __call__(self, context: ImportanceContext) -> Tensor:
        self.check(context.layer)
        if self.scope == "network":
            curvature = _in_chunks(
                lambda x: self._network_curvature(context.network, x), context.network_input
            )
        else:
            curvature = _in_chunks(
                lambda x: self._layer_curvature(context.layer, x), context.layer_input
            )
        return (curvature + self.epsilon) ** self.power

    def _network_curvature(self, network: nn.Module, x: Tensor) -> Tensor:
        if self.method == "exact":
            return _second_derivatives(network, x).abs().sum((1, 2))
        h, centre = self.STEP, network(x)
        total = x.new_zeros(x.shape[0])
        for d in range(x.shape[1]):
            step = torch.zeros_like(x)
            step[:, d] = h
            difference = network(x + step) - 2 * centre + network(x - step)
            total += (difference / h**2).abs().sum(1)
        return total

    def _layer_curvature(self, layer: KANLayer, x: Tensor) -> Tensor:
        if self.method == "exact":
            second = layer.edge_functions(x, derivative=2)
        else:
            h = self.STEP
            f = layer.edge_functions
            second = (f(x + h) - 2 * f(x) + f(x - h)) / h**2
        return second.abs().sum(2)


def _in_chunks(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Evaluates on a bounded number of samples at a time, keeping nothing for autograd."""
    return torch.cat([function(part).detach() for part in x.detach().split(_CHUNK)])


def _second_derivatives(network: nn.Module, x: Tensor) -> Tensor:
    """Diagonal second derivatives of any network ``(n, out, d)``.

    A KAN gives them in one forward sweep; other modules that hold KAN layers by nested autograd.
    """
    if isinstance(network, KAN):
        with torch.no_grad():
            return network.sweep(x).second
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        output = network(x)
        rows = []
        for q in range(output.shape[1]):
            (slope,) = torch.autograd.grad(output[:, q].sum(), x, create_graph=True)
            diagonal = [
                torch.autograd.grad(slope[:, d].sum(), x, retain_graph=True)[0][:, d]
                for d in range(x.shape[1])
            ]
            rows.append(torch.stack(diagonal, dim=1))
    return torch.stack(rows, dim=1)
