"""The user's own table of numbers."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.data.checks import check_shares
from kanlit.data.precision import PrecisionCheck
from kanlit.data.selection import Name, Names, select_columns
from kanlit.data.split import LABELS, PARTS, label_split, random_split, reorder
from kanlit.data.tables import read_columns, read_table, tidy_name
from kanlit.errors import ConfigurationError
from kanlit.scaling import Standardization

__all__ = ["TableData"]


class TableData(TensorDataModule):
    """A table in a file: some columns are inputs, others targets.

    The suffix says the format: .csv (and any other that is not listed here) is text with commas,
    .tsv and .tab with tabs, names in the first line; .npz holds named arrays, of which a 1-D one
    is a column and a 2-D one `a` the columns a1, a2, …; .parquet and .pq need
    pip install 'kanlit[table]'.

    Rows are drawn into training, validation and test shares by the seed, unless a column or
    files of their own say which is which. Batches are in the file's units; the model standardises
    with :meth:`standardization`. Prediction takes every row of the file in its order and needs
    the input columns only.

    The table is read once, in the precision of the trainer, and put in the order of the parts, so
    that these are views of it: no second copy is held.

    Args:
        path: The file.
        inputs: Names of the input columns, in the order in which the model takes them. A pattern
            such as c* takes all columns that it matches, in the file's order; all takes every
            column that is not named elsewhere.
        targets: Names of the target columns, or patterns.
        batch_size: Rows in a training step; null is all of them (full batch, one step an epoch).
        validation: Share of the rows for validation, between 0 and 1.
        test: Share of the rows for the test, between 0 and 1; the rest trains.
        seed: Seed of the split and of the order of mini-batches.
        split_column: Name of a column that says train, validate or test of each row; null draws
            shares.
        validation_path: A file with the rows for validation, in place of a share.
        test_path: A file with the rows for the test, in place of a share.
    """

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
            check_shares(
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
            super().setup("test")  # what is wrong with it shows now, not after training

    def build(self, part: Part) -> Tensors:
        if part == "predict":
            return (read_columns(self.path, self.input_names, self.dtype),)
        setting, file = self._files.get(part, ("", None))
        if file is not None:
            groups = self.input_names, self.target_names
            inputs, targets = read_table(file, groups, self.dtype, setting=setting).groups
            return inputs, targets
        inputs, targets = self._divided()[part]
        if part == "train":
            _check_varies(inputs, self.input_names, self.path, "take it out of inputs")
            _check_varies(targets, self.target_names, self.path, "choose a target that varies")
        return inputs, targets

    def standardization(self) -> Standardization:
        """Means and standard deviations of the training share, in the precision of the batches."""
        self._forget_other_precision()
        return Standardization.of(*self._divided()["train"])

    def _forget_other_precision(self) -> None:
        """What was read for another trainer in float32 must not serve one in float64."""
        if self._precision != self.dtype:
            self._precision = self.dtype
            self._parts.clear()
            self._rows.clear()

    def _divided(self) -> dict[Part, tuple[Tensor, Tensor]]:
        """Inputs ``(rows, in)`` and targets ``(rows, out)`` of the parts that ``path`` holds."""
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
            f"split_column {column!r} is an input or a target, too: take it out of these"
        )
    for setting, file in files.values():
        if file is not None:
            raise ConfigurationError(
                f"split_column {column!r} and {setting} {file!r} both say what is in a part: "
                "leave one out"
            )


def _check_varies(values: Tensor, names: tuple[str, ...], path: str, cure: str) -> None:
    """Refuse a column that is one number throughout: nothing can be learnt from it, or of it."""
    low, high = values.aminmax(dim=0)
    for column in (low == high).nonzero()[:, 0].tolist():
        raise ConfigurationError(
            f"column {names[column]!r} of {path} is {float(low[column]):.10g} in all "
            f"{len(values)} training rows: {cure}"
        )
