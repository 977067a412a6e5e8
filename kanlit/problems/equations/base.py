"""Base class of differential equations: names, domain, residual and conditions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor

from kanlit.problems.conditions import Condition
from kanlit.problems.domains import Domain
from kanlit.problems.functions.target import Bounds

__all__ = ["Equation"]


class Equation(ABC):
    """A partial (or ordinary) differential equation, up to fourth order.

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

    Two of its attributes say what surrounds the network, in plain Python on named values, each
    ``(n, 1)``; all derivatives are exact through them. With ``periodic = {"x": 2.0}`` the network
    sees the cosine and sine of x with that period in place of x, so that the solution is periodic
    to the last bit; a method ``inputs(self, x, t)`` returns any other inputs, as a dict by name or
    a list. ``ansatz(self, u, x, t)`` returns the unknown for the network's output u (a dict of
    unknowns for a system)::

        def ansatz(self, u, x, t):
            return torch.sin(pi * x) + t * x * (1 - x) * u

    Conditions that then hold for every network need no points: they are found and left out, or
    ``conditions`` need not list them.

    A class attribute that is an :class:`~kanlit.Unknown` is a coefficient that is found from
    observations; its name is then a parameter of the residual. With
    ``parameters = {"viscosity": (0.005, 0.02)}`` a coefficient is a further input of the network,
    which learns the solutions for all values in that range. Its name is a parameter of the
    residual too, and it is a further column of all points, after those of the coordinates.

    With ``fields = {"a": ("x", "y")}`` the unknown a has a network of its own, of x and y alone:
    its other derivatives are zero.

    Two more methods are optional. ``solution(points)``, ``(n, d) -> (n, unknowns)``, is the exact
    or a reference solution for the test error. ``source(points)``, ``(n, d) -> (n, 1)``, is passed
    to the residual as its parameter ``source``; it is evaluated once, in float64.

    Its domain is a box by its ``bounds``, or another one in place of them, such as a
    :class:`~kanlit.Polygon` of the first two coordinates times an interval of time, or a
    :class:`~kanlit.PointCloud`.

    Attributes:
        coordinates: Names of the coordinates, in the order of the columns of the points.
        unknowns: Names of the unknown functions.
        bounds: ``(low, high)`` of each coordinate of a box.
        domain: A domain other than a box.
        periodic: Periods by coordinate.
        parameters: Ranges ``(low, high)`` of coefficients that are further inputs, by name.
        fields: Coordinates and parameters of each unknown with a network of its own, by name.
    """

    coordinates: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ("u",)
    bounds: Bounds = ()
    domain: Domain | None = None
    periodic: ClassVar[Mapping[str, float]] = MappingProxyType({})
    parameters: ClassVar[Mapping[str, tuple[float, float]]] = MappingProxyType({})
    fields: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the columns of the points: the coordinates and the parameters."""
        return (*self.coordinates, *self.parameters) if self.parameters else self.coordinates

    @abstractmethod
    def residual(self, *args: Any, **kwargs: Any) -> Tensor | Mapping[str, Tensor]:
        """The residual, which must vanish inside the domain.

        Its parameters are named after what they denote, each ``(n, 1)``: coordinates (``x``),
        unknowns (``u``), derivatives (``u_x``, ``u_xt``, ``u_xxx``), ``source`` and unknown
        coefficients.

        Returns:
            ``(n, 1)`` or ``(n,)``; for a system, a dict of these by name.
        """

    def conditions(self) -> Sequence[Condition]:
        """Boundary and initial conditions; none by default."""
        return ()

    def measured_error(self, solution: Callable[[Tensor], Tensor]) -> float | None:
        """Relative L2 error on values measured by others, for an equation without ``solution``.

        Args:
            solution: Unknowns ``(n, unknowns)`` at points ``(n, d)``.

        Returns:
            The error, or None if there are no such values.
        """
        return None
