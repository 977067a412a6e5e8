"""Boundary and initial conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.problems.domains import Domain, Face

__all__ = [
    "Condition",
    "Place",
    "Side",
    "Values",
    "derivative",
    "dirichlet",
    "neumann",
    "periodic",
]

Side = Literal["low", "high", "both"]
Place = Mapping[str, Side] | str | Sequence[str]
Values = float | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Condition:
    """A residual that must vanish on some faces of the domain of an equation.

    On a face, one coordinate is at an end of its range; an initial condition is on the low end of
    time. Other faces are the parts of the boundary of a shape, by name. :func:`dirichlet`,
    :func:`neumann`, :func:`derivative` and :func:`periodic` create the usual conditions.

    Attributes:
        name: Name in logs, an identifier.
        on: The faces by coordinate and end: ``{"x": "both", "t": "low"}`` are three faces. Or the
            name of a part of the boundary, such as ``"holes"``, or several names.
        residual: A function whose parameters are named like those of ``Equation.residual``, each
            ``(m, 1)``, ``given`` for the values below, and ``u_n`` for the derivative of u along
            the outward normal. It returns the residual, ``(m, 1)`` or ``(m,)``, or a dict of
            several. A Robin condition is one with ``lambda u_n, u: u_n + 2 * u``.
        given: Values at the points, ``(m, d) -> (m, 1)``, or a number; evaluated once.
        weight: Weight of its mean square in the loss, times the module's ``boundary_weight``.
        opposite: Whether the difference of ``residual`` between each point and the one on the
            opposite face must vanish instead.
        names: Parameter names of ``residual``; read from its signature if omitted.
        exact: Whether the equation's ansatz claims to satisfy it exactly; this is checked.
    """

    name: str
    on: Place
    residual: Callable[..., Tensor | Mapping[str, Tensor]]
    given: Values | None = None
    weight: float = 1.0
    opposite: bool = False
    names: tuple[str, ...] | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        numbers = {"weight": self.weight}
        if self.given is not None and not callable(self.given):
            numbers["value"] = self.given
        for what, number in numbers.items():
            try:
                float(number)
            except (RuntimeError, TypeError, ValueError):
                kind = "a number" if what == "weight" else "a number or a function of the points"
                raise ConfigurationError(
                    f"condition {self.name}: the {what} must be {kind}, got {number!r}"
                ) from None

    def faces(self, owner: str, coordinates: Sequence[str], domain: Domain) -> list[Face]:
        """The faces: names of parts, or pairs of coordinate index and end, 0 for low, 1 for high.

        Raises:
            ConfigurationError: If ``on`` is invalid.
        """
        on: Any = self.on  # as written by the user
        parts = [on] if isinstance(on, str) else on
        if parts and isinstance(parts, (list, tuple)):
            return [self._part(part, owner, domain) for part in parts]
        if not isinstance(on, Mapping) or not on:
            raise ConfigurationError(
                f"condition {self.name} of {owner}: on must be a dict of coordinates and ends, got "
                f'{on!r}: write {{"{coordinates[0]}": "both"}}'
            )
        ends = {"low": (0,), "high": (1,), "both": (0, 1)}
        faces: list[Face] = []
        for coordinate, side in on.items():
            if coordinate not in coordinates:
                raise ConfigurationError(
                    f"condition {self.name} of {owner}: no coordinate {coordinate!r}: choose from "
                    f"{', '.join(coordinates)}"
                )
            if side not in ends:
                raise ConfigurationError(
                    f"condition {self.name} of {owner}: {coordinate} has no end {side!r}: choose "
                    f"from {', '.join(ends)}"
                )
            axis = coordinates.index(coordinate)
            if axis < domain.dim:
                raise ConfigurationError(
                    f"condition {self.name} of {owner}: {coordinate} is a coordinate of a "
                    f"{type(domain).__name__}, which has no end of it: name a part of the "
                    f"boundary, one of {', '.join(domain.parts)}"
                )
            faces += [(axis, end) for end in ends[side]]
        return faces

    def _part(self, part: Any, owner: str, domain: Domain) -> str:
        if part not in domain.parts:
            known = f"choose from {', '.join(domain.parts)}"
            if not domain.parts:
                known = 'those of a box are written as {"x": "both"}'
            raise ConfigurationError(
                f"condition {self.name} of {owner}: the boundary has no part {part!r}: {known}"
            )
        if self.opposite:
            raise ConfigurationError(
                f"condition {self.name} of {owner}: nothing is opposite to the part {part}: use "
                f"the ends of a coordinate"
            )
        return str(part)


def dirichlet(
    name: str,
    on: Place,
    value: Values = 0.0,
    unknown: str = "u",
    weight: float = 1.0,
    exact: bool = False,
) -> Condition:
    """``u = value`` on faces.

    Args:
        name: Name in logs.
        on: The faces, such as ``{"x": "both"}``, or names of parts of the boundary.
        value: A number, or a function of the points ``(m, d) -> (m, 1)``.
        unknown: Name of the unknown.
        weight: Weight of its mean square in the loss.
        exact: Whether the equation's ansatz claims to satisfy it exactly; this is checked.
    """
    return Condition(name, on, torch.sub, value, weight, names=(unknown, "given"), exact=exact)


def neumann(
    name: str,
    on: Place,
    value: Values = 0.0,
    unknown: str = "u",
    weight: float = 1.0,
    exact: bool = False,
) -> Condition:
    """``∂u/∂n = value`` on faces, with the outward normal n.

    Args:
        name: Name in logs.
        on: The faces, such as ``{"x": "both"}``, or names of parts of the boundary.
        value: A number, or a function of the points ``(m, d) -> (m, 1)``.
        unknown: Name of the unknown.
        weight: Weight of its mean square in the loss.
        exact: Whether the equation's ansatz claims to satisfy it exactly; this is checked.
    """
    names = f"{unknown}_n", "given"
    return Condition(name, on, torch.sub, value, weight, names=names, exact=exact)


def derivative(
    name: str,
    on: Mapping[str, Side],
    value: Values = 0.0,
    unknown: str = "u",
    weight: float = 1.0,
    exact: bool = False,
) -> Condition:
    """``∂u/∂x = value`` on the faces of one coordinate x, such as ``∂u/∂t`` at the start.

    The derivative is along x, not along the outward normal; at the low end they differ in sign.

    Args:
        name: Name in logs.
        on: The faces, all of one coordinate, such as ``{"x": "high"}``.
        value: A number, or a function of the points ``(m, d) -> (m, 1)``.
        unknown: Name of the unknown.
        weight: Weight of its mean square in the loss.
        exact: Whether the equation's ansatz claims to satisfy it exactly; this is checked.

    Raises:
        ConfigurationError: If there are faces of more than one coordinate.
    """
    if len(on) != 1:
        raise ConfigurationError(
            f"condition {name}: derivative needs faces of one coordinate, got {dict(on)}: write "
            f"one condition per coordinate"
        )
    (coordinate,) = on
    names = f"{unknown}_{coordinate}", "given"
    return Condition(name, on, torch.sub, value, weight, names=names, exact=exact)


def periodic(
    name: str, coordinate: str, of: Sequence[str] = ("u",), weight: float = 1.0
) -> Condition:
    """Terms are equal on both ends of a coordinate.

    Args:
        name: Name in logs.
        coordinate: Name of the coordinate.
        of: The terms, such as ``("u", "u_x")`` for a second-order equation.
        weight: Weight of each mean square in the loss.
    """
    each = partial(_by_name, tuple(of))
    return Condition(name, {coordinate: "low"}, each, None, weight, True, tuple(of))


def _by_name(names: tuple[str, ...], *terms: Any) -> dict[str, Tensor]:
    return dict(zip(names, terms, strict=True))
