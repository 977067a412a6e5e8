"""What densities by derivatives share: settings, scopes, and exact derivatives of any network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from kanlit.adaptation.density.base import ImportanceContext, ImportanceDensity, Scope
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer

__all__ = [
    "CHUNK",
    "DerivativeDensity",
    "check_tempering",
    "first_derivatives",
    "second_derivatives",
]

CHUNK = 65536  # samples evaluated at once; bounds memory on tables of millions of rows


class DerivativeDensity(ImportanceDensity):
    r"""Base of densities that weigh samples by the size D of a derivative.

    .. math:: w_j = (D(x_j) + \varepsilon)^p

    A member gives D of a network, ``(n,)``, and of a layer, ``(n, in)``, and adds its own
    arguments to these.

    Args:
        scope: ``"network"`` or ``"layer"``.
        power: p, above 0.
        epsilon: ε, at least 0, in units of D.

    Raises:
        ConfigurationError: A setting out of its range.
    """

    def __init__(self, scope: Scope, power: float, epsilon: float) -> None:
        if scope not in ("network", "layer"):
            raise ConfigurationError(f"scope must be 'network' or 'layer', got {scope!r}")
        check_tempering(power, epsilon)
        self.scope = scope
        self.power = power
        self.epsilon = epsilon

    @abstractmethod
    def of_network(self, network: nn.Module, x: Tensor) -> Tensor:
        """D of the whole network at its inputs ``(n, d)``: ``(n,)``."""

    @abstractmethod
    def of_layer(self, layer: KANLayer, x: Tensor) -> Tensor:
        """D of one layer at its inputs ``(n, in)``, feature by feature: ``(n, in)``."""

    def __call__(self, context: ImportanceContext) -> Tensor:
        self.check(context.layer)
        if self.scope == "network":
            size = _in_chunks(lambda x: self.of_network(context.network, x), context.network_input)
        else:
            size = _in_chunks(lambda x: self.of_layer(context.layer, x), context.layer_input)
        return (size + self.epsilon) ** self.power


def check_tempering(power: float, epsilon: float) -> None:
    """Refuses a power or an epsilon out of its range.

    Raises:
        ConfigurationError: A power that is not positive and finite, an epsilon that is negative
            or not finite.
    """
    if not 0 < power < float("inf"):
        raise ConfigurationError(f"power must be positive, got {power}; 0.5 is a sound value")
    if not 0 <= epsilon < float("inf"):
        raise ConfigurationError(f"epsilon must be at least 0, got {epsilon}")


def _in_chunks(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Evaluates on a bounded number of samples at a time, keeping nothing for autograd."""
    return torch.cat([function(part).detach() for part in x.detach().split(CHUNK)])


def first_derivatives(network: nn.Module, x: Tensor) -> Tensor:
    """First derivatives of any network at ``(n, d)``: ``(n, out, d)``.

    A KAN gives them in one forward sweep; other modules that hold KAN layers by autograd.
    """
    if isinstance(network, KAN):
        with torch.no_grad():
            return network.sweep(x, pairs=[]).gradient
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        output = network(x)
        rows = [
            torch.autograd.grad(column.sum(), x, retain_graph=True)[0]
            for column in output.unbind(1)
        ]
    return torch.stack(rows, dim=1)


def second_derivatives(network: nn.Module, x: Tensor) -> Tensor:
    """Diagonal second derivatives of any network at ``(n, d)``: ``(n, out, d)``.

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
