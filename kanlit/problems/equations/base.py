"""Base class of differential equations: names, domain, residual and conditions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from kanlit.problems.conditions import Condition
from kanlit.problems.functions.target import Bounds

__all__ = ["Equation"]


class Equation(ABC):
    """A partial (or ordinary) differential equation on a box, up to fourth order.

    A subclass names its coordinates and defines its residual as a function of coordinates, unknowns
    and derivatives by name. All derivatives come from one forward sweep::

        class Heat(Equation):
            coordinates = ("x", "t")
            bounds = ((0.0, 1.0), (0.0, 0.5))

            def residual(self, u_t, u_xx):
                return u_t - 0.1 * u_xx

            def conditions(self):
                return [
                    dirichlet("walls", {"x": "both"}),
                    dirichlet("initial", {"t": "low"}, lambda p: torch.sin(pi * p[:, :1])),
                ]

    Two methods are optional. ``solution(points)``, ``(n, d) -> (n, unknowns)``, is the exact or a
    reference solution for the test error. ``source(points)``, ``(n, d) -> (n, 1)``, is passed to
    the residual as its parameter ``source``; it is evaluated once, in float64.

    Attributes:
        coordinates: Names of the coordinates, in the order of the columns of the points.
        unknowns: Names of the unknown functions.
        bounds: ``(low, high)`` of each coordinate.
    """

    coordinates: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ("u",)
    bounds: Bounds = ()

    @abstractmethod
    def residual(self, *args: Any, **kwargs: Any) -> Tensor | Mapping[str, Tensor]:
        """The residual, which must vanish inside the domain.

        Its parameters are named after what they denote, each ``(n, 1)``: coordinates (``x``),
        unknowns (``u``), derivatives (``u_x``, ``u_xt``, ``u_xxx``) and ``source``.

        Returns:
            ``(n, 1)`` or ``(n,)``; for a system, a dict of these by name.
        """

    def conditions(self) -> Sequence[Condition]:
        """Boundary and initial conditions; none by default."""
        return ()
