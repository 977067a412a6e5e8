r"""Recorded calls of layers and their contributions to the Jacobian.

The output of a layer is linear in its own parameters. With :math:`\delta` the gradient of a
residual with respect to the outputs of a call, the derivatives of the residual with respect to the
parameters of a KAN layer are

.. math:: \delta_h F
          + \sum_\alpha \delta_{h_\alpha} \sum_\pi F^{(|\pi|)} \prod_{B \in \pi} x_B

with a term for each derivative α of a sweep and each set partition π of α, and only the first term
for a plain forward. F are the features of
the layer at its inputs x: edge scale times basis functions, silu, and 1 for the bias.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kanlit.bases import Basis
from kanlit.chain_rule import Along, chain_factors
from kanlit.nn import KANLayer
from kanlit.nn.elementary import silu_derivatives

__all__ = ["Call", "Factors", "Features", "Linear", "LinearCall", "SweepCall", "ValueCall"]


class Factors(NamedTuple):
    """Derivatives ``(n, *parameter.shape)`` as the broadcast product of two tensors."""

    parameter: Tensor
    left: Tensor
    right: Tensor | None = None  # None stands for 1


class Features(NamedTuple):
    """The features of a KAN layer at n points, or derivatives of them, in float64.

    Attributes:
        bases: Basis functions of the layer ``(n, in, G+k)``.
        silu: Function of the base branch ``(n, in)``.
    """

    bases: Tensor
    silu: Tensor


def kan_features(basis: Basis, x: Tensor, orders: int = 1) -> list[Features]:
    """Features of a layer and their first ``orders - 1`` derivatives.

    Args:
        basis: Basis of the layer.
        x: ``(n, in)``.
        orders: Number of orders, including the values.
    """
    pairs = zip(basis.designs(x, range(orders)), silu_derivatives(x, orders - 1), strict=True)
    return [Features(values, silu) for values, silu in pairs]


class Linear(NamedTuple):
    """The weight and bias of an ``nn.Linear``."""

    weight: Tensor
    bias: Tensor | None

    def __repr__(self) -> str:
        outputs, inputs = self.weight.shape
        return f"Linear(in_features={inputs}, out_features={outputs})"


@dataclass(frozen=True, eq=False)
class Call:
    """One recorded call of a layer.

    Attributes:
        layer: The layer.
        outputs: Its outputs, at which gradients are taken.
    """

    layer: KANLayer | Linear
    outputs: tuple[Tensor, ...]

    @property
    @abstractmethod
    def rows(self) -> int:
        """Number of rows of the input batch."""

    @abstractmethod
    def features(self, rows: slice) -> Any:
        """The features for some rows."""

    @abstractmethod
    def factors(
        self, features: Any, gradients: Sequence[Tensor | None], rows: slice
    ) -> Iterator[Factors]:
        """Derivatives of some rows of a residual with respect to the parameters of the layer.

        Args:
            features: Result of :meth:`features` for these rows.
            gradients: Gradient of the residual with respect to each output, for all rows.
            rows: The rows.
        """


@dataclass(frozen=True, eq=False)
class PlainCall(Call):
    """A forward call on x ``(n, …, in)``; axes in between are positions, summed for each row."""

    x: Tensor

    @property
    def rows(self) -> int:
        return self.x.shape[0] if self.x.ndim > 1 else 1

    def points(self, rows: slice) -> Tensor:
        """The inputs ``(n, positions, in)``."""
        return self.x.detach().reshape(self.rows, -1, self.x.shape[-1])[rows].double()

    def delta(self, gradients: Sequence[Tensor | None], rows: slice) -> Tensor | None:
        """The gradients ``(n, positions, out)``."""
        (gradient,) = gradients
        if gradient is None:
            return None
        positions = self.x.numel() // max(1, self.rows * self.x.shape[-1])
        return gradient.detach().reshape(self.rows, positions, -1)[rows].double()


@dataclass(frozen=True, eq=False)
class LinearCall(PlainCall):
    """``nn.Linear``."""

    layer: Linear

    def features(self, rows: slice) -> Any:
        return self.points(rows)

    def factors(
        self, features: Any, gradients: Sequence[Tensor | None], rows: slice
    ) -> Iterator[Factors]:
        delta = self.delta(gradients, rows)
        if delta is not None:
            yield _outer(self.layer.weight, delta, features)
            if self.layer.bias is not None:
                yield Factors(self.layer.bias, delta.sum(1))


@dataclass(frozen=True, eq=False)
class ValueCall(PlainCall):
    """``KANLayer.forward``."""

    layer: KANLayer

    @cached_property
    def basis(self) -> Basis:
        return self.layer.exact_basis.cast(torch.float64)

    def features(self, rows: slice) -> Any:
        x = self.points(rows)
        ((bases, silu),) = kan_features(self.basis, x.flatten(0, 1))
        return Features(bases.view(*x.shape, -1), silu.view(x.shape))

    def factors(
        self, features: Any, gradients: Sequence[Tensor | None], rows: slice
    ) -> Iterator[Factors]:
        layer, delta = self.layer, self.delta(gradients, rows)
        if delta is None:
            return
        yield _masked(layer, _outer(layer.base_weight, delta, features.silu))
        yield Factors(layer.bias, delta.sum(1))
        if delta.shape[1] == 1:
            yield _spline(layer, delta[:, 0, :, None], features.bases[:, 0])
            return
        # Treat each position as a row, then sum the positions.
        one = _spline(layer, delta.flatten(0, 1).unsqueeze(-1), features.bases.flatten(0, 1))
        assert one.right is not None
        each = (one.left * one.right).unflatten(0, delta.shape[:2])
        yield Factors(one.parameter, each.sum(1))


def _spline(layer: KANLayer, amplitude: Tensor, bases: Tensor) -> Factors:
    """Derivatives by the coefficients, or by the edge scales if coefficients are not trained.

    Args:
        layer: The layer.
        amplitude: Factor of the basis functions, ``(n, out, in)`` or ``(n, out, 1)``.
        bases: ``(n, in, G+k)``.
    """
    if layer.coefficients.requires_grad:
        left = (amplitude * layer.edge_scale.detach().double()).unsqueeze(-1)
        return Factors(layer.coefficients, left, bases.unsqueeze(1))
    splines = torch.einsum("nib,oib->noi", bases, layer.coefficients.detach().double())
    return Factors(layer.edge_scale, amplitude, splines)


def _masked(layer: KANLayer, base: Factors) -> Factors:
    """Sets derivatives by base weights to 0 for pruned edges (their edge scale is 0 already)."""
    if layer.edge_mask is None:
        return base
    return base._replace(left=base.left * layer.edge_mask)


def _outer(parameter: Tensor, delta: Tensor, x: Tensor) -> Factors:
    """δ ⊗ x of ``(n, positions, out)`` and ``(n, positions, in)``, summed over positions."""
    if x.shape[1] == 1:
        return Factors(parameter, delta[:, 0, :, None], x[:, 0, None])
    return Factors(parameter, delta.mT @ x)


@dataclass(frozen=True, eq=False)
class SweepCall(Call):
    """``KANLayer.sweep``, with the same shapes (points last)."""

    layer: KANLayer
    value: Tensor
    streams: Tensor
    alongs: Sequence[Along]

    @cached_property
    def basis(self) -> Basis:
        return self.layer.exact_basis.cast(torch.float64)

    @property
    def rows(self) -> int:
        return self.value.shape[1]

    def features(self, rows: slice) -> Any:
        x = self.value.detach()[:, rows].T.double()
        return kan_features(self.basis, x, max(map(len, self.alongs)) + 1)

    def factors(
        self, features: Any, gradients: Sequence[Tensor | None], rows: slice
    ) -> Iterator[Factors]:
        layer = self.layer
        value, streams = (None if g is None else g[..., rows].double() for g in gradients)
        if value is not None:
            yield Factors(layer.bias, value.T)
        for order, amplitude in self._amplitudes(value, streams, rows).items():
            bases, silu = features[order]
            yield _spline(layer, amplitude, bases)
            yield _masked(layer, Factors(layer.base_weight, amplitude, silu.unsqueeze(1)))

    def _amplitudes(
        self, by_value: Tensor | None, by_streams: Tensor | None, rows: slice
    ) -> dict[int, Tensor]:
        """The factors of F, F', F'', … by order, each ``(n, out, in)``."""
        amplitudes = {} if by_value is None else {0: by_value.T.unsqueeze(-1)}
        if by_streams is None:
            return amplitudes
        # At the inputs of a network the derivatives are constant and given at one point.
        streams = self.streams.detach().expand(-1, -1, self.rows)[..., rows].double()
        own = dict(zip(self.alongs, streams.unbind(0), strict=True))
        found: dict[int, list[tuple[Tensor, Tensor]]] = {}
        for along, gradient in zip(self.alongs, by_streams.unbind(0), strict=True):
            for order, factor in chain_factors(along, own).items():
                found.setdefault(order, []).append((gradient, factor))
        for order, pairs in found.items():
            deltas, factors = (torch.stack(side) for side in zip(*pairs, strict=True))
            amplitudes[order] = torch.einsum("son,sin->noi", deltas, factors)
        return amplitudes
