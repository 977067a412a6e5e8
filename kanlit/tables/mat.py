"""MAT: arrays by name, as MATLAB saves them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from kanlit.errors import ConfigurationError
from kanlit.tables.base import BLOCK, tidy_name

__all__ = ["MatFile"]


class MatFile:
    """Vectors of equal length side by side, or a grid; the file is read whole, by SciPy.

    A matrix ``a`` with as many rows as the vectors has the columns a1, a2, …. Where vectors differ
    in length and an array has these lengths as its shape, the vectors are the axes of a grid: each
    point of it becomes a row, with the values of all arrays of that shape.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: dict[str, np.ndarray[Any, Any]] = {}

    def names(self) -> list[str]:
        try:
            found = loadmat(self.path, appendmat=False)
        except NotImplementedError:
            raise ConfigurationError(
                f"{self.path} is a MAT file of version 7.3, which SciPy does not read: save it "
                f"with the option -v7"
            ) from None
        except (MatReadError, ValueError, TypeError, EOFError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(f"{self.path} is not a MAT file ({reason})") from None
        arrays = {
            tidy_name(name): np.squeeze(array)
            for name, array in found.items()
            if isinstance(array, np.ndarray) and array.dtype.kind in "biuf" and array.size > 1
        }
        self._columns = _grid(arrays) or dict(_table(arrays))
        if not self._columns:
            raise ConfigurationError(
                f"{self.path} has no arrays of numbers that are columns of a table or the axes "
                f"of a grid: save vectors of equal length"
            )
        return list(self._columns)

    def row_labels(self) -> Collection[str]:
        return []

    def missing(self, column: str) -> str | None:
        return None

    def rows_at_most(self) -> int:
        return max(map(len, self._columns.values()))

    def blocks(self, columns: Sequence[str], texts: bool = False) -> Iterator[pd.DataFrame]:
        table = {column: self._columns[column] for column in columns}
        lengths = {column: len(values) for column, values in table.items()}
        if len(set(lengths.values())) > 1:
            raise ConfigurationError(
                f"arrays of {self.path} have different lengths {lengths}: save vectors of equal "
                f"length, or the axes of a grid with arrays of its shape"
            )
        frame = pd.DataFrame(table)
        for start in range(0, len(frame), BLOCK):
            yield frame.iloc[start : start + BLOCK]

    def place(self, row: int) -> str:
        return f"row {row + 1}"


def _table(
    arrays: dict[str, np.ndarray[Any, Any]],
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for name, array in arrays.items():
        if array.ndim == 1:
            yield name, array
        elif array.ndim == 2:
            yield from ((f"{name}{j + 1}", array[:, j]) for j in range(array.shape[1]))


def _grid(arrays: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Columns with the points of a grid and the values there; empty if there is no grid."""
    axes = {name: array for name, array in arrays.items() if array.ndim == 1}
    shapes = {array.shape for array in arrays.values() if array.ndim == len(axes) > 1}
    if len(set(map(len, axes.values()))) < len(axes) or len(shapes) != 1:
        return {}
    (shape,) = shapes
    for order in permutations(axes):
        if tuple(len(axes[name]) for name in order) == shape:
            mesh = np.meshgrid(*(axes[name] for name in order), indexing="ij")
            found = {name: part.ravel() for name, part in zip(order, mesh, strict=True)}
            return found | {
                name: array.ravel() for name, array in arrays.items() if array.shape == shape
            }
    return {}
