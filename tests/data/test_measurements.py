"""Tables of observations and reference values of an equation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from scipy.io import savemat
from torch import Tensor

from equations import Pair
from kanlit.data import EquationData
from kanlit.data.draws import ResidualDraw
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.problems import Condition, dirichlet
from kanlit.problems.observations import OBSERVED, observation_residual
from kanlit.problems.window import with_bounds
from kanlit.tables import read_table

ROWS = pd.DataFrame({"v": [2.0, np.nan, 2.2], "x": [0.0, 0.5, 1.0], "u": [1.0, 2.1, np.nan]})


def save(table: pd.DataFrame, path: Path) -> str:
    writers: Mapping[str, Any] = {
        ".csv": lambda: table.to_csv(path, index=False),
        ".tsv": lambda: table.to_csv(path, sep="\t", index=False),
        ".parquet": lambda: table.to_parquet(path),
        ".npz": lambda: np.savez(path, **{name: table[name].to_numpy() for name in table}),
    }
    writers[path.suffix]()
    return str(path)


def training_batch(data: EquationData) -> dict[str, Tensor]:
    data.setup("fit")
    return current_batch(data)


def current_batch(data: EquationData) -> dict[str, Tensor]:
    (batch,) = data.train_dataloader()
    assert isinstance(batch, dict)
    return batch


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".npz"])
def test_a_row_of_the_block_is_a_value_in_units_of_its_noise(suffix: str, tmp_path: Path) -> None:
    path = save(ROWS, tmp_path / f"seen{suffix}")
    noise = {"u": 0.5, "v": 0.1}
    data = EquationData(Pair(), 5, observations=path, noise=noise)

    def solution(x: Tensor) -> Tensor:
        return torch.cat([1 + 2 * x, 2 + 0 * x], 1)

    missed = observation_residual(solution, training_batch(data))

    expected = [0.0, 0.0, (2 - 2.1) / 0.5, (2 - 2.2) / 0.1]  # by rows: v, u; u; v
    torch.testing.assert_close(
        sorted(missed[:, 0].tolist()), sorted(expected), rtol=1e-5, atol=1e-5
    )


def test_every_mini_batch_and_the_validation_have_all_observations(tmp_path: Path) -> None:
    path = save(ROWS, tmp_path / "seen.csv")
    data = EquationData(Pair(), 8, batch_size=3, observations=path)
    data.setup("fit")
    batches = [*data.train_dataloader(), *data.val_dataloader()]
    assert len(batches) > 2
    for batch in batches:
        assert isinstance(batch, dict)
        assert len(batch["observations"]) == 4


def test_a_part_of_the_domain_has_the_observations_in_it(tmp_path: Path) -> None:
    path = save(ROWS, tmp_path / "seen.csv")
    data = EquationData(Pair(), 5, observations=path)
    assert len(training_batch(data)["observations"]) == 4
    data.use(with_bounds(data.equation, 0, 0.0, 0.6))
    assert current_batch(data)["observations"].tolist() == [[0.0], [0.0], [0.5]]
    data.use(with_bounds(data.equation, 0, 0.7, 0.8))
    assert "observations" not in current_batch(data)


def test_drawn_points_keep_the_observations_and_a_checkpoint_has_none(tmp_path: Path) -> None:
    path = save(ROWS, tmp_path / "seen.csv")
    draw = ResidualDraw(pool=40)
    data = EquationData(Pair(), sampling="residual", points=10, redraw=draw, observations=path)
    before = training_batch(data)
    pool = data.pool(torch.Generator().manual_seed(1))
    sizes = {"collocation": torch.rand(40), "observations": torch.rand(4)}
    data.draw(pool, sizes, torch.Generator().manual_seed(1))
    after = current_batch(data)
    assert not torch.equal(before["collocation"], after["collocation"])
    assert all(torch.equal(before[name], after[name]) for name in OBSERVED)
    state = data.state_dict()
    assert state["train"].keys() == {"collocation"}


def test_the_test_set_is_the_reference(tmp_path: Path) -> None:
    data = EquationData(Pair(), 5, reference=save(ROWS[["x", "v"]].dropna(), tmp_path / "r.csv"))
    data.setup("test")
    ((x, y),) = data.test_dataloader()
    assert (x.tolist(), y[:, 0].tolist()) == ([[0.0], [1.0]], pytest.approx([2.0, 2.2]))
    assert data.tested == [1]


def test_a_gap_in_a_reference_is_left_out_of_the_error(tmp_path: Path) -> None:
    path = save(ROWS, tmp_path / "r.csv")  # x = 0, ½, 1: u = 1, 2.1, -; v = 2, -, 2.2
    data = EquationData(Pair(), 5, reference=path)
    module = PDEModule(1, 2, hidden=[2])
    trainer = Trainer(
        logger=False,
        accelerator="cpu",
        precision="64-true",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module.double()
    trainer.test(module, data, verbose=False)
    with torch.no_grad():
        found = module(torch.tensor([[0.0], [0.5], [1.0]]).double())
    u, v = found[:2, 0], found[[0, 2], 1]
    known_u, known_v = found.new_tensor([1.0, 2.1]), found.new_tensor([2.0, 2.2])
    expected = [(u - known_u).norm() / known_u.norm(), (v - known_v).norm() / known_v.norm()]
    error = float(trainer.callback_metrics["test/rel_l2"])  # the mean of both
    assert error == pytest.approx(float(sum(expected)) / 2)


def test_a_mat_file_has_columns_or_a_grid(tmp_path: Path) -> None:
    path = tmp_path / "r.mat"
    x, t = np.linspace(0, 1, 4), np.linspace(0, 2, 3)
    savemat(path, {"x": x, "u": 2 * x, "note": "twice", "n": 7})
    table = read_table(str(path), [["u", "x"]])
    torch.testing.assert_close(table.groups[0], torch.from_numpy(np.c_[2 * x, x]))
    for u in (np.add.outer(x, 10 * t), np.add.outer(10 * t, x)):  # either order of the axes
        savemat(path, {"t": t[:, None], "x": x, "u": u})
        rows = read_table(str(path), [["x", "t", "u"]]).groups[0]
        assert len(rows) == 12
        torch.testing.assert_close(rows[:, 2], rows[:, 0] + 10 * rows[:, 1])
    savemat(path, {"x": x, "u": t})
    with pytest.raises(ConfigurationError, match="have different lengths"):
        read_table(str(path), [["x", "u"]])
    path.write_text("x,u")
    with pytest.raises(ConfigurationError, match=r"r\.mat is not a MAT file"):
        read_table(str(path), [["x", "u"]])


FULL = pd.DataFrame({"x": [0.0, 0.5], "u": [1.0, 2.0]})
TABLES: dict[str, tuple[Any, str]] = {
    "another column": (FULL.assign(w=1.0), "column 'w' of {path} is no coordinate or unknown"),
    "no coordinate": (FULL[["u"]], "column 'x' is not in {path}"),
    "no unknown": (FULL[["x"]], "{path} has no values of u or v: add a column"),
    "no rows": (FULL[:0], "{path} has a header but no rows"),
    "text": (FULL.assign(u="high"), "column 'u' of {path} is not a number: 'high' in line 2"),
    "a gap in a coordinate": (FULL.assign(x=[0.1, np.nan]), "column 'x' of {path} has 1 missing"),
    "outside": (
        FULL.assign(x=[0.0, 1.5]),
        "1 of 2 rows of {path} are outside the domain of Pair (x from 0 to 1), the first in line 3",
    ),
}


@pytest.mark.parametrize("setting", ["observations", "reference"])
@pytest.mark.parametrize("kind", TABLES)
def test_a_table_that_does_not_fit_is_refused_before_training(
    kind: str, setting: str, tmp_path: Path
) -> None:
    table, words = TABLES[kind]
    path = save(table, tmp_path / "table.csv")
    files: dict[str, Any] = {setting: path}
    with pytest.raises(ConfigurationError) as caught:
        EquationData(Pair(), 5, **files).setup("fit")
    assert words.format(path=path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_observations_that_are_all_missing_are_refused(tmp_path: Path) -> None:
    path = save(ROWS.assign(u=np.nan, v=np.nan), tmp_path / "table.csv")
    with pytest.raises(ConfigurationError, match="has no values in u: add rows with some"):
        EquationData(Pair(), 5, observations=path).setup("fit")


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"does not exist: check data\.obs"):
        EquationData(Pair(), 5, observations="no.csv").setup("fit")


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (0.0, "noise of u must be a standard deviation above 0, got 0.0"),
        ({"u": 0.1}, "noise of v must be a standard deviation above 0, got None"),
        ({"u": 0.1, "v": -1.0}, "noise of v must be a standard deviation above 0, got -1.0"),
        ({"u": 0.1, "v": 0.1, "w": 1.0}, "noise has a level for 'w'"),
    ],
)
def test_a_noise_level_that_does_not_fit_is_refused(noise: Any, words: str, tmp_path: Path) -> None:
    path = save(ROWS, tmp_path / "seen.csv")
    with pytest.raises(ConfigurationError) as caught:
        EquationData(Pair(), 5, observations=path, noise=noise).setup("fit")
    assert words in str(caught.value)


def test_noise_without_observations_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"noise 0\.1 is that of observations"):
        EquationData(Pair(), 5, noise=0.1)


def test_no_condition_can_be_called_observations() -> None:
    class Clash(Pair):
        def conditions(self) -> list[Condition]:
            return [dirichlet("observations", {"x": "low"})]

    with pytest.raises(ConfigurationError, match="use an identifier as its name"):
        EquationData(Clash(), 5)
