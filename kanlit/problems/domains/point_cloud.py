"""Given points in a shape and on parts of its boundary, times intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import NamedTuple

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.hints import near
from kanlit.problems.domains.base import Domain
from kanlit.problems.functions.target import Bounds
from kanlit.tables import Table, data_columns, read_table

__all__ = ["PointCloud"]

_SETTING = "the paths of the PointCloud"
_NORMAL = "normal_"
_REACH = 1.5  # times the largest distance between neighbours: how far the shape goes
_OUTWARD = 0.25  # least cosine between a normal and the way to a point that is outside


class PointCloud(Domain):
    """Your own points, such as the nodes of a mesh, times intervals of the other coordinates.

    The shape may have two or more dimensions. Training points are chosen among the given ones,
    without replacement: with the same probability, or by their residual::

        domain = PointCloud("interior.csv", {"wall": "wall.csv"}, axes=((0.0, 2.0),))

    Tables have a format of TableData and a column per coordinate of the shape, named like those of
    the equation. Those of the boundary may have further columns with the outward normals,
    ``normal_x`` for the coordinate ``x``, of any length above 0; conditions on ``u_n`` need them.

    Another point, such as that of an observation or a picture, is in the domain if a given point is
    not farther than 1.5 times the largest distance between neighbours, and if it is not outward of
    the next point of the boundary, as far as there are normals.

    Args:
        interior: A table of points inside. Its columns, in order, are the coordinates of the shape.
        boundary: Tables of points on the boundary, by the name of the part for conditions.
        axes: ``(low, high)`` of each coordinate after those of the shape, such as the time.

    Raises:
        ConfigurationError: A table cannot be read, lacks a column or has one that is neither a
            coordinate nor a normal; a point is there twice; a normal is zero; the normals of a part
            point inward; there is only one coordinate.
    """

    names: tuple[str, ...]

    def __init__(
        self, interior: str, boundary: Mapping[str, str] | None = None, axes: Bounds = ()
    ) -> None:
        super().__init__(axes)
        self.names = tuple(data_columns(interior, _SETTING))
        self.dim = len(self.names)
        if self.dim < 2:
            raise ConfigurationError(
                f"a PointCloud needs two coordinates or more, but {interior} has only "
                f"{', '.join(self.names)}: for an interval, set bounds of the equation"
            )
        table = read_table(interior, [self.names], setting=_SETTING)
        _check_different(table, interior)
        self._inside = table.groups[0]
        tree = cKDTree(self._inside)
        self._pieces = {
            name: _read_piece(path, self.names, self._inside, tree)
            for name, path in (boundary or {}).items()
        }
        self.parts = tuple(self._pieces)
        self._look_up()

    def _look_up(self) -> None:
        """Prepares the search of the next given point, and of the next with a normal."""
        pieces = self._pieces.values()
        given = torch.cat([*(piece.points for piece in pieces), self._inside]).unique(dim=0)
        self._tree = cKDTree(given)
        self._reach = _REACH * float(self._tree.query(given, 2)[0][:, 1].max())
        self._bounds = tuple(zip(given.amin(0).tolist(), given.amax(0).tolist(), strict=True))
        directed = [piece for piece in pieces if piece.has_normals]
        self._wall = None
        if directed:
            self._ends = torch.cat([piece.points for piece in directed])
            self._normals = torch.cat([piece.normals for piece in directed])
            self._wall = cKDTree(self._ends)

    @property
    def shape_bounds(self) -> Bounds:
        return self._bounds

    def shape_contains(self, points: Tensor, slack: float) -> Tensor:
        distances = torch.from_numpy(self._tree.query(points)[0])
        return (distances <= self._reach) & (~self._is_beyond(points) | (distances <= slack))

    def _is_beyond(self, points: Tensor) -> Tensor:
        """Whether points are outward of the next one with a normal, if that is near, ``(n,)``."""
        if self._wall is None:
            return torch.zeros(len(points), dtype=torch.bool)
        # At a corner, the next point is there once per part: all of them must say so.
        distances, which = map(torch.from_numpy, self._wall.query(points, range(1, self.dim + 1)))
        which = which.clamp(max=len(self._ends) - 1)  # of fewer points than were asked for
        outward = ((points.unsqueeze(1) - self._ends[which]) * self._normals[which]).sum(2)
        others = distances > distances[:, :1]
        beyond = (outward > _OUTWARD * distances) | others
        return beyond.all(1) & (distances[:, 0] <= self._reach)

    def shape_points(self, unit: Tensor) -> Tensor:
        return self._inside[self._chosen(unit[:, 0], len(self._inside))]

    def shape_grid(self, counts: Sequence[int], midway: bool) -> Tensor:
        """All given points: no others are known to be inside."""
        return self._inside

    def meet(self, part: str, other: str) -> bool:
        """Whether half of the points of one part are in the other, too."""
        one, two = (self._pieces[each].points for each in (part, other))
        common = len(one) + len(two) - len(torch.cat([one, two]).unique(dim=0))
        return 2 * common >= min(len(one), len(two))

    def part_points(self, part: str, unit: Tensor) -> tuple[Tensor, Tensor]:
        piece = self._pieces[part]
        chosen = self._chosen(unit[:, 0], len(piece.points))
        return piece.points[chosen], piece.normals[chosen]

    def lacks_normals(self, part: str) -> str:
        if self._pieces[part].has_normals:
            return ""
        columns = ", ".join(f"{_NORMAL}{name}" for name in self.names)
        return f"add columns {columns} to {self._pieces[part].path}"

    def _chosen(self, unit: Tensor, size: int) -> Tensor:
        """Indices of given points, each as often as any other up to once, for uniform numbers.

        Without intervals each at most once, so that there may be fewer than numbers.
        """
        rounds = unit.split(size) if self.axes else [unit[:size]]
        return torch.cat([_different(each, size) for each in rounds])


class _Piece(NamedTuple):
    """Points of a part of the boundary ``(m, dim)``, and their outward normals, NaN if unknown."""

    path: str
    points: Tensor
    normals: Tensor

    @property
    def has_normals(self) -> bool:
        return not bool(self.normals.isnan().any())


def _read_piece(path: str, names: Sequence[str], inside: Tensor, tree: cKDTree) -> _Piece:
    normal_names = [f"{_NORMAL}{name}" for name in names]
    columns = data_columns(path, _SETTING)
    for column in columns:
        if column not in (*names, *normal_names):
            hint = near(column, [*names, *normal_names], cutoff=0.5)
            raise ConfigurationError(
                f"column {column!r} of {path} is neither a coordinate nor a normal: {hint}name it "
                f"as one of {', '.join((*names, *normal_names))}, or remove it"
            )
    has_normals = any(name in columns for name in normal_names)
    groups = [names, normal_names] if has_normals else [names]
    table = read_table(path, groups, setting=_SETTING)
    _check_different(table, path)
    points = table.groups[0]
    if not has_normals:
        return _Piece(path, points, torch.full_like(points, nan))
    lengths = table.groups[1].norm(dim=1, keepdim=True)
    if not bool((lengths > 0).all()):
        first = int((lengths <= 0).nonzero()[0, 0])
        raise ConfigurationError(
            f"the normal in {table.place(first)} of {path} is zero: give a vector that points out "
            f"of the domain"
        )
    normals = table.groups[1] / lengths
    inward = inside[torch.from_numpy(tree.query(points)[1])] - points
    wrong = (inward * normals).sum(1) > 0
    if 2 * int(wrong.sum()) > len(points):
        raise ConfigurationError(
            f"{int(wrong.sum())} of {len(points)} normals of {path} point to the next point inside "
            f"the domain: change their sign"
        )
    return _Piece(path, points, normals)


def _check_different(table: Table, path: str) -> None:
    """Raises if a point is in a table twice."""
    points = table.groups[0]
    _, which, counts = points.unique(dim=0, return_inverse=True, return_counts=True)
    if len(counts) == len(points):
        return
    first, second = (which == which[counts[which] > 1][0]).nonzero()[:2, 0].tolist()
    raise ConfigurationError(
        f"{len(points) - len(counts)} of {len(points)} points of {path} repeat others, such as "
        f"{table.place(second)} that of {table.place(first)}: remove them"
    )


def _different(unit: Tensor, size: int) -> Tensor:
    """Different indices below ``size`` for at most as many uniform numbers, ``(n,)``.

    Each number takes the index that it falls on, or else the next one that is free, in a circle.
    The circle is turned by the later digits of the first number, so that all indices have the same
    probability for a Sobol sequence, too.
    """
    unit = (unit + unit[:1] * 2**12) % 1
    order = unit.argsort(stable=True)
    rank = torch.arange(len(unit))
    taken = ((unit[order] * size).long().clamp(max=size - 1) - rank).cummax(0).values + rank
    free = torch.ones(size, dtype=torch.bool)
    late = taken >= size
    free[taken[~late]] = False
    taken[late] = free.nonzero()[: int(late.sum()), 0]
    found = torch.empty_like(taken)
    found[order] = taken
    return found
