"""The tensor loader: batches partition the rows, orders depend on (seed, epoch) alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from kanlit.data import SyntheticData, TensorLoader
from kanlit.data.checks import check_finite
from kanlit.errors import ConfigurationError
from kanlit.modules import RegressionModule
from running import trainer_for


def _rows(count: int) -> tuple[Tensor, Tensor]:
    x = torch.arange(count, dtype=torch.float32).unsqueeze(1)
    return x, -x


def _seen(loader: TensorLoader) -> list[int]:
    """Row numbers in the order in which the loader yields them."""
    return [int(value) for batch in loader for value in batch[0][:, 0]]  # type: ignore[index]


def test_full_batch_yields_the_very_same_tensors_each_epoch() -> None:
    x, y = _rows(5)
    loader = TensorLoader((x, y), shuffle=True)
    (first,), (second,) = list(loader), list(loader)
    assert len(loader) == 1
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert torch.equal(first[0], x)  # type: ignore[index]


def test_full_batch_keeps_the_structure_of_a_dict() -> None:
    x, y = _rows(4)
    (batch,) = TensorLoader({"x": x, "y": y})
    assert isinstance(batch, dict)
    assert list(batch) == ["x", "y"]


@pytest.mark.parametrize("size", [1, 3, 5, 10, 50])
@pytest.mark.parametrize("shuffle", [False, True])
def test_mini_batches_partition_the_rows_and_keep_pairs_together(size: int, shuffle: bool) -> None:
    loader = TensorLoader(_rows(10), batch_size=size, shuffle=shuffle)
    batches = list(loader)
    assert len(batches) == len(loader) == -(-10 // size)
    assert sorted(_seen(loader)) == list(range(10))
    for batch in batches:
        x, y = batch
        assert torch.equal(x, -y)  # type: ignore[arg-type, operator]


def test_order_is_a_function_of_seed_and_epoch_alone() -> None:
    loader, again, other = (
        TensorLoader(_rows(40), batch_size=7, shuffle=True, seed=seed) for seed in (3, 3, 4)
    )
    orders = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        orders.append(_seen(loader))
        assert _seen(loader) == orders[-1]
    again.sampler.set_epoch(2)
    other.sampler.set_epoch(2)
    assert _seen(again) == orders[2]
    assert _seen(other) != orders[2]
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("size", [None, 1, 2, 4])
@pytest.mark.parametrize("rows", [3, 10, 11, 12])
def test_shards_partition_the_rows_in_equally_many_batches(rows: int, size: int | None) -> None:
    shards = [
        TensorLoader(_rows(rows), batch_size=size, shuffle=True, rank=rank, world_size=3)
        for rank in range(3)
    ]
    assert len({len(shard) for shard in shards}) == 1
    assert all(len(list(shard)) == len(shard) for shard in shards)
    assert sorted(row for shard in shards for row in _seen(shard)) == list(range(rows))


def test_whole_tensors_go_undivided_into_each_batch_of_a_dict() -> None:
    x, y = _rows(6)
    edge = torch.ones(3, 2)
    loader = TensorLoader({"x": x, "y": y}, batch_size=2, whole={"edge": edge})
    batches = list(loader)
    assert len(batches) == 3
    for batch in batches:
        assert isinstance(batch, dict)
        assert batch["edge"] is next(iter(loader))["edge"]  # type: ignore[call-overload]
        assert torch.equal(batch["edge"], edge)
        assert len(batch["x"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tensors": (torch.zeros(4, 1), torch.zeros(3, 1))}, "inputs has 4 .* targets has 3"),
        ({"tensors": {"a": torch.zeros(4, 1), "b": torch.zeros(5, 1)}}, "a has 4 .* b has 5"),
        ({"tensors": (torch.zeros(0, 1),)}, "inputs has no rows"),
        ({"tensors": ()}, "at least one tensor"),
        ({"tensors": (torch.zeros(2, 1),), "world_size": 3}, "2 rows .* 3 ranks"),
        ({"tensors": (torch.zeros(2, 1),), "batch_size": 0}, "batch_size .* got 0"),
        (
            {"tensors": (torch.tensor([[0.0, 1.0], [0.0, torch.nan], [0.0, torch.inf]]),)},
            "column 2 of inputs has 2 NaN .* row 2",
        ),
        (
            {"tensors": (torch.tensor([[torch.inf]]),), "columns": [["heat"]]},
            "column 'heat' of inputs has 1 NaN",
        ),
        (
            {"tensors": {"a": torch.zeros(2, 1)}, "whole": {"edge": torch.tensor([[torch.nan]])}},
            "edge has 1 NaN",
        ),
    ],
)
def test_data_that_cannot_be_used_are_refused_by_name(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        TensorLoader(**arguments)
    assert "\n" not in str(caught.value)


def test_a_vector_counts_as_one_column() -> None:
    check_finite(torch.zeros(3), "times")
    with pytest.raises(ConfigurationError, match="column 1 of times"):
        check_finite(torch.tensor([0.0, torch.nan]), "times")


class _Recorder(LightningModule):
    """Notes the rows of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(1, 1)
        self.rows: list[list[float]] = []

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        self.rows.append(batch[0][:, 0].tolist())
        return self.net(batch[0]).square().mean()

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def test_run_resumed_under_lightning_sees_the_rows_of_the_unbroken_run(tmp_path: Path) -> None:
    def fit(epochs: int, checkpoint: Path | None = None) -> tuple[_Recorder, Trainer]:
        module = _Recorder()
        trainer = trainer_for(epochs, default_root_dir=tmp_path)
        loader = TensorLoader(_rows(12), batch_size=5, shuffle=True, seed=1)
        trainer.fit(module, loader, TensorLoader(_rows(3)), ckpt_path=checkpoint)
        return module, trainer

    whole, _ = fit(4)
    _, trainer = fit(2)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    rest, _ = fit(4, tmp_path / "half.ckpt")
    assert len(whole.rows) == 12
    assert whole.rows[:3] != whole.rows[3:6]
    assert rest.rows == whole.rows[6:]


def test_batches_to_be_overfitted_are_the_same_in_each_epoch(
    recwarn: pytest.WarningsRecorder,
) -> None:
    seen = []

    class Watch(Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            seen.append(args[2][0].clone())

    data = SyntheticData("f4", samples=40, batch_size=8, standardize=False)
    trainer = trainer_for(3, Watch(), overfit_batches=1)
    trainer.fit(RegressionModule(1, 1, hidden=[2]), data)
    assert len(seen) == 3
    assert all(torch.equal(batch, seen[0]) for batch in seen)
    assert not any("shuffling" in str(warning.message) for warning in recwarn)
