"""Grids adapt in any LightningModule, or the run is refused before it trains."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kanlit.adaptation import AdaptationReport, kan_layers
from kanlit.callbacks import GridAdaptationCallback, KnotPlotCallback
from kanlit.errors import ConfigurationError
from kanlit.nn import KANLayer
from running import trainer_for


class Plain(LightningModule):
    """A user's own module: forward, training_step, optimizer, and nothing for kanlit."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Convolutional(Plain):
    shape: tuple[int, ...] = (1, 6, 6)

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Conv2d(1, 4, 3)
        self.head = KANLayer(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.lift(x)).mean((2, 3)))


class Flattened(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.pixels = KANLayer(4, 2, spline_order=2)
        self.head = KANLayer(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        pixels = torch.tanh(self.lift(x)).permute(0, 2, 3, 1)
        return self.head(self.pixels(pixels.reshape(-1, 4)).reshape(len(x), -1))


class Transformer(Plain):
    shape = (5, 4)

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.attend = nn.MultiheadAttention(4, 2, batch_first=batch_first)
        self.each = nn.Sequential(KANLayer(4, 8), KANLayer(8, 4))
        self.head = KANLayer(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.batch_first else x.transpose(0, 1)
        x = x + self.attend(x, x, x, need_weights=False)[0]
        return self.head((x + self.each(x)).mean(1 if self.batch_first else 0))


def batches(*shape: int) -> DataLoader[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(24, *shape, generator=generator)
    return DataLoader(TensorDataset(x, torch.arange(24) % 3), batch_size=12)


def fit(module: LightningModule, *callbacks: Any, **settings: Any) -> list[str]:
    """Trains for three epochs; returns the warnings of kanlit."""
    trainer = trainer_for(3, *callbacks, **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(module, batches(*module.shape))  # type: ignore[arg-type, misc]
    return [str(w.message) for w in caught if w.category is UserWarning]


MODULES: list[Callable[[], LightningModule]] = [
    Convolutional,
    Flattened,
    Transformer,
    lambda: Transformer(batch_first=False),
]


@pytest.mark.parametrize("make", MODULES)
def test_grids_of_any_module_adapt_under_the_default_density(
    make: Callable[[], LightningModule],
) -> None:
    module, adaptation = make(), GridAdaptationCallback(schedule=[3, 5, 8])
    fit(module, adaptation)
    assert adaptation.undone == 0
    assert {layer.grid_size for layer in kan_layers(module).values()} == {8}


def test_knots_behind_convolutions_are_drawn_without_the_function(tmp_path: Path) -> None:
    callbacks = [GridAdaptationCallback(schedule=[4]), KnotPlotCallback()]
    warned = fit(Convolutional(), *callbacks, max_epochs=1, logger=CSVLogger(tmp_path))
    assert any("has no target and prediction" in text for text in warned)
    assert list(tmp_path.rglob("knots_step=000000.png"))


class Untold(Convolutional):
    """Its forward takes the image and a mask."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x * mask)


def test_a_module_that_cannot_be_called_on_the_batch_is_refused_before_training() -> None:
    adaptation = GridAdaptationCallback(schedule={2: 5})
    with pytest.raises(ConfigurationError, match="attribute network and a method adaptation_inp"):
        fit(Untold(), adaptation)


def test_a_run_is_told_of_every_adaptation_with_its_time_and_outcome() -> None:
    told: list[AdaptationReport] = []

    class Suffers(Convolutional):
        def loss(self, batch: Any) -> Tensor:
            coarse = self.head.grid_size == 3
            return torch.tensor(1.0 if coarse else torch.inf)

    class Listener(Callback):
        def on_grid_adaptation(self, trainer: Any, pl_module: Any, report: Any) -> None:
            told.append(report)

        def on_grid_adaptation_failure(self, trainer: Any, module: Any, report: Any) -> None:
            told.append(report)

    adaptation = GridAdaptationCallback(schedule={0: 3, 1: 5})
    fit(Suffers(), adaptation, Listener())
    adapted, failed = told
    assert adapted.failure is None
    assert failed.failure is not None
    assert failed.failure.startswith("the loss grew from")
    assert (failed.layers, failed.grid_size, failed.out_of_range) == ((), 3, 0.0)
    assert min(report.seconds for report in told) > 0
    assert adaptation.undone == 1
