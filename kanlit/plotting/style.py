"""Style of all figures: colors, titles, legends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from kanlit.plotting.page import WIDTH, Page

__all__ = [
    "BLACK",
    "BLUE",
    "FONT",
    "GREY",
    "LETTER",
    "MARKED",
    "ORANGE",
    "SKY_BLUE",
    "VERMILLION",
    "color",
    "grey",
    "head",
    "mark_adaptations",
    "mark_points",
    "marker",
    "plain",
    "r2_words",
    "rug",
    "shortened",
    "tidy",
]

# The Okabe-Ito palette of eight colors, distinguishable with color blindness, and their markers.
BLACK, ORANGE, SKY_BLUE, BLUE, VERMILLION = "#000000", "#E69F00", "#56B4E9", "#0072B2", "#D55E00"
_COLORS = (BLUE, VERMILLION, "#009E73", "#CC79A7", ORANGE, SKY_BLUE, BLACK, "#F0E442")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#777777"
MARKED = "adaptations, with the new G"  # legend entry for mark_adaptations
FONT = 9
LETTER = 0.08  # inches, of a word of that size
_TITLE: dict[str, Any] = {"fontsize": 13, "fontweight": "bold"}
_LEGEND_COLUMNS = 5
_MOST_MARKS = 40
_TITLE_HEIGHT, _LINE_HEIGHT = 0.5, 0.2  # inches


def color(i: int) -> str:
    """Color of the i-th series."""
    return _COLORS[i % len(_COLORS)]


def marker(i: int) -> str:
    """Marker of the i-th series."""
    return _MARKERS[i % len(_MARKERS)]


def grey(label: str, **style: Any) -> Line2D:
    """Legend entry for elements that are drawn in several colors."""
    return Line2D([], [], color=GREY, ls="", label=label, **style)


def shortened(name: str, letters: int) -> str:
    """Shortens a name to a number of letters by omitting its middle."""
    if len(name) <= letters:
        return name
    end = (letters - 1) // 2
    return f"{name[: letters - 1 - end]}…{name[-end:]}"


def plain(words: str) -> str:
    r"""Escapes dollar signs, so that matplotlib does not draw text as mathematics.

    >>> print(plain("price in $, cost in $"))
    price in \$, cost in \$
    """
    return words.replace("$", r"\$")


def head(height: float, title: str, handles: Sequence[Line2D | Patch] = ()) -> Page:
    """Creates a page with title and legend on top and ``height`` inches below them."""
    widest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = max(1, min(_LEGEND_COLUMNS, int(WIDTH / (0.6 + LETTER * widest))))
    lines = math.ceil(len(handles) / columns)
    top = _TITLE_HEIGHT + (0.1 + _LINE_HEIGHT * lines if lines else 0.0)
    page = Page(top + height)
    page.figure.suptitle(title, y=1 - 0.12 / (top + height), va="top", gid="title", **_TITLE)
    if handles:
        page.figure.legend(
            handles=list(handles),
            loc="upper center",
            bbox_to_anchor=(0.5, 1 - 0.38 / (top + height)),
            ncols=min(len(handles), columns),
            fontsize=FONT,
            frameon=False,
        )
    page.skip(top)
    return page


def r2_words(value: float) -> str:
    """R² with digits where they matter, and no more than a float32 has.

    >>> r2_words(0.98765), r2_words(1 - 2.6e-5), r2_words(1 - 2.6e-9)
    ('0.9877', '1 - 2.6e-05', '> 0.999999')
    """
    if value < 0.9999:
        return f"{value:.4f}"
    return f"1 - {1 - value:.1e}" if value < 1 - 1e-6 else "> 0.999999"


def rug(axes: Axes, breakpoints: NDArray[np.float64]) -> None:
    """Draws breakpoints ``(G+1,)`` as ticks along the axis, inside the panel."""
    axes.vlines(
        breakpoints,
        0.0,
        0.07,
        transform=axes.get_xaxis_transform(),
        color=BLUE,
        lw=1.4,
        gid="rug",
    )


def mark_adaptations(axes: Axes, epochs: Sequence[float], grid_sizes: Sequence[int]) -> None:
    """Draws adaptations as dotted lines, labeled with G where it changes.

    With more than 40, only those that change G are drawn. Labels are moved right to avoid overlap.
    """
    left, right = axes.get_xlim()
    across = (right - left) / (axes.get_position().width * WIDTH)  # epochs per inch
    known, free = None, -math.inf
    for epoch, size in zip(epochs, grid_sizes, strict=True):
        if len(epochs) <= _MOST_MARKS or size != known:
            axes.axvline(epoch, color=GREY, lw=0.7, ls=":", zorder=0)
        if size != known and max(epoch, free) <= right:
            axes.annotate(
                str(size) if known else f"G {size}",
                (max(epoch, free), 1.0),
                xycoords=axes.get_xaxis_transform(),
                xytext=(0, 1),
                textcoords="offset points",
                fontsize=7.5,
                ha="center",
                color=GREY,
            )
            free = max(epoch, free) + across * (0.22 if known else 0.28)
        known = size


def mark_points(axes: Axes, points: NDArray[np.float64], size: float) -> None:
    """Marks points by their first two coordinates, within the limits of the axes."""
    (marks,) = axes.plot(points[:, 0], points[:, 1], scalex=False, scaley=False)
    marks.set(ls="", marker=".", ms=size, mew=0, color=BLUE, gid="points")


def tidy(axes: Axes, size: float) -> None:
    """Removes the top and right frame and sets the label size."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=size)
