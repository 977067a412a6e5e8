"""A polygon, with holes or of several pieces, times intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.files import expanded
from kanlit.problems.domains.base import Domain
from kanlit.problems.functions.target import Bounds

__all__ = ["Polygon"]

_TOLERANCE = 1e-6  # of the diagonal: how far a part may be from the boundary
_FILES = (".geojson", ".json", ".wkt")


class Polygon(Domain):
    """A polygon of shapely in the first two coordinates, times intervals of the others.

    Holes, unions, differences and buffered points and lines (disks and channels) are made with
    shapely (``pip install 'kanlit[geometry]'``)::

        from shapely import Point, box

        disk = Point(0.5, 0.5).buffer(0.2, quad_segs=64)
        domain = Polygon(box(0, 0, 1, 1) - disk, parts={"disk": disk}, axes=((0.0, 2.0),))

    Conditions name parts of the boundary: ``boundary`` is all of it, ``outer`` and ``holes`` are
    the outer and inner rings, each of ``parts`` is what lies in its geometry, and ``rest`` is what
    is in none of these.

    Args:
        geometry: A polygon or multipolygon of shapely, its WKT, or the path of a file with WKT
            (.wkt) or GeoJSON (.geojson, .json). In a GeoJSON FeatureCollection, the domain is the
            union of the polygons, and a line or point set with a property ``name`` is a part.
        parts: Geometries of shapely, or their WKT, by name.
        axes: ``(low, high)`` of each coordinate after the second, such as the time.

    Raises:
        ConfigurationError: shapely is missing; the geometry cannot be read, is no polygon, is
            empty, or intersects itself; no boundary lies in a part.
    """

    dim = 2

    def __init__(
        self, geometry: Any, parts: Mapping[str, Any] | None = None, axes: Bounds = ()
    ) -> None:
        super().__init__(axes)
        shapely = _shapely()
        shape, named = _read(geometry)
        named |= {name: _geometry(part, f"part {name}") for name, part in (parts or {}).items()}
        _check(shape)
        self.shape = shape
        shapely.prepare(shape)
        corners = shapely.get_coordinates(shapely.constrained_delaunay_triangles(shape))
        self._triangles = torch.from_numpy(corners.reshape(-1, 4, 2)[:, :3])  # rings repeat one
        a, b, c = self._triangles.unbind(1)
        self._areas = torch.linalg.det(torch.stack([b - a, c - a], 1)).abs().cumsum(0)
        self._lines = _lines(shape, named)
        self._segments = {name: _Segments(shape, line) for name, line in self._lines.items()}
        self.parts = tuple(self._segments)

    @property
    def shape_bounds(self) -> Bounds:
        left, bottom, right, top = self.shape.bounds
        return (left, right), (bottom, top)

    def shape_contains(self, points: Tensor, slack: float) -> Tensor:
        shapely = _shapely()
        return torch.from_numpy(shapely.dwithin(self.shape, shapely.points(points.numpy()), slack))

    def shape_points(self, unit: Tensor) -> Tensor:
        """By a triangle, chosen by its area, and a uniform point in it."""
        chosen, first = _chosen(self._areas, unit[:, 0])
        a, b, c = self._triangles[chosen].unbind(1)
        root, second = first.sqrt().unsqueeze(1), unit[:, 1:]
        return (1 - root) * a + root * ((1 - second) * b + second * c)

    def meet(self, part: str, other: str) -> bool:
        near = _near(self.shape, self._lines[part])
        return bool(near.intersection(self._lines[other]).length > _least_length(self.shape))

    def part_points(self, part: str, unit: Tensor) -> tuple[Tensor, Tensor]:
        own = self._segments[part]
        chosen, along = _chosen(own.lengths, unit[:, 0])
        start, end = own.ends[chosen].unbind(1)
        return torch.lerp(start, end, along.unsqueeze(1)), own.normals[chosen]


class _Segments:
    """Straight segments of a boundary.

    Args:
        shape: The polygon.
        line: Lines of its boundary.

    Attributes:
        ends: ``(s, 2, 2)``.
        lengths: Cumulative ``(s,)``.
        normals: Outward, of length 1 ``(s, 2)``.
    """

    def __init__(self, shape: Any, line: Any) -> None:
        shapely = _shapely()
        size = _diagonal(shape)
        ends = []
        for piece in shapely.get_parts(line):
            corners = shapely.get_coordinates(piece)
            ends.append(np.stack([corners[:-1], corners[1:]], 1))
        self.ends = torch.from_numpy(np.concatenate(ends)) if ends else torch.empty(0, 2, 2)
        along = self.ends[:, 1] - self.ends[:, 0]
        lengths = along.norm(dim=1)
        # Where a part ends at a corner, some rounding of the next side is in its tolerance.
        kept = lengths > 10 * _TOLERANCE * size
        self.ends, along, lengths = self.ends[kept], along[kept], lengths[kept]
        self.lengths = lengths.cumsum(0)
        self.normals = torch.stack([along[:, 1], -along[:, 0]], 1) / lengths.unsqueeze(1)
        beside = self.ends.mean(1) + _TOLERANCE * size * self.normals
        inward = torch.from_numpy(shapely.contains_xy(shape, beside.numpy()))
        self.normals[inward] *= -1


def _chosen(cumulative: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Pieces chosen by their size, and how far along it each was met, from 0 to 1, ``(n,)`` each.

    Args:
        cumulative: Sizes of the pieces, summed up ``(s,)``.
        unit: From 0 to 1 ``(n,)``.
    """
    places = unit * cumulative[-1]
    chosen = torch.searchsorted(cumulative, places).clamp(max=len(cumulative) - 1)
    starts = torch.cat([cumulative.new_zeros(1), cumulative[:-1]])
    sizes = (cumulative - starts)[chosen]
    return chosen, ((places - starts[chosen]) / sizes).clamp(0, 1)


