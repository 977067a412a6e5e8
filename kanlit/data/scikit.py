"""Classification data sets of scikit-learn."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from kanlit.data.classes import ClassData
from kanlit.errors import ConfigurationError

__all__ = ["ScikitData"]

Name = Literal["digits", "breast_cancer", "wine", "iris"]


class ScikitData(ClassData):
    """A classification data set that is part of scikit-learn, an optional package.

    ===============  ====  ======  =======  ==============================================
    name             rows  inputs  classes  what
    ===============  ====  ======  =======  ==============================================
    digits           1797      64       10  handwritten digits of 8 x 8 pixels, 0 to 16
    breast_cancer     569      30        2  malignant or benign, by cell nuclei
    wine              178      13        3  growers, by chemical analyses
    iris              150       4        3  species, by sepals and petals
    ===============  ====  ======  =======  ==============================================

    The rows are split at random, stratified by class, into training, validation and test sets.
    Prediction uses the test rows.

    Args:
        name: digits, breast_cancer, wine or iris.
        batch_size: Rows per training step; null uses all rows (full batch, one step per epoch).
        validation: Fraction of the rows for validation, between 0 and 1.
        test: Fraction of the rows for the test, between 0 and 1; training uses the other rows.
        seed: Seed of the split and of the order of mini-batches.

    Raises:
        ConfigurationError: An unknown name; scikit-learn is not installed.

    Source: scikit-learn's copies of data sets of the UCI Machine Learning Repository.
    """

    def __init__(
        self,
        name: Name = "digits",
        batch_size: int | None = None,
        validation: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
    ) -> None:
        if name not in get_args(Name):
            raise ConfigurationError(
                f"unknown data {name!r}: choose one of {', '.join(get_args(Name))}"
            )
        table = _load(name)
        self.name = name
        self._rows = torch.tensor(table.data).double(), torch.tensor(table.target).long()
        inputs = [str(column) for column in table.feature_names]
        classes = [str(label) for label in table.target_names]
        super().__init__(inputs, classes, "class", batch_size, validation, test, seed)

    def rows(self) -> tuple[Tensor, Tensor]:
        return self._rows


def _load(name: str) -> Any:
    """The data set as scikit-learn returns it."""
    try:
        datasets = import_module("sklearn.datasets")
    except ModuleNotFoundError:
        raise ConfigurationError(
            "ScikitData needs scikit-learn, which is not installed: run "
            "pip install 'kanlit[scikit]'"
        ) from None
    return getattr(datasets, f"load_{name}")()
