"""A table file of numbers."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.data.checks import check_fractions
from kanlit.data.precision import PrecisionCheck
from kanlit.data.selection import Name, Names, select_columns
from kanlit.data.split import LABELS, PARTS, label_split, random_split, reorder
from kanlit.errors import ConfigurationError
from kanlit.scaling import Standardization
from kanlit.tables import read_columns, read_table, tidy_name

__all__ = ["TableData"]


class TableData(TensorDataModule):
    """A table file with input columns and target columns.

    The suffix sets the format: .csv (and any suffix not listed here) is text separated by commas,
    .tsv and .tab text separated by tabs, with the names in the first line; .npz has named arrays,
    where a 1-D array is a column and a 2-D array `a` has the columns a1, a2, …; .mat is the same of
    MATLAB, or the axes of a grid and arrays of its shape; .parquet and .pq need
    pip install 'kanlit[table]'.

    The rows are split at random into training, validation and test sets, unless a split column or
    separate files define the sets. Batches are in the file's units; the model standardizes with
    :meth:`standardization`. Prediction uses every row of the file in order and needs the input
    columns only.

    The table is read once, in the trainer's precision, and sorted by parts, so that the parts are
    views and need no copy.

    Args:
        path: The file.
        inputs: Names of the input columns, in the order of the model's inputs. A pattern such as c*
            selects all matching columns in the file's order; all selects every column that is not
            named elsewhere.
        targets: Names of the target columns, or patterns.
        batch_size: Rows per training step; null uses all rows (full batch, one step per epoch).
        validation: Fraction of the rows for validation, between 0 and 1.
        test: Fraction of the rows for the test, between 0 and 1; training uses the other rows.
        seed: Seed of the split and of the order of mini-batches.
        split_column: Name of a column with train, validate or test in each row; null splits at
            random.
        validation_path: A file with the validation rows, instead of a fraction.
        test_path: A file with the test rows, instead of a fraction.
    """

    default_recipe = "smooth"

    def __init__(
        self,
        path: str,
        inputs: Names,
        targets: Names,
        batch_size: int | None = None,
        validation: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        split_column: Name | None = None,
        validation_path: str | None = None,
        test_path: str | None = None,
    ) -> None:
        split_column = None if split_column is None else tidy_name(split_column)
        others = () if split_column is None else (split_column,)
        selection = select_columns(path, inputs, targets, others)
        names = selection.inputs, selection.targets
        self._files: dict[Part, tuple[str, str | None]] = {
            "validate": ("validation_path", validation_path),
            "test": ("test_path", test_path),
        }
        _check_split(split_column, [*names[0], *names[1]], self._files)
        if split_column is None:
            check_fractions(
                None if validation_path is not None else validation,
                None if test_path is not None else test,
            )
        super().__init__(
            len(names[0]),
            len(names[1]),
            batch_size,
            seed,
            input_names=names[0],
            target_names=names[1],
        )
        self._note = selection.note
        self.path = path
        self.validation = validation
        self.test = test
        self.split_column = split_column
        self.validation_path = validation_path
        self.test_path = test_path
        self._rows: dict[Part, tuple[Tensor, Tensor]] = {}
        self._precision: torch.dtype | None = None

    def setup(self, stage: str) -> None:
        self._forget_other_precision()
        if stage == "fit" and self._note is not None:
            rank_zero_info(self._note)
        super().setup(stage)
        if stage == "fit" and self.test_path is not None:
            super().setup("test")  # report a faulty test file before training, not after it

    def build(self, part: Part) -> Tensors:
        if part == "predict":
            return (read_columns(self.path, self.input_names, self.dtype),)
        setting, file = self._files.get(part, ("", None))
        if file is not None:
            groups = self.input_names, self.target_names
            inputs, targets = read_table(file, groups, self.dtype, setting=f"data.{setting}").groups
            return inputs, targets
        inputs, targets = self._divided()[part]
        if part == "train":
            _check_varies(inputs, self.input_names, self.path, "remove it from inputs")
            _check_varies(targets, self.target_names, self.path, "choose a target that varies")
        return inputs, targets

    def standardization(self) -> Standardization:
        """Means and standard deviations of the training rows, in the dtype of the batches."""
        self._forget_other_precision()
        return Standardization.from_samples(*self._divided()["train"])

    def _forget_other_precision(self) -> None:
        """Discards data that were read in another dtype for another trainer."""
        if self._precision != self.dtype:
            self._precision = self.dtype
            self._parts.clear()
            self._rows.clear()

    def _divided(self) -> dict[Part, tuple[Tensor, Tensor]]:
        """Inputs ``(rows, in)`` and targets ``(rows, out)`` of the parts in ``path``."""
        if self._rows:
            return self._rows
        precision = PrecisionCheck(self.input_names + self.target_names)
        rounds = self.dtype == torch.float32
        table = read_table(
            self.path,
            (self.input_names, self.target_names),
            self.dtype,
            label_column=self.split_column,
            labels=LABELS,
            watch=precision.add if rounds else None,
        )
        if rounds:
            precision.check()
        inputs, targets = table.groups
        if self.split_column is not None and table.labels is not None:
            order, sizes = label_split(self.path, self.split_column, table.labels)
        else:
            order, sizes = random_split(
                self.path,
                len(inputs),
                self.validation if self.validation_path is None else None,
                self.test if self.test_path is None else None,
                self.seed,
            )
        for values in (inputs, targets):
            reorder(values, order)
        pairs = zip(inputs.split(sizes), targets.split(sizes), strict=True)
        self._rows = dict(zip(PARTS, pairs, strict=True))
        return self._rows


def _check_split(
    column: str | None, names: list[str], files: dict[Part, tuple[str, str | None]]
) -> None:
    if column is None:
        return
    if column in names:
        raise ConfigurationError(
            f"split_column {column!r} is also an input or a target: remove it from these"
        )
    for setting, file in files.values():
        if file is not None:
            raise ConfigurationError(
                f"split_column {column!r} and {setting} {file!r} both define a part: remove one"
            )


def _check_varies(values: Tensor, names: tuple[str, ...], path: str, cure: str) -> None:
    """Raises if a column is constant: it carries no information."""
    low, high = values.aminmax(dim=0)
    for column in (low == high).nonzero()[:, 0].tolist():
        raise ConfigurationError(
            f"column {names[column]!r} of {path} is {float(low[column]):.10g} in all "
            f"{len(values)} training rows: {cure}"
        )
