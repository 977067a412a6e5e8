"""From a trained network to an expression: what each edge may be, and the formula of a choice."""

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
from kanlit.symbolic.fit import CurveFit, fit_curve
from kanlit.symbolic.library import Array

__all__ = ["Edge", "SplineEdge", "compose", "edges_of", "numerics"]

_PLAUSIBLE = 10  # times the 1 - R² that a function may have where it has to hold

Place = tuple[int, int, int]


class SplineEdge(sympy.Function):  # type: ignore[misc]  # sympy has no types
    """φ of an edge that no function of the library fits; its subclasses are one edge each."""


@dataclass(frozen=True)
class Edge:
    """What the edge from input p to output q of a layer may be.

    Attributes:
        place: Layer, p and q, each counted from 1.
        fits: Functions of the library whose R² reaches the threshold, best score first; none
            where the edge stays a spline.
        plausible: The same with ten times the threshold's 1 - R²: what the edge may be where the
            whole formula is judged, not the edge.
        mean: Mean of the edge over the samples.
        negligible: Whether it is taken as its mean, a constant.
        best_r2: R² of the closest function of the library, whether it holds or not.
        layer: The layer it is of.
        samples: What reaches it, as the network sees it ``(n,)``.
        curve: Its values there ``(n,)``.
        shift: Mean of the layer's input p where that is one of the network's, in user's units.
        scale: And its deviation: the edge is a function of (x - shift) / scale.
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
        """The sympy function that the edge is in a formula where it stays a spline."""
        return _undefined(self.name)

    def values(self, x: Array, derivative: int = 0) -> Array:
        """φ less its mean, or φ' or φ'', at ``x`` of any shape, in the user's units.

        Constants of a node's edges can grow against each other while it trains; in a formula they
        are to be one.
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
    """A function of sympy of which only its name and, up to order 2, its derivative are known."""

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
    """The edges of each layer, fitted over the samples that reach them.

    Args:
        network: In float64.
        x: Samples ``(n, in)``, float64, in the user's units.
        threshold: Least R² of a function that an edge is taken for.
        negligible: An edge whose standard deviation over the samples is under this share of the
            largest one at its node is taken as its mean.
        mean: μ ``(in,)`` of the network's inputs (x - μ) / σ; left out, 0.
        std: σ ``(in,)``; left out, 1.

    Returns:
        For each layer its edges, output by output.
    """
    means = torch.zeros_like(x[0]) if mean is None else mean.double()
    stds = torch.ones_like(x[0]) if std is None else std.double()
    z, layers = (x - means) / stds, []
    for number, layer in enumerate(network.layers, start=1):
        assert isinstance(layer, KANLayer)
        with torch.no_grad():
            curves = layer.edge_functions(z)  # (n, in, out)
            spread = curves.std(0, correction=0)
        largest = spread.amax(0)
        edges = []
        for q in range(layer.out_features):
            for p in range(layer.in_features):
                samples, curve = z[:, p].numpy(), curves[:, p, q].numpy()
                small = bool(spread[p, q] <= negligible * largest[q])
                fits = [] if small else fit_curve(samples, curve)
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
                        small,
                        max((fit.r2 for fit in fits), default=0.0),
                        layer,
                        samples,
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
    r"""The expression of each output, :math:`h_q = \sum_p \varphi_{qp}(h_p) + b_q` inserted.

    Args:
        layers: As :func:`edges_of` gives them.
        inputs: Symbols of the inputs, in the user's units.
        choice: The function that each edge is taken for; the others stay splines, or are their
            means where they are negligible.
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
                    value = (value - sympy.Float(edge.shift)) / sympy.Float(edge.scale)
                term = choice[edge.place].applied(value)
            else:
                term = edge.symbol(values[p - 1]) + sympy.Float(edge.mean)
            sums[q - 1] += term
        values = sums
    return values


def numerics(layers: Sequence[Sequence[Edge]]) -> dict[str, Any]:
    """Numpy functions of the edges that stay splines and of their derivatives, by name."""
    found: dict[str, Any] = {}
    for edges in layers:
        for edge in edges:
            if edge.is_spline:
                for order in range(3):
                    label = edge.name + "_d" * order
                    found[label] = lambda x, e=edge, o=order: e.values(x, o)
    return found
