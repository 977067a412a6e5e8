"""A figure whose rows of panels are placed from the top down."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Transform

__all__ = ["Page"]

WIDTH, LEFT, RIGHT = 9.6, 0.75, 0.2  # inches
HEADING_HEIGHT = 0.36


class Page:
    """Rows of panels placed from the top down, in inches.

    Placed explicitly, because matplotlib's constrained layout takes half a second per figure and
    its solver has crashed the process.
    """

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(WIDTH, height), dpi=100)
        self._height = height
        self._top = height

    def skip(self, height: float) -> None:
        self._top -= height

    def heading(self, words: str) -> None:
        """Adds a line of text."""
        y = (self._top - 0.26) / self._height
        self.figure.text(LEFT / WIDTH, y, words, fontsize=9.5, va="baseline")
        self.skip(HEADING_HEIGHT)

    def row(self, columns: int, height: float, below: float, gap: float = 0.45) -> list[Axes]:
        """Adds a row of panels, ``gap`` inches apart, with ``below`` inches for their labels."""
        width = (WIDTH - LEFT - RIGHT - gap * (columns - 1)) / columns
        panels = [
            self.figure.add_axes(
                (
                    (LEFT + i * (width + gap)) / WIDTH,
                    (self._top - height + below) / self._height,
                    width / WIDTH,
                    (height - below - 0.08) / self._height,
                )
            )
            for i in range(columns)
        ]
        self.skip(height)
        return panels

    def panels(
        self, count: int, columns: int, height: float, below: float, gap: float = 0.45
    ) -> list[Axes]:
        """Adds ``count`` panels in rows of ``columns``, each like a :meth:`row`."""
        rows = -(-count // columns)
        axes = [each for _ in range(rows) for each in self.row(columns, height, below, gap)]
        for empty in axes[count:]:
            empty.remove()
        return axes[:count]

    def band(self, columns: int, rows: int, height: float) -> Transform:
        """Adds a strip; its transform maps (0, 0) to (columns, rows) from the upper left corner."""
        across = (WIDTH - LEFT - RIGHT) / columns
        down = (height - 0.18) / rows
        corner = (LEFT, self._top - 0.08)
        self.skip(height)
        return Affine2D().scale(across, -down).translate(*corner) + self.figure.dpi_scale_trans
