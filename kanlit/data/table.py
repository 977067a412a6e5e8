"""The user's own table of numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.data.checks import check_columns, check_digits, check_shares
from kanlit.data.csv_table import read_columns
from kanlit.data.standardization import Standardization
from kanlit.errors import ConfigurationError

__all__ = ["TableData"]


class TableData(TensorDataModule):
    """A CSV file with a header: some columns are inputs, others targets.

    Rows are drawn into training, validation and test shares by the seed. Batches are in the
    file's units; the model standardises with :meth:`standardization`. Prediction takes every
    row of the file in its order and needs the input columns only.

    Args:
        path: The CSV file: UTF-8, commas between fields, names in the first line.
        inputs: Names of the input columns, in the order in which the model takes them.
        targets: Names of the target columns.
        batch_size: Rows in a training step; null is all of them (full batch, one step an epoch).
        validation: Share of the rows for validation, between 0 and 1.
        test: Share of the rows for the test, between 0 and 1; the rest trains.
        seed: Seed of the split and of the order of mini-batches.
    """

    def __init__(
        self,
        path: str,
        inputs: list[str],
        targets: list[str],
        batch_size: int | None = None,
        validation: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
    ) -> None:
        check_columns(inputs, targets)
        check_shares(validation, test)
        super().__init__(
            len(inputs), len(targets), batch_size, seed, input_names=inputs, target_names=targets
        )
        self.path = path
        self.validation = validation
        self.test = test
        self._table: tuple[Tensor, Tensor] | None = None

    def build(self, part: Part) -> Tensors:
        if part == "predict":
            return (read_columns(self.path, self.input_names),)
        inputs, targets = self._read()
        if self.dtype == torch.float32:
            check_digits(inputs, self.input_names)
            check_digits(targets, self.target_names)
        rows = self._split(len(inputs))[part]
        return inputs[rows], targets[rows]

    def standardization(self) -> Standardization:
        """Means and standard deviations of the training share."""
        inputs, targets = self._read()
        rows = self._split(len(inputs))["train"]
        return Standardization.of(inputs[rows], targets[rows])

    def _read(self) -> tuple[Tensor, Tensor]:
        """All rows: inputs ``(rows, in)`` and targets ``(rows, out)``, read once."""
        if self._table is None:
            table = read_columns(self.path, self.input_names + self.target_names)
            self._table = table[:, : self.in_features], table[:, self.in_features :]
        return self._table

    def _split(self, rows: int) -> dict[Part, Tensor]:
        """Row numbers of each share, rising."""
        validation, test = round(self.validation * rows), round(self.test * rows)
        training = rows - validation - test
        if validation < 1 or test < 1 or training < 2:
            raise ConfigurationError(
                f"{self.path} has {rows} rows, of which validation: {self.validation} takes "
                f"{validation}, test: {self.test} takes {test} and training {training}: add rows "
                "or change the shares, so that training has 2 and the others 1"
            )
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(self.seed))
        parts: tuple[Part, ...] = ("train", "validate", "test")
        shares = order.split([training, validation, test])
        return {part: share.sort().values for part, share in zip(parts, shares, strict=True)}
