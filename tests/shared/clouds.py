"""Domains of given points: a ring, and a ball."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from kanlit.problems import PointCloud

INNER = 0.3


def table(path: Path, points: Tensor, normals: Tensor | None = None, names: str = "xyz") -> str:
    """Writes points ``(n, d)``, and normals if there are any."""
    frame = pd.DataFrame(points.numpy(), columns=list(names[: points.shape[1]]))
    for number, name in enumerate(frame.columns):
        if normals is not None:
            frame[f"normal_{name}"] = normals[:, number].numpy()
    frame.to_csv(path, index=False)
    return str(path)


def filled(dim: int, count: int, inner: float = 0.0) -> Tensor:
    """About ``count`` evenly spread points of the unit ball, farther than ``inner`` from 0."""
    cube = 2 * SobolEngine(dim, scramble=True, seed=0).draw(3 * count, dtype=torch.float64) - 1
    radius = cube.norm(dim=1)
    return cube[(radius < 1) & (radius > inner)][:count]


def ring(count: int = 3000, on: int = 300, axes: Any = (), normals: bool = True) -> PointCloud:
    """Points between two circles around 0, of radius 0.3 and 1."""
    angles = torch.linspace(0, 2 * np.pi, on + 1, dtype=torch.float64)[:-1]
    outward = torch.stack([angles.cos(), angles.sin()], 1)
    with TemporaryDirectory() as folder:
        parts = {
            name: table(
                Path(folder) / f"{name}.csv", radius * outward, side * outward if normals else None
            )
            for name, radius, side in (("rim", 1.0, 2.0), ("hole", INNER, -1.0))
        }
        inside = table(Path(folder) / "inside.csv", filled(2, count, INNER + 0.01))
        return PointCloud(inside, parts, axes)


def ball(count: int = 2000, on: int = 500, axes: Any = ()) -> PointCloud:
    """Points in the unit ball, and on the spiral of Fibonacci on its surface."""
    k = torch.arange(on, dtype=torch.float64) + 0.5
    height, turn = 1 - 2 * k / on, np.pi * (1 + 5**0.5) * k
    flat = (1 - height**2).sqrt()
    surface = torch.stack([flat * turn.cos(), flat * turn.sin(), height], 1)
    with TemporaryDirectory() as folder:
        parts = {"surface": table(Path(folder) / "surface.csv", surface, surface)}
        return PointCloud(table(Path(folder) / "inside.csv", filled(3, count)), parts, axes)
