"""Plots a KAN: nodes, edges, and the function on each edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Affine2D, Transform
from torch import Tensor

from kanlit.nn import KANLayer
from kanlit.plotting.edges import connected, edge_curves, most_important, opacities
from kanlit.plotting.histogram import Array, as_array
from kanlit.plotting.style import BLACK, BLUE, GREY, VERMILLION, plain, shortened

__all__ = ["MOST_EDGES", "network_figure"]

MOST_EDGES = 40
HELD = 0.95  # fraction of a layer's importance that the drawn edges have
_SWEEPS = 6  # that order the nodes
NARROWEST, WIDEST = 6.4, 12.8  # inches, of the page
SIDE, FOOT = 0.35, 0.5  # inches, of its margins
TITLE, SUBTITLE = 0.45, 0.25
LARGEST_BOX, SMALLEST_BOX = 1.0, 0.42  # inches
LETTERS = 24  # of a name
INK = 0.085  # inches of a letter of 9 points


def network_figure(
    layers: Sequence[KANLayer],
    importances: Sequence[Tensor],
    input_names: Sequence[str],
    output_names: Sequence[str],
    title: str = "",
    shares: Sequence[float] | None = None,
    most_edges: int = MOST_EDGES,
    fraction: float = HELD,
) -> Figure:
    """Plots a network from its inputs at the bottom to its outputs at the top.

    Nodes are dots. Edges are lines with a box that shows the function φ over its grid, each on its
    own scale, with ticks at the breakpoints. Opacity shows the importance of an edge within its
    layer. The curves are artists with the ``gid`` ``edge:LAYER:OUT:IN``, in the units of the layer,
    and the ticks ``knots:LAYER:OUT:IN``.

    Args:
        layers: Successive layers; the outputs of each are the inputs of the next.
        importances: ``(out, in)`` of each layer, see :func:`kanlit.nn.edge_importance`.
        input_names: Name of each input.
        output_names: Name of each output.
        title: Title before the widths.
        shares: For each input, how much permuting it changes the outputs, from 0 to about 1,
            printed below its name.
        most_edges: Largest number of edges drawn.
        fraction: The most important edges that hold this fraction of the importance of each layer
            are drawn, with their nodes, except those on no path of such edges from an input to an
            output; the title counts them.

    Raises:
        ValueError: If names or importances do not fit the layers, or ``most_edges`` is below 1.
    """
    sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
    if (len(input_names), len(output_names)) != (sizes[0], sizes[-1]):
        raise ValueError(
            f"{len(input_names)} input_names and {len(output_names)} output_names for a network "
            f"of {sizes[0]} inputs and {sizes[-1]} outputs"
        )
    shapes = [tuple(importance.shape) for importance in importances]
    if shapes != [(layer.out_features, layer.in_features) for layer in layers]:
        raise ValueError(f"importances have the shapes {shapes}, which do not fit the layers")
    if most_edges < 1:
        raise ValueError(f"most_edges must be at least 1, got {most_edges}")
    labels = [shortened(name, LETTERS) for name in input_names]
    if shares is not None:
        labels = [f"{name} ({share:.2f})" for name, share in zip(labels, shares, strict=True)]
    chosen = connected(most_important(importances, most_edges, fraction))
    plan = _Plan.layout(sizes, chosen, labels, [shortened(n, LETTERS) for n in output_names])
    figure = Figure(figsize=(plan.width, plan.height), dpi=100)
    inches = Affine2D().translate(0, 0) + figure.dpi_scale_trans
    for number, layer in enumerate(layers):
        _draw_layer(figure, inches, plan, number, layer, opacities(importances[number]))
    _draw_nodes(figure, inches, plan)
    _draw_words(figure, inches, plan, title, shares is not None)
    return figure


@dataclass(frozen=True)
class _Plan:
    """Layout of the figure, in inches from the lower left corner.

    Attributes:
        width: Width of the page.
        height: Height of the page.
        box: Side of a box.
        nodes: For each row of nodes, x of the drawn nodes by index.
        rows: y of each row of nodes.
        boxes: For each layer, center of the boxes by (output, input).
        names: Labels of the first and of the last row by node index.
        upright: Whether the labels of the first and of the last row are vertical.
        sizes: Widths of the network.
        edges: Number of edges of the network.
    """

    width: float
    height: float
    box: float
    nodes: list[dict[int, float]]
    rows: list[float]
    boxes: list[dict[tuple[int, int], tuple[float, float]]]
    names: tuple[dict[int, str], dict[int, str]]
    upright: tuple[bool, bool]
    sizes: list[int]
    edges: int

    @classmethod
    def layout(
        cls,
        sizes: list[int],
        chosen: list[Tensor],
        input_names: Sequence[str],
        output_names: Sequence[str],
    ) -> _Plan:
        edges = [[(q, p) for p, q in mask.T.nonzero().tolist()] for mask in chosen]
        drawn = [sorted({p for _, p in edges[0]})]
        for below, above in pairwise(edges):
            drawn.append(sorted({q for q, _ in below} | {p for _, p in above}))
        drawn.append(sorted({q for q, _ in edges[-1]}))
        _untangle(drawn, edges)

        total = sum(mask.numel() for mask in chosen)
        longest = max(len(each) for each in edges)
        width = min(max(NARROWEST, 0.62 * longest + 2 * SIDE, 0.3 * max(map(len, drawn))), WIDEST)
        inner = width - 2 * SIDE
        lines = [math.ceil(len(each) * SMALLEST_BOX * 1.2 / inner) for each in edges]
        columns = [math.ceil(len(e) / n) for e, n in zip(edges, lines, strict=True)]
        box = min(LARGEST_BOX, inner / max(columns) / 1.2)

        nodes = [dict(zip(row, _spread(len(row), inner), strict=True)) for row in drawn]
        ends = ((drawn[0], input_names), (drawn[-1], output_names))
        low, high = ({i: names[i] for i in row} for row, names in ends)
        upright = tuple(
            max(map(len, names.values())) * INK > inner / len(names) for names in (low, high)
        )
        under, over = (
            0.15 + (max(map(len, names.values())) * INK if on_end else 0.2)
            for names, on_end in zip((low, high), upright, strict=True)
        )
        y = FOOT + under
        rows, boxes = [y], []
        for number, layer in enumerate(edges):
            gap = 0.35 + 0.3 * min(1.0, len(layer) / 20)  # room for lines to turn
            first = y + gap + box / 2
            places = {}
            for i, edge in enumerate(layer):
                column, line = divmod(i, lines[number])
                shift = (line + 0.5) / lines[number]
                x = SIDE + inner * (column + shift) / columns[number]
                places[edge] = (x, first + 1.25 * box * line)
            boxes.append(places)
            y = first + 1.25 * box * (lines[number] - 1) + box / 2 + gap
            rows.append(y)
        return cls(
            width=width,
            height=y + over + TITLE + SUBTITLE * (sum(map(len, edges)) < total),
            box=box,
            nodes=nodes,
            rows=rows,
            boxes=boxes,
            names=(low, high),
            upright=(upright[0], upright[1]),
            sizes=sizes,
            edges=total,
        )


def _untangle(rows: list[list[int]], edges: list[list[tuple[int, int]]]) -> None:
    """Orders nodes and edges so that few lines cross, by the barycenters of their neighbours.

    Args:
        rows: The drawn nodes of each row, the inputs first; ordered in place.
        edges: The drawn edges (output, input) of each layer; ordered in place.
    """
    for sweep in range(_SWEEPS):
        upward = sweep % 2 == 0
        for number in range(1, len(rows)) if upward else range(len(rows) - 2, -1, -1):
            other = rows[number - 1 if upward else number + 1]
            place = {node: (i + 0.5) / len(other) for i, node in enumerate(other)}
            near: dict[int, list[float]] = {node: [] for node in rows[number]}
            for q, p in edges[number - 1 if upward else number]:
                own, neighbour = (q, p) if upward else (p, q)
                if own in near and neighbour in place:
                    near[own].append(place[neighbour])
            rows[number].sort(key=lambda node: float(np.mean(near[node] or [0.5])))
    for number, layer in enumerate(edges):
        low, high = (
            {node: (i + 0.5) / len(row) for i, node in enumerate(row)}
            for row in rows[number : number + 2]
        )
        layer.sort(key=lambda edge: low[edge[1]] + high[edge[0]])


def _spread(count: int, inner: float) -> list[float]:
    return [SIDE + inner * (i + 0.5) / count for i in range(count)]


def _draw_layer(
    figure: Figure, inches: Transform, plan: _Plan, number: int, layer: KANLayer, opacity: Array
) -> None:
    x, values = edge_curves(layer)
    breakpoints = as_array(layer.breakpoints)
    lines: list[list[tuple[float, float]]] = []
    strokes: list[tuple[float, float, float, float]] = []
    frames: list[Rectangle] = []
    half = plan.box / 2
    for (q, p), (centre, middle) in plan.boxes[number].items():
        alpha = float(opacity[q, p])
        corner = (centre - half, middle - half)
        frames.append(Rectangle(corner, plan.box, plan.box))
        lines += [
            [(plan.nodes[number][p], plan.rows[number]), (centre, middle - half)],
            [(centre, middle + half), (plan.nodes[number + 1][q], plan.rows[number + 1])],
        ]
        strokes += [to_rgba(GREY, alpha)] * 2
        cell = _cell(corner, plan.box, x[:, p], values[:, p, q]) + inches
        curve = Line2D(x[:, p], values[:, p, q], color=VERMILLION, lw=1.4, alpha=alpha)
        curve.set(transform=cell, zorder=4, gid=f"edge:{number}:{q}:{p}")
        figure.add_artist(curve)
        band = _band(corner, plan.box, x[:, p]) + inches
        ticks = LineCollection([[(at, 0.0), (at, 1.0)] for at in breakpoints[p]], colors=BLUE)
        ticks.set(transform=band, zorder=3, gid=f"knots:{number}:{q}:{p}", alpha=max(alpha, 0.3))
        ticks.set_linewidth(min(0.9, 30 * plan.box / breakpoints.shape[1]))
        figure.add_artist(ticks)
    edges = LineCollection(lines, colors=strokes, linewidths=0.9, transform=inches, zorder=1)
    figure.add_artist(edges)
    shades = [to_rgba(BLACK, stroke[3]) for stroke in strokes[::2]]
    boxes = PatchCollection(frames, facecolors="white", edgecolors=shades, linewidths=0.8)
    boxes.set(transform=inches, zorder=2)
    figure.add_artist(boxes)


def _cell(corner: tuple[float, float], box: float, x: Array, values: Array) -> Affine2D:
    """Transform from data coordinates to the box of an edge; a constant is drawn in the middle."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        low, high = low - 1.0, high + 1.0
    return _to(x, (low, high), corner, box, (0.22, 0.94))


