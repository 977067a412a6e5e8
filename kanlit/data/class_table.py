"""The user's own table with a column of classes."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from kanlit.data.base import Part, Tensors
from kanlit.data.classes import ClassData
from kanlit.data.labels import class_names, class_numbers
from kanlit.data.selection import Name, Names, select_columns
from kanlit.data.tables import read_columns, read_texts, tidy_name
from kanlit.errors import ConfigurationError

__all__ = ["ClassTableData"]


class ClassTableData(ClassData):
    """A table in a file: some columns are inputs, one has each row's class.

    Classes are integers or texts, as the file has them: 7, 07 and 007 are three. Rows are drawn
    into training, validation and test shares by the seed, class by class. Batches are in the
    file's units; the model standardises with :meth:`standardization`. Prediction takes every row
    of the file in its order; with ``classes`` it needs the input columns only.

    Args:
        path: The file, a CSV, TSV, NPZ or Parquet; see TableData.
        inputs: Names of the input columns, in the order in which the model takes them. A pattern
            such as c* takes all columns that it matches, in the file's order; all takes every
            column but the label.
        label: Name of the column of classes.
        classes: The classes, in the order of the model's outputs; null finds them in the file,
            integers in the order of their size, texts in that of the alphabet.
        batch_size: Rows in a training step; null is all of them (full batch, one step an epoch).
        validation: Share of the rows for validation, between 0 and 1.
        test: Share of the rows for the test, between 0 and 1; the rest trains.
        seed: Seed of the split and of the order of mini-batches.

    Raises:
        ConfigurationError: A column that is missing, is not of classes, or has one class only; a
            class without rows.
    """

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
                    f"classes must be two different ones or more, got {names}: leave classes out "
                    f"to take those of the file"
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
