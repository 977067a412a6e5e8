"""Data modules of arrays in memory, split into training and validation rows."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.data.checks import check_fractions
from kanlit.data.class_table import ClassTableData
from kanlit.data.classes import ClassData
from kanlit.data.split import random_split
from kanlit.data.table import TableData
from kanlit.scaling import Standardization

__all__ = ["ArrayClassData", "ArrayData"]


class ArrayData(TensorDataModule):
    """Rows with numeric targets; the model standardizes them, as those of a table.

    Args:
        x: Inputs ``(n, in)``, float64.
        y: Targets ``(n, out)``, float64.
        input_names: A name for each input; None for ``x1, x2, …``.
        target_names: A name for each target; None for ``y``, or ``y1, y2, …``.
        validation: Fraction of the rows for validation; training uses the others.
        seed: Seed of the split.

    Raises:
        ConfigurationError: There are too few rows.
    """

    default_module = TableData.default_module
    default_recipe = TableData.default_recipe

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        input_names: Sequence[str] | None,
        target_names: Sequence[str] | None,
        validation: float,
        seed: int,
    ) -> None:
        check_fractions(validation, None)
        super().__init__(x.shape[1], y.shape[1], None, seed, input_names, target_names)
        order, (train, held, _) = random_split("X", len(x), validation, None, seed)
        self._split: dict[Part, Tensor] = {"train": order[:train], "validate": order[-held:]}
        self._x, self._y = x, y

    def build(self, part: Part) -> Tensors:
        rows = self._split["validate" if part == "test" else part]  # for the pictures of a run
        return self._x[rows], self._y[rows]

    def standardization(self) -> Standardization:
        """Means and standard deviations of the training rows."""
        rows = self._split["train"]
        return Standardization.from_samples(self._x[rows], self._y[rows])


class ArrayClassData(ClassData):
    """Rows with one class each.

    Args:
        x: Inputs ``(n, in)``, float64.
        labels: Class indices ``(n,)``, int64.
        input_names: A name for each input.
        classes: Names of the classes, in the order of the model's outputs.
        label: Name of the class column.
        validation: Fraction of the rows for validation; training uses the others.
        seed: Seed of the split.

    Raises:
        ConfigurationError: There are too few rows.
    """

    default_module = ClassTableData.default_module
    default_recipe = ClassTableData.default_recipe

    def __init__(
        self,
        x: Tensor,
        labels: Tensor,
        input_names: Sequence[str],
        classes: Sequence[str],
        label: str,
        validation: float,
        seed: int,
    ) -> None:
        super().__init__(input_names, classes, label, None, validation, None, seed)
        self._rows = x, labels
        self.split()  # too few rows are an error before training

    def rows(self) -> tuple[Tensor, Tensor]:
        return self._rows

    def build(self, part: Part) -> Tensors:
        return super().build("validate" if part == "test" else part)  # for the pictures of a run
