"""Domains of differential equations: a box, or a shape times a box."""

from kanlit.problems.domains.base import Domain, Face
from kanlit.problems.domains.box import Box
from kanlit.problems.domains.point_cloud import PointCloud
from kanlit.problems.domains.polygon import Polygon

__all__ = ["Box", "Domain", "Face", "PointCloud", "Polygon"]