def _band(corner: tuple[float, float], box: float, x: Array) -> Affine2D:
    """The same along x; maps 0 to 1 to the height of the ticks."""
    return _to(x, (0.0, 1.0), corner, box, (0.0, 0.14))


def _to(
    x: Array,
    values: tuple[float, float],
    corner: tuple[float, float],
    box: float,
    band: tuple[float, float],
) -> Affine2D:
    across = 0.92 * box / (x[-1] - x[0])
    up = (band[1] - band[0]) * box / (values[1] - values[0])
    return (
        Affine2D()
        .translate(-float(x[0]), -values[0])
        .scale(float(across), up)
        .translate(corner[0] + 0.04 * box, corner[1] + band[0] * box)
    )


def _draw_nodes(figure: Figure, inches: Transform, plan: _Plan) -> None:
    x = np.concatenate([list(row.values()) for row in plan.nodes])
    y = np.repeat(plan.rows, [len(row) for row in plan.nodes])
    dots = Line2D(x, y, color=BLACK, marker="o", ls="", ms=5, transform=inches, zorder=5)
    figure.add_artist(dots)
    for names, row, place, on_end, up in (
        (plan.names[0], plan.nodes[0], plan.rows[0], plan.upright[0], False),
        (plan.names[1], plan.nodes[-1], plan.rows[-1], plan.upright[1], True),
    ):
        room = (plan.width - 2 * SIDE) / len(row)
        letters = max(map(len, names.values()))
        largest = min(18.0, 12.0 * plan.width / NARROWEST)  # also legible in a thumbnail
        size = min(9.0, 72 * 0.85 * room) if on_end else min(largest, 9.0 * room / (letters * INK))
        if size < 4:
            continue  # too many nodes for readable names
        for i, name in names.items():
            figure.text(
                row[i],
                place + (0.11 if up else -0.11),
                plain(name),
                transform=inches,
                fontsize=size,
                ha="center",
                va="bottom" if up else "top",
                rotation=90 if on_end else 0,
            )


def _draw_words(
    figure: Figure, inches: Transform, plan: _Plan, title: str, has_shares: bool
) -> None:
    drawn = sum(map(len, plan.boxes))
    widths = ", ".join(map(str, plan.sizes))
    heading = f"{title}: [{widths}]" if title else f"[{widths}]"
    middle, top = plan.width / 2, plan.height
    style: dict[str, Any] = {"ha": "center", "va": "top", "transform": inches}
    figure.text(middle, top - 0.12, heading, fontsize=13, fontweight="bold", gid="title", **style)
    if drawn < plan.edges:
        words = f"the {drawn} most important of {plan.edges} edges"
        figure.text(middle, top - 0.42, words, fontsize=9.5, color=VERMILLION, **style)
    words = "box: φ(x) over its grid, ticks: breakpoints, opacity: importance in the layer"
    if has_shares:
        words += "\nin brackets: how much permuting an input changes the predictions, up to 1"
    figure.text(middle, 0.42, words, fontsize=8, color=GREY, **style)
