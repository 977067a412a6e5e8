"""Base class of classification data: one-hot targets and stratified splits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.data.checks import check_fractions
from kanlit.data.precision import PrecisionCheck
from kanlit.errors import ConfigurationError
from kanlit.scaling import Standardization

__all__ = ["ClassData", "stratified_split"]


class ClassData(TensorDataModule):
    """Rows with one class each; a subclass provides them in :meth:`rows`.

    Batches are ``(x, y)`` with x ``(n, in)`` and y ``(n, classes)``, one-hot. The rows are split
    at random, stratified by class, into training, validation and test sets. Prediction uses the
    test rows.

    Args:
        input_names: A name for each input.
        classes: Names of the classes, in the order of the model's outputs.
        label: Name of the class column in predictions.
        batch_size: Rows per training step; None uses all rows.
        validation: Fraction of the rows for validation, between 0 and 1.
        test: Fraction of the rows for the test, between 0 and 1, or None for no test rows; training
            uses the other rows.
        seed: Seed of the split and of the order of mini-batches.

    Raises:
        ConfigurationError: A fraction is out of range; a checkpoint has other classes.
    """

    default_module = "ClassificationModule"

    def __init__(
        self,
        input_names: Sequence[str],
        classes: Sequence[str],
        label: str,
        batch_size: int | None,
        validation: float,
        test: float | None,
        seed: int,
    ) -> None:
        check_fractions(validation, test)
        super().__init__(
            len(input_names),
            len(classes),
            batch_size,
            seed,
            input_names=input_names,
            target_names=classes,
        )
        self.classes = tuple(classes)
        self.label = label
        self.validation = validation
        self.test = test

    @property
    def class_label(self) -> str:
        return self.label

    @abstractmethod
    def rows(self) -> tuple[Tensor, Tensor]:
        """All rows: inputs ``(rows, in)``, float64, and class indices ``(rows,)``, int64."""

    def split(self) -> dict[Part, Tensor]:
        """Sorted row indices of each part."""
        labels = self.rows()[1]
        return stratified_split(labels, self.classes, self.validation, self.test or 0.0, self.seed)

    def build(self, part: Part) -> Tensors:
        inputs, labels = self.rows()
        if self.dtype == torch.float32:
            precision = PrecisionCheck(self.input_names)
            precision.add(inputs)
            precision.check()
        rows = self.split()["test" if part == "predict" else part]
        if part == "predict":
            return (inputs[rows],)
        return inputs[rows], self._one_hot(labels[rows])

    def standardization(self) -> Standardization:
        """Means and standard deviations of the training rows."""
        inputs, labels = self.rows()
        rows = self.split()["train"]
        return Standardization.from_samples(inputs[rows], self._one_hot(labels[rows]))

    def _one_hot(self, labels: Tensor) -> Tensor:
        return F.one_hot(labels, len(self.classes)).double()

    # The classes are saved in the checkpoint: they define the meaning of the model's outputs.

    def state_dict(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        kept = tuple(state_dict["classes"])
        if kept != self.classes:
            raise ConfigurationError(
                f"the checkpoint's classes are {', '.join(kept)}, but those of the data are "
                f"{', '.join(self.classes)}: use the data that it was trained on, or train again"
            )


def stratified_split(
    labels: Tensor, classes: Sequence[str], validation: float, test: float, seed: int
) -> dict[Part, Tensor]:
    """Sorted row indices of each part of a random split, stratified by class.

    The size of each part, in total and per class, is within one row of its fraction. Each class
    has at least one training row.

    Args:
        labels: Class index of each row ``(rows,)``.
        classes: Names of the classes, for messages.
        validation: Fraction of the rows for validation.
        test: Fraction of the rows for the test; with 0 it gets none.
        seed: Seed of the split.

    Raises:
        ConfigurationError: A class has no rows; there are too few rows for three parts.
    """
    generator = torch.Generator().manual_seed(seed)
    held = validation + test
    shares: dict[Part, list[Tensor]] = {"train": [], "validate": [], "test": []}
    rows = evaluated = 0  # running totals: rounding these, not each class's count, keeps sums exact
    for number, name in enumerate(classes):
        members = (labels == number).nonzero()[:, 0]
        if not len(members):
            raise ConfigurationError(
                f"class {name!r} has no training rows: add rows of it or remove it from classes"
            )
        members = members[torch.randperm(len(members), generator=generator)]
        count = round(held * (rows + len(members))) - round(held * rows)
        count = min(count, len(members) - 1)
        ratio = validation / held
        first = round(ratio * (evaluated + count)) - round(ratio * evaluated)
        sizes = [len(members) - count, first, count - first]
        for share, part in zip(shares.values(), members.split(sizes), strict=True):
            share.append(part)
        rows, evaluated = rows + len(members), evaluated + count
    found = {part: torch.cat(share).sort().values for part, share in shares.items()}
    wanted = {"train": 1.0, "validate": validation, "test": test}
    if empty := [part for part, share in found.items() if wanted[part] and not len(share)]:
        raise ConfigurationError(
            f"{rows} rows of {len(classes)} classes leave none for {empty[0]} with validation: "
            f"{validation} and test: {test}: add rows or raise that fraction"
        )
    return found
