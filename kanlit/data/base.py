"""Base class of the data modules: tensors built once, cast once, on the trainer's device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal
from weakref import WeakSet

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from kanlit.data.checks import check_rows
from kanlit.data.loader import TensorLoader
from kanlit.errors import ConfigurationError, check_at_least
from kanlit.problems.functions.target import TargetFunction
from kanlit.scaling import Columns, Standardization, default_names, spread_of

__all__ = ["Part", "TensorDataModule", "Tensors"]

Part = Literal["train", "validate", "test", "predict"]
Tensors = tuple[Tensor, ...] | dict[str, Tensor]

_EVALUATION_ROWS = 65536
_PARTS: dict[str, tuple[Part, ...]] = {
    "fit": ("train", "validate"),
    "validate": ("validate",),
    "test": ("test",),
    "predict": ("predict",),
}


class TensorDataModule(LightningDataModule, ABC):
    """A data set of tensors; a subclass builds its parts in :meth:`build`.

    Batches are ``(x, y)`` with x ``(n, in)`` and y ``(n, out)``, and ``(x,)`` for prediction,
    unless a subclass documents otherwise. They are on the trainer's device, in float64 if the
    trainer's precision is ``64-true`` and in float32 otherwise; without a trainer, on the CPU in
    float32. Training uses full batches unless ``batch_size`` is given; evaluation uses batches of
    65536 rows.

    Args:
        in_features: Number of columns of the inputs.
        out_features: Number of targets.
        batch_size: Rows per training step; None uses all rows.
        seed: Seed of the order of mini-batches.
        input_names: A name for each input; by default ``x1, x2, …``.
        target_names: A name for each target; by default ``y``, or ``y1, y2, …``.
        target: The function that generated the data, if known.

    Attributes:
        in_features: Number of the network's inputs; a subclass may set another than the columns'.
        default_module: Name of the kanlit module that is used for these data if none is set.
        default_recipe: Name of the default settings of a run on these data, see
            :mod:`kanlit.runs.recipes`; None for those of each class.
    """

    default_module: ClassVar[str] = "RegressionModule"
    default_recipe: ClassVar[str | None] = None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        batch_size: int | None,
        seed: int,
        input_names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        target: TargetFunction | None = None,
    ) -> None:
        super().__init__()
        if batch_size is not None:
            check_at_least("batch_size", batch_size, 1)
        self.in_features = in_features
        self.out_features = out_features
        self.batch_size = batch_size
        self.seed = seed
        inputs, targets = default_names(in_features, out_features)
        self.input_names = tuple(input_names or inputs)
        self.target_names = tuple(target_names or targets)
        self.target = target
        self._parts: dict[Part, Tensors] = {}
        self._loaders: dict[Part, WeakSet[TensorLoader]] = defaultdict(WeakSet)

    @abstractmethod
    def build(self, part: Part) -> Tensors:
        """The tensors of a part, on the CPU, in float64 or in the dtype of the batches."""

    def part_rows(self, part: Part) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a part that :meth:`setup` has built, in the user's units.

        Raises:
            ConfigurationError: The data have no rows with targets.
        """
        tensors = self._parts[part]
        if not isinstance(tensors, tuple):
            raise ConfigurationError(
                f"{type(self).__name__} has no rows with inputs and targets: set model.hidden and "
                f"model.grid_size to numbers"
            )
        return tensors[0], tensors[1]

    @property
    def row_counts(self) -> dict[Part, int]:
        """Number of rows of each part with rows that :meth:`setup` has built."""
        return {part: len(each[0]) for part, each in self._parts.items() if isinstance(each, tuple)}

    def standardization(self) -> Standardization | None:
        """Means and standard deviations of the columns; None if they are not standardized."""
        return None

    def target_spread(self) -> Tensor | None:
        """Median absolute deviation of the training targets ``(out,)``; None without targets."""
        tensors = self._parts["train"]
        return spread_of(tensors[1]) if isinstance(tensors, tuple) else None

    def training_columns(self) -> Columns | None:
        """Names and training range of the columns; None if the training points are not known.

        Call :meth:`setup` for ``fit`` first.
        """
        points = self.training_points()
        if points is None:
            return None
        return Columns.from_points(self.input_names, self.target_names, points, self.class_label)

    @property
    def network_names(self) -> tuple[str, ...]:
        """Names of the network's inputs: those of the columns, unless it sees functions of them."""
        return self.input_names

    @property
    def class_label(self) -> str | None:
        """Name of the class column if the targets are classes; None for numeric targets."""
        return None

    def training_points(self) -> Tensor | None:
        """Points ``(n, in)`` that span the training range, in the user's units.

        None if batches are dicts; a subclass then overrides this method.
        """
        tensors = self._parts["train"]
        return tensors[0] if isinstance(tensors, tuple) else None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the batches."""
        double = self.trainer is not None and self.trainer.precision == "64-true"
        return torch.float64 if double else torch.float32

    def setup(self, stage: str) -> None:
        parts, ranks = _PARTS[stage], 1 if self.trainer is None else self.trainer.world_size
        if stage == "fit" and ranks > 1:
            parts = (*parts, "test")  # so that a test set too small is found before training
        for part in parts:
            if part not in self._parts:
                self._parts[part] = self.build(part)
            if ranks > 1:
                rows, _ = self.divide(self._parts[part])
                check_rows(len(next(iter(_tensors(rows)))), ranks, part)

    def train_dataloader(self) -> TensorLoader:
        # overfit_batches needs the same batches in each epoch.
        overfits = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        return self.loader("train", self.batch_size, shuffle=not overfits)

    def val_dataloader(self) -> TensorLoader:
        return self.loader("validate", _EVALUATION_ROWS)

    def test_dataloader(self) -> TensorLoader:
        return self.loader("test", _EVALUATION_ROWS)

    def predict_dataloader(self) -> TensorLoader:
        return self.loader("predict", _EVALUATION_ROWS)

    def loader(self, part: Part, batch_size: int | None, shuffle: bool = False) -> TensorLoader:
        """A loader over a part that :meth:`setup` has built."""
        if part not in self._parts:
            raise RuntimeError(f"{type(self).__name__} has no {part} data yet: call setup first")
        tensors, whole = self._for_loader(part)
        loader = TensorLoader(
            tensors,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=self.seed,
            device="cpu" if self.trainer is None else self.trainer.strategy.root_device,
            rank=0 if self.trainer is None else self.trainer.global_rank,
            world_size=1 if self.trainer is None else self.trainer.world_size,
            whole=whole,
            columns=(self.input_names, self.target_names, self.target_names)
            if isinstance(tensors, tuple)
            else None,
        )
        self._loaders[part].add(loader)
        return loader

    def replace(self, part: Part, tensors: Tensors) -> None:
        """Replaces the tensors of a part by others of as many rows, also in its loaders."""
        self._parts[part] = tensors
        for loader in self._loaders[part]:
            loader.replace(*self._for_loader(part))

    def _for_loader(self, part: Part) -> tuple[Tensors, dict[str, Tensor]]:
        """Tensors to split into batches and whole ones, in the dtype of the batches."""
        tensors, whole = self.divide(self._parts[part])
        return _cast(tensors, self.dtype), {k: tensor.to(self.dtype) for k, tensor in whole.items()}

    def divide(self, tensors: Tensors) -> tuple[Tensors, Mapping[str, Tensor]]:
        """Tensors to split into batches, and tensors that every batch contains whole."""
        return tensors, {}


def _tensors(tensors: Tensors) -> Iterable[Tensor]:
    return tensors.values() if isinstance(tensors, dict) else tensors


def _cast(tensors: Tensors, dtype: torch.dtype) -> Tensors:
    if isinstance(tensors, tuple):
        return tuple(tensor.to(dtype) for tensor in tensors)
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}
