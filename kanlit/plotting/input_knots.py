"""Breakpoints of a network's inputs, as ticks beside maps of two coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

from kanlit.plotting.histogram import as_array
from kanlit.plotting.maps import side_ticks
from kanlit.plotting.style import BLUE, color, plain

__all__ = ["InputKnots", "draw_knots", "knot_handles", "points_handle", "stacked_knots"]


@dataclass(frozen=True)
class InputKnots:
    """Breakpoints of one of the network's inputs, as places along a coordinate.

    Attributes:
        name: Name of the input.
        axis: Index of the coordinate.
        places: Where along it the input is at a breakpoint ``(m,)``.
    """

    name: str
    axis: int
    places: Tensor


def knot_handles(knots: Sequence[InputKnots], names: Sequence[str]) -> list[Line2D]:
    """Legend entries of the breakpoints of each input; names are those of the coordinates."""
    return [
        Line2D([], [], color=color(i), lw=0, marker="|", ms=9, label=plain(_label(each, names)))
        for i, each in enumerate(knots)
    ]


def points_handle(words: str) -> Line2D:
    """Legend entry of the training points."""
    return Line2D([], [], color=BLUE, lw=0, marker=".", label=words)


def stacked_knots(knots: Sequence[InputKnots]) -> int:
    """The largest number of inputs with breakpoints along one coordinate."""
    return max(sum(each.axis == axis for each in knots) for axis in (0, 1))


def draw_knots(axes: Axes, knots: Sequence[InputKnots]) -> None:
    """Draws the breakpoints beside a map."""
    ticks = [(each.axis, as_array(each.places), color(i)) for i, each in enumerate(knots)]
    side_ticks(axes, ticks)


def _label(knots: InputKnots, names: Sequence[str]) -> str:
    """What the ticks of an input are."""
    along = names[knots.axis]
    where = "" if knots.name == along else f", along {along}"
    return f"breakpoints of {knots.name}{where}"
