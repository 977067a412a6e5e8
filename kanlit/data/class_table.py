"""A table file with a column of classes."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from kanlit.data.base import Part, Tensors
from kanlit.data.classes import ClassData
from kanlit.data.labels import class_names, class_numbers
from kanlit.data.selection import Name, Names, select_columns
from kanlit.errors import ConfigurationError
from kanlit.tables import read_columns, read_texts, tidy_name

__all__ = ["ClassTableData"]


class ClassTableData(ClassData):
    """A table file with input columns and one column of class labels.

    Class labels are integers or text, as written in the file: 7, 07 and 007 are three classes. The
    rows are split at random, stratified by class, into training, validation and test sets. Batches
    are in the file's units; the model standardizes with :meth:`standardization`. Prediction uses
    every row of the file in order; if ``classes`` is set, it needs the input columns only.

    Args:
        path: The file: CSV, TSV, NPZ or Parquet; see TableData.
        inputs: Names of the input columns, in the order of the model's inputs. A pattern such as c*
            selects all matching columns in the file's order; all selects every column except the
            label.
        label: Name of the class column.
        classes: The classes, in the order of the model's outputs; null collects them from the file
            and sorts integers by value, text alphabetically.
        batch_size: Rows per training step; null uses all rows (full batch, one step per epoch).
        validation: Fraction of the rows for validation, between 0 and 1.
        test: Fraction of the rows for the test, between 0 and 1; training uses the other rows.
        seed: Seed of the split and of the order of mini-batches.

    Raises:
        ConfigurationError: A column is missing, does not contain classes, or has only one class; a
            class has no rows.
    """

    default_recipe = "classes"

    def __init__(
        self,
        path: str,
        inputs: Names,
        label: Name,
        classes: Names | None = None,
        batch_size: int | None = None,
        validation: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
    ) -> None:
        label = tidy_name(label)
        selection = select_columns(path, inputs, [label])
        self._note = selection.note
        self.path = path
        self._where = f"column {label!r} of {path}"
        self._labels: list[str] | None = None
        if classes is None:
            self._labels = read_texts(path, label)
            names = class_names(self._labels, self._where)
        else:
            given = [classes] if isinstance(classes, str) else classes
            names = [str(name) for name in given]
            if len(names) < 2 or len(set(names)) < len(names):
                raise ConfigurationError(
                    f"classes must be at least two different names, got {names}: remove classes to "
                    f"use those of the file"
                )
        self._rows: tuple[Tensor, Tensor] | None = None
        super().__init__(selection.inputs, names, label, batch_size, validation, test, seed)

    def setup(self, stage: str) -> None:
        if stage == "fit" and self._note is not None:
            rank_zero_info(self._note)
        super().setup(stage)

    def rows(self) -> tuple[Tensor, Tensor]:
        if self._rows is None:
            if self._labels is None:
                self._labels = read_texts(self.path, self.label)
            numbers = class_numbers(self._labels, self.classes, self._where)
            self._rows = read_columns(self.path, self.input_names), torch.tensor(numbers)
        return self._rows

    def build(self, part: Part) -> Tensors:
        if part == "predict":
            return (read_columns(self.path, self.input_names),)
        return super().build(part)
