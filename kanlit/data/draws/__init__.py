"""How collocation points are drawn from a pool during training."""

from kanlit.data.draws.base import PointDraw
from kanlit.data.draws.residual import ResidualDraw

__all__ = ["PointDraw", "ResidualDraw"]