def _lines(shape: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """The lines of the boundary by name."""
    shapely = _shapely()
    polygons = shapely.get_parts(shape)
    whole = shape.boundary
    found = {
        "boundary": whole,
        "outer": shapely.union_all(shapely.get_exterior_ring(polygons)),
        "holes": shapely.union_all([ring for polygon in polygons for ring in polygon.interiors]),
    }
    near = {name: _near(shape, part) for name, part in named.items()}
    for name, part in near.items():
        if name in (*found, "rest"):
            raise ConfigurationError(f"a part of a polygon cannot be named {name}: rename it")
        found[name] = whole.intersection(part)
        if not found[name].length > _least_length(shape):
            raise ConfigurationError(
                f"no boundary of the polygon lies in its part {name}: give a geometry that "
                f"contains some of it, such as a hole or a side"
            )
    found["rest"] = whole.difference(shapely.union_all(list(near.values())))
    return {name: line for name, line in found.items() if line.length > 0}


def _near(shape: Any, part: Any) -> Any:
    """What is in a part up to rounding."""
    cap = "flat" if part.geom_type.endswith("LineString") else "round"
    return part.buffer(_TOLERANCE * _diagonal(shape), cap_style=cap)


def _least_length(shape: Any) -> float:
    """Length below which a piece of the boundary is rounding."""
    return 100 * _TOLERANCE * _diagonal(shape)


def _read(given: Any) -> tuple[Any, dict[str, Any]]:
    """The geometry, and parts by name, of an argument or a file."""
    shapely = _shapely()
    if not isinstance(given, (str, Path)) or Path(given).suffix.lower() not in _FILES:
        return _geometry(given, "geometry"), {}
    path = expanded(given)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path} ({error}): check the path") from None
    if path.suffix.lower() == ".wkt":
        return _geometry(text, str(path)), {}
    try:
        tree = json.loads(text)
        features = tree["features"] if tree["type"] == "FeatureCollection" else [tree]
        named = [
            (
                (each.get("properties") or {}).get("name"),
                shapely.from_geojson(json.dumps(each.get("geometry", each))),
            )
            for each in features
        ]
    except (ValueError, KeyError, TypeError, AttributeError, shapely.GEOSException) as error:
        raise ConfigurationError(f"{path} is not GeoJSON ({error}): check the file") from None
    polygons = [each for _, each in named if each.geom_type.endswith("Polygon")]
    for each in polygons:
        _check(each)
    parts = {str(name): each for name, each in named if each not in polygons and name is not None}
    return shapely.union_all(polygons), parts


def _geometry(given: Any, label: str) -> Any:
    """A geometry of shapely, also from its WKT."""
    shapely = _shapely()
    if isinstance(given, shapely.Geometry):
        return given
    try:
        return shapely.from_wkt(given)
    except (TypeError, shapely.GEOSException) as error:
        raise ConfigurationError(
            f"{label} {str(given)[:60]!r} of a polygon is no geometry "
            f"({str(error).splitlines()[0]}): give one of shapely, WKT such as POLYGON ((0 0, 1 0, "
            f"0 1, 0 0)), or a file that ends in {', '.join(_FILES)}"
        ) from None


def _check(shape: Any) -> None:
    """Raises unless a geometry is a valid polygon."""
    shapely = _shapely()
    if not shape.is_empty and not shape.geom_type.endswith("Polygon"):
        raise ConfigurationError(
            f"the domain is a {shape.geom_type}, not a polygon: give one, such as a line with a "
            f"width by its method buffer"
        )
    if not shapely.is_valid(shape):
        raise ConfigurationError(
            f"the polygon is not valid ({shapely.is_valid_reason(shape)}): remove what intersects, "
            f"or repair it with shapely.make_valid"
        )
    if not shape.area > 0:
        raise ConfigurationError(
            "the polygon is empty, so there is no point in it: check the operations it is made with"
        )


def _diagonal(shape: Any) -> float:
    left, bottom, right, top = shape.bounds
    return float(np.hypot(right - left, top - bottom))


def _shapely() -> Any:
    try:
        import shapely
    except ImportError:
        raise ConfigurationError(
            "Polygon needs shapely, which is not installed: run pip install 'kanlit[geometry]'"
        ) from None
    return shapely
