"""Candidate functions of each edge, and composition of a formula from a choice of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor

from kanlit.nn import KAN, KANLayer
from kanlit.symbolic.fit import CurveFit, fit_curves, times
from kanlit.symbolic.library import Array

__all__ = ["Edge", "SplineEdge", "compose", "edges_of", "numerics"]

_PLAUSIBLE = 10  # factor of the threshold's 1 - R² for plausible functions

Place = tuple[int, int, int]


class SplineEdge(sympy.Function):  # type: ignore[misc]  # sympy has no types
    """φ of an edge that no function of the library fits; each edge has its own subclass."""


@dataclass(frozen=True)
class Edge:
    """The edge from input p to output q of a layer, and the functions that fit it.

    Attributes:
        place: Layer, p and q, each counted from 1.
        fits: Functions of the library whose R² reaches the threshold, best score first; empty if
            the edge remains a spline.
        plausible: The same with ten times the threshold's 1 - R²: candidates when the error of the
            whole formula decides.
        mean: Mean of the edge over the samples.
        negligible: Whether it is replaced by its mean.
        best_r2: R² of the closest function of the library, even if below the threshold.
        layer: Its layer.
        samples: Its inputs in the units of the network ``(n,)``.
        curve: Its values at the samples ``(n,)``.
        shift: Mean of the input in the user's units, for edges of the first layer.
        scale: Standard deviation, likewise: the edge is a function of (x - shift) / scale.
    """

    place: Place
    fits: tuple[CurveFit, ...]
    plausible: tuple[CurveFit, ...]
    mean: float
    negligible: bool
    best_r2: float
    layer: KANLayer
    samples: Array
    curve: Array
    shift: float = 0.0
    scale: float = 1.0

    @property
    def name(self) -> str:
        return "phi_{}_{}_{}".format(*self.place)

    @property
    def is_spline(self) -> bool:
        return not (self.negligible or self.fits)

    @cached_property
    def symbol(self) -> Any:
        """The sympy function that represents the edge if it remains a spline."""
        return _undefined(self.name)

    def values(self, x: Array, derivative: int = 0) -> Array:
        """φ minus its mean, or φ' or φ'', at ``x`` of any shape, in the user's units.

        Constants of the edges of a node can cancel each other; a formula has only their sum.
        """
        _, p, q = self.place
        scaled = (np.asarray(x, dtype=float) - self.shift) / self.scale
        points = torch.as_tensor(scaled).reshape(-1, 1)
        with torch.no_grad():
            wide = points.expand(-1, self.layer.in_features)
            found = self.layer.edge_functions(wide, derivative)[:, p - 1, q - 1]
        values: Array = found.numpy().reshape(np.shape(x)) / self.scale**derivative
        return values if derivative else values - self.mean


def _undefined(name: str, order: int = 0) -> Any:
    """An undefined sympy function with named derivatives up to order 2."""

    def fdiff(self: Any, argindex: int = 1) -> Any:
        if order == 2:
            raise sympy.ArgumentIndexError(self, argindex)
        return _undefined(name, order + 1)(*self.args)

    label = name + "_d" * order
    return type(label, (SplineEdge,), {"nargs": 1, "fdiff": fdiff, "_eval_is_real": lambda _: True})


def edges_of(
    network: KAN,
    x: Tensor,
    threshold: float = 0.99,
    negligible: float = 1e-3,
    mean: Tensor | None = None,
    std: Tensor | None = None,
) -> list[list[Edge]]:
    """The edges of each layer, fitted on their inputs at the samples.

    Args:
        network: The network, in float64.
        x: Samples ``(n, in)``, float64, in the user's units.
        threshold: Smallest R² at which a function replaces an edge.
        negligible: An edge whose standard deviation over the samples is below this fraction of the
            largest one at its node is replaced by its mean.
        mean: μ ``(in,)`` of the network's inputs (x - μ) / σ; 0 if omitted.
        std: σ ``(in,)``; 1 if omitted.

    Returns:
        The edges of each layer, ordered by output.
    """
    means = torch.zeros_like(x[0]) if mean is None else mean.double()
    stds = torch.ones_like(x[0]) if std is None else std.double()
    z, layers = (x - means) / stds, []
    for number, layer in enumerate(network.layers, start=1):
        assert isinstance(layer, KANLayer)
        with torch.no_grad():
            curves = layer.edge_functions(z)  # (n, in, out)
            spread = curves.std(0, correction=0)
        small = spread <= negligible * spread.amax(0)
        places = [(p, q) for q in range(layer.out_features) for p in range(layer.in_features)]
        open_places = [(p, q) for p, q in places if not small[p, q]]
        samples = np.stack([z[:, p].numpy() for p, _ in open_places], axis=1)
        values = np.stack([curves[:, p, q].numpy() for p, q in open_places], axis=1)
        found = dict(zip(open_places, fit_curves(samples, values), strict=True))
        edges = []
        for p, q in places:
            fits = found.get((p, q), [])
            curve = curves[:, p, q].numpy()
            held, plausible = (
                tuple(fit for fit in fits if 1 - fit.r2 <= share * (1 - threshold))
                for share in (1, _PLAUSIBLE)
            )
            edges.append(
                Edge(
                    (number, p + 1, q + 1),
                    held,
                    plausible,
                    float(curve.mean()),
                    bool(small[p, q]),
                    max((fit.r2 for fit in fits), default=0.0),
                    layer,
                    z[:, p].numpy(),
                    curve,
                    *((float(means[p]), float(stds[p])) if number == 1 else (0.0, 1.0)),
                )
            )
        layers.append(edges)
        with torch.no_grad():
            z = layer(z)
    return layers


def compose(
    layers: Sequence[Sequence[Edge]],
    inputs: Sequence[sympy.Expr],
    choice: Mapping[Place, CurveFit],
) -> list[sympy.Expr]:
    r"""Composes the expression of each output from :math:`h_q = \sum_p \varphi_{qp}(h_p) + b_q`.

    Args:
        layers: Result of :func:`edges_of`.
        inputs: Symbols of the inputs, in the user's units.
        choice: The function that replaces each edge; other edges remain splines, or their means if
            negligible.
    """
    values = list(inputs)
    for edges in layers:
        sums: list[sympy.Expr] = [sympy.Float(float(bias)) for bias in edges[0].layer.bias.detach()]
        for edge in edges:
            _, p, q = edge.place
            if edge.negligible:
                term = sympy.Float(edge.mean)
            elif edge.place in choice:
                value = values[p - 1]
                if (edge.shift, edge.scale) != (0.0, 1.0):
                    value = times(1 / sympy.Float(edge.scale), value - sympy.Float(edge.shift))
                term = choice[edge.place].applied(value)
            else:
                term = edge.symbol(values[p - 1]) + sympy.Float(edge.mean)
            sums[q - 1] += term
        values = sums
    return values


def numerics(layers: Sequence[Sequence[Edge]]) -> dict[str, Any]:
    """Numpy functions of the edges that remain splines and of their derivatives, by name."""
    found: dict[str, Any] = {}
    for edges in layers:
        for edge in edges:
            if edge.is_spline:
                for order in range(3):
                    label = edge.name + "_d" * order
                    found[label] = lambda x, e=edge, o=order: e.values(x, o)
    return found
