"""The user's own table of numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.data.csv_table import read_columns
from kanlit.data.standardization import Standardization
from kanlit.errors import ConfigurationError

__all__ = ["TableData"]

_LARGEST_ROUNDING = 1e-2  # of a column's standard deviation


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
        _check_names(inputs, targets)
        _check_shares(validation, test)
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
            _check_digits(inputs, self.input_names)
            _check_digits(targets, self.target_names)
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


def _check_names(inputs: list[str], targets: list[str]) -> None:
    for setting, names in (("inputs", inputs), ("targets", targets)):
        if not names:
            raise ConfigurationError(
                f"{setting} is empty: name at least one column, as in --data.{setting} '[a]'"
            )
        if twice := [name for name in names if names.count(name) > 1]:
            raise ConfigurationError(
                f"{setting} has column {twice[0]!r} {names.count(twice[0])} times: name it once"
            )
    if both := [name for name in inputs if name in targets]:
        raise ConfigurationError(
            f"column {both[0]!r} is both an input and a target: take it out of one of the two"
        )


def _check_shares(validation: float, test: float) -> None:
    for setting, share in (("validation", validation), ("test", test)):
        if not 0 < share < 1:
            raise ConfigurationError(
                f"{setting} must be a share between 0 and 1, got {share}: choose one such as 0.15"
            )
    if validation + test >= 1:
        raise ConfigurationError(
            f"validation {validation} and test {test} leave nothing to train on: "
            "make their sum less than 1"
        )


def _check_digits(values: Tensor, names: tuple[str, ...]) -> None:
    """Refuse a column whose variation float32 rounds away, such as times in seconds since 1970."""
    rounding = (values - values.float()).square().mean(0).sqrt()
    spread = values.std(0, correction=0)
    varies = values.amax(0) > values.amin(0)
    lost = varies & (rounding > _LARGEST_ROUNDING * spread) | values.float().isinf().any(0)
    for column in lost.nonzero():
        low, high = values[:, int(column)].aminmax()
        raise ConfigurationError(
            f"column {names[int(column)]!r} runs from {float(low):.10g} to {float(high):.10g}, in "
            "digits that float32 does not hold: shift or rescale it in the file, or run with "
            "--trainer.precision 64-true"
        )
