"""What data sets of classes share: one-hot targets, and shares that keep the classes' mix."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kanlit.data.base import Part, TensorDataModule, Tensors
from kanlit.data.checks import check_shares
from kanlit.data.precision import PrecisionCheck
from kanlit.errors import ConfigurationError
from kanlit.scaling import Standardization

__all__ = ["ClassData", "stratified_split"]


class ClassData(TensorDataModule):
    """Rows that belong to one of several classes each; a member says which in :meth:`rows`.

    Batches are ``(x, y)`` with x ``(n, in)`` and y ``(n, classes)``, one-hot. Rows are drawn into
    training, validation and test shares by the seed, class by class, so that each share has the
    classes in the proportions of the whole. Prediction takes the test rows.

    Args:
        input_names: A name for each input.
        classes: The classes' labels, in the order of the model's outputs.
        label: What the class is called in predictions.
        batch_size: Rows in a training step; None is all of them.
        validation: Share of the rows for validation, between 0 and 1.
        test: Share of the rows for the test, between 0 and 1; the rest trains.
        seed: Seed of the split and of the order of mini-batches.

    Raises:
        ConfigurationError: A share out of its range; a checkpoint of other classes.
    """

    default_module = "ClassificationModule"

    def __init__(
        self,
        input_names: Sequence[str],
        classes: Sequence[str],
        label: str,
        batch_size: int | None,
        validation: float,
        test: float,
        seed: int,
    ) -> None:
        check_shares(validation, test)
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
        """All rows: inputs ``(rows, in)``, float64, and class numbers ``(rows,)``, int64."""

    def split(self) -> dict[Part, Tensor]:
        """Row numbers of each share, rising."""
        labels = self.rows()[1]
        return stratified_split(labels, self.classes, self.validation, self.test, self.seed)

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
        """Means and standard deviations of the training share."""
        inputs, labels = self.rows()
        rows = self.split()["train"]
        return Standardization.of(inputs[rows], self._one_hot(labels[rows]))

    def _one_hot(self, labels: Tensor) -> Tensor:
        return F.one_hot(labels, len(self.classes)).double()

    # What the outputs of a checkpoint stand for; Lightning keeps it there and hands it back.

    def state_dict(self) -> dict[str, Any]:
        return {"classes": list(self.classes)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        kept = tuple(state_dict["classes"])
        if kept != self.classes:
            raise ConfigurationError(
                f"the checkpoint's classes are {', '.join(kept)}, but those of the data are "
                f"{', '.join(self.classes)}: give the data that it was trained on, or train anew"
            )


def stratified_split(
    labels: Tensor, classes: Sequence[str], validation: float, test: float, seed: int
) -> dict[Part, Tensor]:
    """Row numbers of each share, rising; in each the classes have the proportions of the whole.

    Each share has within one row of its part of each class, and of all rows. A class has at least
    one row in training.

    Args:
        labels: Class number of each row ``(rows,)``.
        classes: The classes' labels, for messages.
        validation: Share for validation.
        test: Share for the test.
        seed: Seed of the draw.

    Raises:
        ConfigurationError: A class without rows; too few rows for three shares.
    """
    generator = torch.Generator().manual_seed(seed)
    held = validation + test
    shares: dict[Part, list[Tensor]] = {"train": [], "validate": [], "test": []}
    rows = evaluated = 0  # so far; rounding their sums, not each class's count, keeps totals right
    for number, name in enumerate(classes):
        members = (labels == number).nonzero()[:, 0]
        if not len(members):
            raise ConfigurationError(
                f"class {name!r} has no rows to train on: add rows of it or leave it out of classes"
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
    if empty := [part for part, share in found.items() if not len(share)]:
        raise ConfigurationError(
            f"{rows} rows of {len(classes)} classes leave none for {empty[0]} with validation: "
            f"{validation} and test: {test}: add rows or raise that share"
        )
    return found
