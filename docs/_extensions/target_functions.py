"""The functions with a closed form: a directive for their table, and their pictures.

``{target-functions} SYNTHETIC`` lists the functions of one of the mappings of
``kanlit.problems.functions``. Matplotlib's plot directive draws them while the site is built.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from docutils import nodes
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from kanlit.problems import functions
from kanlit.problems.functions import Bounds, TargetFunction, grid_points

COLUMNS = 5
FIXED = 0.75  # where in their ranges a picture fixes all inputs but the first two
POINTS = {1: 2001, 2: 161}  # per axis, of a line and of a map


class TargetFunctions(SphinxDirective):
    """A table of target functions: name, formula, domain."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        group: Mapping[object, TargetFunction] = getattr(functions, self.arguments[0])
        rows = []
        for target in group.values():
            formula = target.formula.replace("|", r"\|")  # a bar would end the cell
            rows.append(f"| {target.name} | `{formula}` | {_domain(target.bounds)} |")
        text = "\n".join(["| name | formula | domain |", "|---|---|---|", *rows])
        return self.parse_text_to_nodes(text)


def _domain(bounds: Bounds) -> str:
    """``[0, 1]²``, all inputs having the same range."""
    ((low, high),) = set(bounds)
    power = "" if len(bounds) == 1 else "⁰¹²³⁴⁵⁶"[len(bounds)]
    return f"[{low:.6g}, {high:.6g}]{power}"


def synthetic() -> None:
    _draw(list(functions.SYNTHETIC.values()))


def feynman() -> None:
    _draw(list(functions.FEYNMAN.values()))


def sharp() -> None:
    _draw(list(functions.SHARP.values()))


def _draw(targets: list[TargetFunction]) -> None:
    """Small multiples: a line for one input, else a map over the first two."""
    rows = -(-len(targets) // COLUMNS)
    _, panels = plt.subplots(rows, COLUMNS, figsize=(9.6, 2.0 * rows), layout="constrained")
    for axes, target in zip(panels.flat, targets, strict=False):
        _panel(axes, target)
    for axes in panels.flat[len(targets) :]:
        axes.remove()


def _panel(axes: Axes, target: TargetFunction) -> None:
    drawn = target.bounds[:2]
    x = grid_points(drawn, POINTS[len(drawn)])
    fixed = [low + FIXED * (high - low) for low, high in target.bounds[2:]]
    values = target(torch.cat([x, x.new_tensor(fixed).expand(len(x), -1)], 1))[:, 0].numpy()
    axes.set_title(target.name, fontsize=10)
    axes.tick_params(labelsize=7)
    if len(drawn) == 1:
        axes.plot(x[:, 0], values, lw=1.2)
        return
    low, high = torch.from_numpy(values).quantile(torch.tensor([0.02, 0.98]).double()).tolist()
    axes.imshow(
        values.reshape(POINTS[2], -1).T,
        origin="lower",
        extent=(*drawn[0], *drawn[1]),
        aspect="auto",
        cmap="cividis",
        vmin=low,
        vmax=high,
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("target-functions", TargetFunctions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
