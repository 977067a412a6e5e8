"""Fits all constants of composed edges to data, without a symbolic expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares

from kanlit.symbolic.compose import Edge, Place
from kanlit.symbolic.fit import CurveFit
from kanlit.symbolic.library import Array

__all__ = ["Composition"]

# Which of a, b and c are free, by the search of the function: others would be redundant.
_FREE = {
    "none": (False, False, True),
    "shift": (False, True, True),
    "pole": (False, True, True),
    "rate": (True, False, True),
    "wave": (True, True, True),
    "bump": (True, True, True),
    "interval": (True, True, True),
}


class Composition:
    r"""One output of a network whose edges are functions of the library.

    .. math:: h_q = \beta_q + \sum_p c_{qp} f_{qp}(a_{qp} h_p + b_{qp}),
              \qquad \hat y = \mu + \sigma h_1

    Edges that are not replaced are splines or constants, which are fixed. A free constant
    :math:`\beta_q` of a node is the d of its first replaced edge.

    Args:
        layers: Result of :func:`~kanlit.symbolic.compose.edges_of`.
        choice: The function that replaces each edge.
        output: Number of the output, from 0.
        mean: μ.
        std: σ.
    """

    def __init__(
        self,
        layers: Sequence[Sequence[Edge]],
        choice: Mapping[Place, CurveFit],
        output: int,
        mean: float = 0.0,
        std: float = 1.0,
    ) -> None:
        self._choice = choice
        self._mean, self._std = mean, std
        self._layers = [list(edges) for edges in layers[:-1]]
        self._layers.append([edge for edge in layers[-1] if edge.place[2] == output + 1])
        self._output = output
        self._slots: list[tuple[Place, int]] = []  # which constant of which edge is free
        for edges in self._layers:
            nodes: set[int] = set()
            for edge in edges:
                fit = choice.get(edge.place)
                if fit is None:
                    continue
                free = [*_FREE[fit.candidate.search], edge.place[2] not in nodes]
                nodes.add(edge.place[2])
                self._slots += [(edge.place, i) for i, is_free in enumerate(free) if is_free]

    @property
    def start(self) -> Array:
        """The constants of the choice ``(constants,)``."""
        return np.array([self._choice[place].constants[i] for place, i in self._slots])

    def with_constants(self, constants: Array) -> dict[Place, CurveFit]:
        """The choice with other constants."""
        changed = {p: [*f.constants] for p, f in self._choice.items()}
        for (place, i), value in zip(self._slots, constants, strict=True):
            changed[place][i] = float(value)
        return {
            place: replace(self._choice[place], constants=(a, b, c, d))
            for place, (a, b, c, d) in changed.items()
        }

    def values(self, x: Array, constants: Array) -> Array:
        """The output at ``x`` ``(n, in)``, ``(n,)``; not finite outside the domain."""
        return self._forward(x, constants)[0]

    def jacobian(self, x: Array, constants: Array) -> Array:
        """Derivatives by the constants ``(n, constants)``, by the chain rule from the output."""
        _, nodes, choice = self._forward(x, constants)
        found: dict[tuple[Place, int], Array] = {}
        behind = {self._output + 1: np.full(len(x), self._std)}
        for inputs, edges in zip(reversed(nodes), reversed(self._layers), strict=True):
            before: dict[int, Array] = {}
            for edge in edges:
                _, p, q = edge.place
                if q not in behind or edge.negligible:
                    continue
                h, slope = inputs[p - 1], behind[q]
                if (fit := choice.get(edge.place)) is None:
                    inner = slope * edge.values(h, 1)
                else:
                    a, b, c, _ = fit.constants
                    h = (h - edge.shift) / edge.scale
                    u = a * h + b
                    by_inner = slope * c * fit.candidate.slopes(u)
                    own = (by_inner * h, by_inner, slope * fit.candidate.values(u), slope)
                    found |= {(edge.place, i): column for i, column in enumerate(own)}
                    inner = by_inner * a
                before[p] = before.get(p, 0.0) + inner
            behind = before
        columns = [found.get(slot, np.zeros(len(x))) for slot in self._slots]
        return np.stack(columns, axis=1) if columns else np.zeros((len(x), 0))

    def _forward(
        self, x: Array, constants: Array
    ) -> tuple[Array, list[list[Array]], Mapping[Place, CurveFit]]:
        """The output, the inputs of each layer's edges, and the choice with these constants."""
        choice = self.with_constants(constants)
        values: list[Array] = list(x.T)
        nodes: list[list[Array]] = []
        for edges in self._layers:
            nodes.append(values)
            biases = edges[0].layer.bias.detach().numpy()
            sums = [np.full(len(x), float(bias)) for bias in biases]
            for edge in edges:
                _, p, q = edge.place
                fit = choice.get(edge.place)
                if fit is not None:
                    sums[q - 1] += fit((values[p - 1] - edge.shift) / edge.scale)
                elif edge.negligible:
                    sums[q - 1] += edge.mean
                else:
                    sums[q - 1] += edge.values(values[p - 1]) + edge.mean
            values = sums
        return self._mean + self._std * values[self._output], nodes, choice

    def fitted(self, x: Array, y: Array, steps: int) -> tuple[dict[Place, CurveFit], float]:
        """The choice with least-squares constants for ``y`` ``(n,)``, and its :meth:`error`."""
        with np.errstate(all="ignore"):
            constants = self.start
            started = self.error(x, y, constants)
            if len(constants) and np.isfinite(started):
                found = least_squares(
                    lambda free: self.values(x, free) - y,
                    constants,
                    jac=lambda free: np.nan_to_num(self.jacobian(x, free)),
                    method="lm" if len(constants) <= len(x) else "trf",
                    x_scale="jac",
                    max_nfev=steps,
                    ftol=1e-15,
                    xtol=1e-15,
                    gtol=1e-15,
                ).x
                if self.error(x, y, found) < started:
                    constants = found
            return self.with_constants(constants), self.error(x, y, constants)

    def error(self, x: Array, y: Array, constants: Array) -> float:
        """Root mean square error; infinite outside the domain of the formula."""
        error = float(np.sqrt(np.mean((self.values(x, constants) - y) ** 2)))
        return error if np.isfinite(error) else float("inf")
