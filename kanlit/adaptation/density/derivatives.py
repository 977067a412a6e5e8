"""Base class of densities by derivatives, and exact derivatives of any network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from kanlit.adaptation.density.base import ImportanceContext, ImportanceDensity, Scope
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.nn import KAN, KANLayer

__all__ = [
    "CHUNK",
    "DerivativeDensity",
    "check_tempering",
    "first_derivatives",
    "second_derivatives",
]

CHUNK = 65536  # samples evaluated at once; bounds memory on tables of millions of rows
_CHUNK_NUMBERS = 64 * CHUNK  # the same for large samples, such as images
_MOST_PASSES = 4096  # backward passes through a network that is not a KAN


class DerivativeDensity(ImportanceDensity):
    r"""Base class of densities that weigh samples by the magnitude D of a derivative.

    .. math:: w_j = (D(x_j) + \varepsilon)^p

    A subclass defines D of a network, ``(n,)``, and of a layer, ``(rows, in)``.

    Args:
        scope: ``"network"`` or ``"layer"``.
        power: p, above 0.
        epsilon: ε, at least 0, in units of D.

    Raises:
        ConfigurationError: If a setting is out of range.
        ValueError: When called, if derivatives are not finite.
    """

    def __init__(self, scope: Scope = "network", power: float = 0.5, epsilon: float = 1e-8) -> None:
        if scope not in ("network", "layer"):
            raise ConfigurationError(f"scope must be 'network' or 'layer', got {scope!r}")
        check_tempering(power, epsilon)
        self.scope = scope
        self.power = power
        self.epsilon = epsilon

    @abstractmethod
    def of_network(self, network: nn.Module, x: Tensor) -> Tensor:
        """D of the whole network at its inputs ``(n, …)``: ``(n,)``."""

    @abstractmethod
    def of_layer(self, layer: KANLayer, x: Tensor) -> Tensor:
        """D of one layer at its inputs ``(n, in)``, per feature: ``(n, in)``."""

    def __call__(self, context: ImportanceContext) -> Tensor:
        self.check(context.layer)
        if self.scope == "network":
            size = _in_chunks(lambda x: self.of_network(context.network, x), context.network_input)
        else:
            size = _in_chunks(lambda x: self.of_layer(context.layer, x), context.layer_input)
        if not bool(size.isfinite().all()):
            # On intervals of width h the derivative of order m scales as h^-m.
            raise ValueError(
                f"the derivatives that {type(self).__name__} needs are not finite in "
                f"{size.dtype}: standardize the inputs, or use float64"
            )
        return (size + self.epsilon) ** self.power


def check_tempering(power: float, epsilon: float) -> None:
    """Checks power and epsilon.

    Raises:
        ConfigurationError: If power is not positive and finite, or epsilon is negative or not
            finite.
    """
    if not 0 < power < float("inf"):
        raise ConfigurationError(f"power must be positive, got {power}: try 0.5")
    check_at_least("epsilon", epsilon, 0)


def _in_chunks(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Evaluates a function on chunks of samples, without keeping the autograd graph."""
    rows = min(CHUNK, max(1, _CHUNK_NUMBERS // max(1, x.shape[1:].numel())))
    return torch.cat([function(part).detach() for part in x.detach().split(rows)])


def first_derivatives(network: nn.Module, x: Tensor) -> Tensor:
    """First derivatives of any network at ``(n, …)``: ``(n, out, d)``, inputs and outputs flat.

    Uses one forward sweep for a KAN, autograd for other modules with KAN layers.

    Raises:
        ConfigurationError: If the network has no derivatives at x, or too many outputs.
    """
    if isinstance(network, KAN) and x.ndim == 2:
        with torch.no_grad():
            return network.sweep(x, pairs=[]).gradient
    with torch.enable_grad():
        x, outputs = _evaluated(network, x)
        _check_passes(len(outputs))
        rows = [torch.autograd.grad(q.sum(), x, retain_graph=True)[0].flatten(1) for q in outputs]
    return torch.stack(rows, dim=1)


def second_derivatives(network: nn.Module, x: Tensor) -> Tensor:
    """Diagonal second derivatives of any network at ``(n, …)``: ``(n, out, d)``, likewise.

    Uses one forward sweep for a KAN, nested autograd for other modules with KAN layers.

    Raises:
        ConfigurationError: If the network has no derivatives at x, or too many inputs and outputs.
    """
    if isinstance(network, KAN) and x.ndim == 2:
        with torch.no_grad():
            return network.sweep(x).second
    with torch.enable_grad():
        x, outputs = _evaluated(network, x)
        inputs = x.shape[1:].numel()
        _check_passes(len(outputs) * (1 + inputs))
        rows = []
        for q in outputs:
            (slope,) = torch.autograd.grad(q.sum(), x, create_graph=True)
            slopes = slope.flatten(1).unbind(1)
            diagonal = [
                torch.autograd.grad(part.sum(), x, retain_graph=True)[0].flatten(1)[:, d]
                for d, part in enumerate(slopes)
            ]
            rows.append(torch.stack(diagonal, dim=1))
    return torch.stack(rows, dim=1)


def _evaluated(network: nn.Module, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """x as a leaf of the autograd graph, and the outputs of the network, each ``(n,)``."""
    if not x.is_floating_point():
        raise ConfigurationError(
            f"the network's inputs are {x.dtype} and have no derivatives: choose a density of "
            f"layer scope, such as DeBoorDensity"
        )
    x = x.detach().requires_grad_()
    return x, network(x).reshape(len(x), -1).unbind(1)


def _check_passes(passes: int) -> None:
    if passes > _MOST_PASSES:
        raise ConfigurationError(
            f"derivatives of this network would need {passes} backward passes: choose a density of "
            f"layer scope, such as DeBoorDensity"
        )
