"""Boundary and initial conditions: where on the box, and what is to hold there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError

__all__ = ["Condition", "Side", "Values", "dirichlet", "neumann", "periodic"]

Side = Literal["low", "high", "both"]
Values = float | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Condition:
    """What is to be zero on some faces of an equation's box.

    A face is where one coordinate is at its end; an initial condition is one on the low end of
    time. :func:`dirichlet`, :func:`neumann` and :func:`periodic` make the usual ones.

    Attributes:
        name: Its name in logs, an identifier.
        on: The faces, as coordinate and end: ``{"x": "both", "t": "low"}`` are three.
        residual: A function whose parameters are named like those of ``Equation.residual``,
            each ``(m, 1)``; what it returns, ``(m, 1)`` or ``(m,)`` or a dict of these, is to
            be zero. ``given`` is the name of the values below.
        given: Values at the points, ``(m, d) -> (m, 1)``, or one number for all; calculated once.
        weight: Of its mean square in the loss, times the module's ``boundary_weight``.
        opposite: Whether it is the difference of ``residual`` between each point and the one on
            the other end of the same coordinate that is to be zero.
        names: Of the parameters of ``residual``, where they are not to be read off it.
    """

    name: str
    on: Mapping[str, Side]
    residual: Callable[..., Tensor | Mapping[str, Tensor]]
    given: Values | None = None
    weight: float = 1.0
    opposite: bool = False
    names: tuple[str, ...] | None = None

    def faces(self, owner: str, coordinates: Sequence[str]) -> list[tuple[int, int]]:
        """The faces as number of the coordinate and end, 0 for low and 1 for high.

        Raises:
            ConfigurationError: Names the condition of ``owner`` and what is wrong with ``on``.
        """
        on: Any = self.on  # as the user has written it
        if not isinstance(on, Mapping) or not on:
            raise ConfigurationError(
                f"condition {self.name} of {owner}: on must be a dict of coordinates and ends, got "
                f'{on!r}: write {{"{coordinates[0]}": "both"}}'
            )
        ends = {"low": (0,), "high": (1,), "both": (0, 1)}
        found = []
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
            found += [(coordinates.index(coordinate), end) for end in ends[side]]
        return found


def dirichlet(
    name: str, on: Mapping[str, Side], value: Values = 0.0, unknown: str = "u", weight: float = 1.0
) -> Condition:
    """``u = value`` on faces.

    Args:
        name: Its name in logs.
        on: The faces, such as ``{"x": "both"}``.
        value: A number, or a function of the points ``(m, d) -> (m, 1)``.
        unknown: Which of the unknowns.
        weight: Of its mean square in the loss.
    """
    return Condition(name, on, torch.sub, value, weight, names=(unknown, "given"))


def neumann(
    name: str, on: Mapping[str, Side], value: Values = 0.0, unknown: str = "u", weight: float = 1.0
) -> Condition:
    """``∂u/∂x = value`` on the faces of one coordinate x.

    The derivative is along x, not along the outward normal, so that at the low end they differ
    in sign.

    Args:
        name: Its name in logs.
        on: The faces, all of one coordinate, such as ``{"x": "high"}``.
        value: A number, or a function of the points ``(m, d) -> (m, 1)``.
        unknown: Which of the unknowns.
        weight: Of its mean square in the loss.

    Raises:
        ConfigurationError: Faces of more than one coordinate.
    """
    if len(on) != 1:
        raise ConfigurationError(
            f"condition {name}: neumann takes the faces of one coordinate, got {dict(on)}: write a "
            f"condition for each"
        )
    (coordinate,) = on
    return Condition(name, on, torch.sub, value, weight, names=(f"{unknown}_{coordinate}", "given"))


def periodic(
    name: str, coordinate: str, of: Sequence[str] = ("u",), weight: float = 1.0
) -> Condition:
    """Each of some terms is the same on both ends of a coordinate.

    Args:
        name: Its name in logs.
        coordinate: Which one.
        of: What is the same, such as ``("u", "u_x")``, as a second-order equation needs.
        weight: Of each of the mean squares in the loss.
    """
    each = partial(_by_name, tuple(of))
    return Condition(name, {coordinate: "low"}, each, None, weight, True, tuple(of))


def _by_name(names: tuple[str, ...], *terms: Any) -> dict[str, Tensor]:
    return dict(zip(names, terms, strict=True))
