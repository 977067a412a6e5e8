"""Each logger gets its picture and scalars; the model and the run are left as they were."""

import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib.figure import Figure
from matplotlib.text import Text
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kanlit.adaptation.report import AdaptationReport, LayerAdaptation
from kanlit.callbacks.figure_log import log_figure
from kanlit.callbacks.knot_plot import KnotPlotCallback
from kanlit.callbacks.slices import slice_curve
from kanlit.errors import ConfigurationError
from kanlit.nn import KAN
from kanlit.plotting import knot_figure
from kanlit.plotting.style import head
from kanlit.problems.functions.target import TargetFunction
from running import trainer_for

HERE = "kanlit.callbacks.knot_plot"
QUADRATIC = TargetFunction(
    "quadratic", "x1^2 + x2", ((-1.0, 3.0), (0.0, 1.0)), lambda x: x[:, 0] ** 2 + x[:, 1]
)


@pytest.fixture(autouse=True)
def _blank_pictures() -> None:
    """Not here: these tests look at the pictures."""


class Plain(LightningModule):
    """A network with two inputs that has nothing of kanlit's."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), nn.Linear(3, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return self(batch[0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Scaled(Plain):
    """The network sees standardised inputs: a year, and a length in metres."""

    mean, std = torch.tensor([2000.0, 1e-3]), torch.tensor([10.0, 1e-4])

    def network_inputs(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        return self.network_inputs(x).sum(dim=1, keepdim=True)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return self.net(batch[0]).square().mean()


class Named(LightningDataModule):
    def __init__(self, target: TargetFunction | None = None, **attributes: Any) -> None:
        super().__init__()
        self.target = target
        vars(self).update(attributes)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(TensorDataset(torch.rand(4, 2)), batch_size=4)


class Adapting(Callback):
    """Reports an adaptation at each of these epochs, as the grid adaptation callback does."""

    def __init__(self, *epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch in self.epochs:
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if hasattr(callback, "on_grid_adaptation"):
                    callback.on_grid_adaptation(trainer, pl_module, adaptation())


def adaptation(samples: Tensor | None = None) -> AdaptationReport:
    samples = (
        torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
        if samples is None
        else samples
    )
    first = LayerAdaptation(
        "layers.0",
        torch.linspace(0, 1, 4).repeat(2, 1),
        torch.tensor([0.0, 0.1, 0.2, 0.3, 1.0]).repeat(2, 1),
        samples,
        torch.ones(len(samples)),
        refit_error=1e-3,
        out_of_range=0.25,
    )
    second = LayerAdaptation(**{**vars(first), "name": "layers.1", "out_of_range": 0.5})
    return AdaptationReport((first, second), grid_size=4, refit_error=2e-3, seconds=0.01)


def fit(
    root: Path,
    plots: KnotPlotCallback,
    logger: Any,
    *epochs: int,
    module: LightningModule | None = None,
    data: LightningDataModule | None = None,
    checkpoints: bool = False,
) -> Trainer:
    callbacks = [Adapting(*epochs), plots, *([ModelCheckpoint()] if checkpoints else [])]
    settings = {"default_root_dir": root, "logger": logger}
    trainer = trainer_for(max(epochs) + 1, *callbacks, **settings)
    trainer.fit(module or Plain(), datamodule=data or Named(QUADRATIC))
    return trainer


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


def test_event_file_holds_the_picture_histograms_and_scalars_of_each_adaptation(
    tmp_path: Path,
) -> None:
    trainer = fit(tmp_path, KnotPlotCallback(), TensorBoardLogger(tmp_path), 0, 2)
    events = EventAccumulator(trainer.log_dir, size_guidance={"images": 0, "histograms": 0})
    events.Reload()
    pictures = events.Images("knots")
    assert [event.step for event in pictures] == [0, 2]
    assert pictures[0].width == 960
    for layer in adaptation().layers:
        histograms = events.Histograms(f"knots/{layer.name}")
        assert [event.step for event in histograms] == [0, 2]
        assert histograms[0].histogram_value.num == layer.new_breakpoints.numel()
        assert histograms[0].histogram_value.sum == pytest.approx(layer.new_breakpoints.sum())
    expected = {"size": 4, "parameters": 13, "refit_error": 2e-3, "out_of_range": 0.5}
    for name, value in expected.items():
        scalars = events.Scalars(f"grid/{name}")
        assert [(s.step, s.value) for s in scalars] == [
            (0, pytest.approx(value)),
            (2, pytest.approx(value)),
        ]
    assert not list(tmp_path.rglob("*.png"))


def test_logger_without_figures_gets_pngs_beside_its_checkpoints_and_the_scalars(
    tmp_path: Path,
) -> None:
    trainer = fit(tmp_path, KnotPlotCallback(), CSVLogger(tmp_path), 0, 2, checkpoints=True)
    assert isinstance(trainer.checkpoint_callback, ModelCheckpoint)
    run = Path(trainer.checkpoint_callback.best_model_path).parents[1]
    assert {path.name for path in run.iterdir() if "knots" in path.name} == {
        "knots_step=000000.png",
        "knots_step=000002.png",
    }
    assert png_size(run / "knots_step=000002.png")[0] == 960
    assert "grid/refit_error" in (run / "metrics.csv").read_text().splitlines()[0]


def test_run_without_loggers_gets_its_png_under_the_root_directory(tmp_path: Path) -> None:
    fit(tmp_path, KnotPlotCallback(), False, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["knots_step=000000.png"]


def test_only_the_first_of_every_n_adaptations_is_drawn_also_after_a_resume(tmp_path: Path) -> None:
    plots = KnotPlotCallback(every_n_adaptations=2)
    fit(tmp_path, plots, False, 0, 1, 2)
    resumed = KnotPlotCallback(every_n_adaptations=2)
    resumed.load_state_dict(plots.state_dict())
    fit(tmp_path, resumed, False, 3, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "knots_step=000000.png",
        "knots_step=000002.png",
        "knots_step=000004.png",
    ]


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    with patch.object(Trainer, "is_global_zero", False):
        fit(tmp_path, KnotPlotCallback(), False, 0)
        trainer = Trainer(logger=False, default_root_dir=tmp_path, enable_progress_bar=False)
        KnotPlotCallback().plot(trainer, Plain(), adaptation())
    assert not list(tmp_path.iterdir())


def test_no_pyplot_figure_is_left_open(tmp_path: Path) -> None:
    fit(tmp_path, KnotPlotCallback(), [TensorBoardLogger(tmp_path), CSVLogger(tmp_path)], 0, 1)
    pyplot = sys.modules.get("matplotlib.pyplot")  # TensorBoard's writer imports it
    assert pyplot is None or pyplot.get_fignums() == []


def test_training_is_the_same_with_pictures_as_without(tmp_path: Path) -> None:
    def weights(*epochs: int) -> Tensor:
        torch.manual_seed(0)
        module = Plain()
        trainer_epochs = epochs or (9,)
        fit(tmp_path, KnotPlotCallback(), False, *trainer_epochs, module=module)
        return nn.utils.parameters_to_vector(module.parameters())

    torch.testing.assert_close(weights(9), weights(0, 3, 9), rtol=0.0, atol=0.0)


def test_each_submodule_keeps_its_own_mode() -> None:
    module = Plain()
    module.net[1].eval()
    modes = [part.training for part in module.modules()]
    slice_curve(module, adaptation(), QUADRATIC, ["x1", "x2"])
    assert [part.training for part in module.modules()] == modes
    assert len(set(modes)) == 2


def test_slice_runs_along_the_first_input_through_one_point_of_the_box() -> None:
    curve = slice_curve(Plain().double(), adaptation(), QUADRATIC, ["a", "b"])
    assert curve.x.dtype == torch.float64
    assert (curve.x[0].item(), curve.x[-1].item()) == (-1.0, 3.0)
    assert curve.target is not None
    held = curve.target - curve.x**2
    torch.testing.assert_close(held, held[:1].expand_as(held), rtol=0, atol=1e-12)
    assert 0 <= held[0] <= 1
    assert curve.label == f"a (held at b = {held[0].item():.3g})"


def test_slice_meets_a_peak_that_the_centre_of_the_box_misses() -> None:
    peak = TargetFunction(
        "peak", "", ((-1.0, 1.0),) * 2, lambda x: torch.exp(-100 * ((x - 0.6) ** 2).sum(dim=1))
    )
    curve = slice_curve(Plain(), adaptation(), peak, ["x1", "x2"])
    assert curve.target is not None
    assert curve.target.max() > 0.2


@pytest.mark.parametrize("target", [None, QUADRATIC])
def test_curve_stands_on_the_axis_that_the_first_layer_sees(target: TargetFunction | None) -> None:
    report = adaptation(torch.randn(99, 2, generator=torch.Generator().manual_seed(1)))
    curve = slice_curve(Scaled(), report, target, ["year", "length"])
    if target is None:
        samples = report.layers[0].samples
        held = samples[:, 1].median()
        assert curve.target is None
        torch.testing.assert_close(curve.x.aminmax(), samples[:, 0].aminmax(), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(curve.prediction, curve.x + held, rtol=1e-3, atol=1e-3)
        assert curve.label == "year, in network units (other inputs at their median)"
    else:
        torch.testing.assert_close(curve.x[[0, -1]], torch.tensor([-200.1, -199.7]))


def test_curve_of_a_column_of_unix_times_is_drawn_in_float32() -> None:
    module = Scaled()
    module.mean, module.std = torch.tensor([1.7e9, 0.0]), torch.tensor([3e5, 1.0])
    curve = slice_curve(module, adaptation(), None, ["time", "length"])
    seen = adaptation().layers[0].samples[:, 0].aminmax()
    torch.testing.assert_close(curve.x.aminmax(), seen, rtol=0.0, atol=1e-3)


def test_columns_have_the_names_of_the_table(tmp_path: Path) -> None:
    data = Named(input_names=("year", "length"))
    with patch(f"{HERE}.knot_figure", wraps=knot_figure) as drawn:
        fit(tmp_path, KnotPlotCallback(), False, 0, module=Scaled(), data=data)
    _, curve, title, _, names = drawn.call_args.args
    assert names == ["year", "length"]
    assert title == "epoch 0"
    assert curve.label.startswith("year")


class Mixing(Plain):
    def network_inputs(self, x: Tensor) -> Tensor:
        return x.flip(dims=(1,))


class Dictionary(Plain):
    def forward(self, x: Any) -> Tensor:
        return super().forward(x["inputs"] if isinstance(x, dict) else x.missing)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return self({"inputs": batch[0]}).square().mean()


@pytest.mark.parametrize(
    ("module", "cause"),
    [(Mixing, "network_inputs does not scale"), (Dictionary, "has no attribute 'missing'")],
)
def test_module_without_a_slice_gets_the_picture_without_curve_and_is_told_why(
    tmp_path: Path, module: type[Plain], cause: str
) -> None:
    with pytest.warns(UserWarning, match=f"no target and prediction: .*{cause}"):
        fit(tmp_path, KnotPlotCallback(), False, 0, module=module(), data=Named())
    assert png_size(tmp_path / "knots_step=000000.png")[0] == 960


def test_failure_to_draw_is_a_warning_and_training_goes_on(tmp_path: Path) -> None:
    with (
        patch(f"{HERE}.knot_figure", side_effect=OSError("disk is full")),
        pytest.warns(
            UserWarning, match="no picture of this grid adaptation: OSError: disk is full"
        ),
    ):
        trainer = fit(tmp_path, KnotPlotCallback(), False, 0, 2)
    assert trainer.global_step == 3


def test_failed_write_leaves_neither_half_a_picture_nor_scraps(tmp_path: Path) -> None:
    with (
        patch("kanlit.files.os.replace", side_effect=OSError("disk is full")),
        pytest.warns(UserWarning, match="disk is full"),
    ):
        fit(tmp_path, KnotPlotCallback(), False, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["every_n_adaptations", "max_features"])
def test_settings_below_one_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be at least 1, got 0"):
        KnotPlotCallback(**{name: 0})


class Adaptable(Plain):
    """The same with a KAN."""

    def __init__(self) -> None:
        super().__init__()
        self.network = KAN([2, 3, 1])
        self.net = self.network  # type: ignore[assignment]

    def adaptation_inputs(self, batch: list[Tensor]) -> Tensor:
        return batch[0]


@pytest.mark.parametrize("data", [Named(QUADRATIC), Named()])
def test_trained_network_is_drawn_at_the_end_of_fit(tmp_path: Path, data: Named) -> None:
    plots, logger = KnotPlotCallback(), TensorBoardLogger(tmp_path)
    trainer = fit(tmp_path, plots, logger, 0, 2, module=Adaptable(), data=data)
    events = EventAccumulator(trainer.log_dir, size_guidance={"images": 0})
    events.Reload()
    expected = {"knots", "network", "curves", "knot_migration"}
    assert set(events.Tags()["images"]) == expected | ({"error_map"} if data.target else set())
    for name in events.Tags()["images"]:
        assert events.Images(name)[-1].step == (3 if name != "knots" else 2)


def test_network_that_cannot_be_drawn_is_a_warning(tmp_path: Path) -> None:
    with (
        patch("kanlit.callbacks.run_figures.network_figure", side_effect=OSError("disk is full")),
        pytest.warns(UserWarning, match="no picture of the network: OSError: disk is full"),
    ):
        trainer = fit(tmp_path, KnotPlotCallback(), False, 0, module=Adaptable())
    assert trainer.state.finished
    assert (tmp_path / "knot_migration.png").is_file()


def test_knots_of_the_run_are_in_the_state_and_start_afresh_with_a_new_fit(tmp_path: Path) -> None:
    plots, resumed = KnotPlotCallback(), KnotPlotCallback()
    fit(tmp_path, plots, False, 0, 2, module=Adaptable())
    resumed.load_state_dict(plots.state_dict())
    assert [record.epoch for record in resumed.records] == [0, 2]
    new = adaptation().layers[1].new_breakpoints
    assert torch.equal(resumed.records[1].breakpoints["layers.1"], new)

    fit(tmp_path, plots, False, 1, module=Adaptable())
    assert [record.epoch for record in plots.records] == [0, 1]


def test_titles_and_axes_are_legible_in_tensorboard_s_thumbnails() -> None:
    """Thumbnails are 350 pixels wide, a third of a picture's 960."""
    page = head(2.0, "relative L2")
    for axes in page.row(3, 2.0, below=0.5):
        axes.set(xlabel="income", ylabel="density", xlim=(-1.6, 1.6), ylim=(0, 0.41))
    sizes: dict[str, float] = {}

    def add_figure(tag: str, figure: Figure, **_: object) -> None:
        figure.canvas.draw()
        drawn = figure.get_tightbbox()
        assert drawn.x0 >= 0
        assert drawn.y0 >= 0
        for text in figure.findobj(Text):
            sizes[text.get_text()] = text.get_fontsize() / 72 * 100 * 350 / 960  # pixels

    experiment = SimpleNamespace(add_figure=add_figure, flush=lambda: None)
    loggers = [SimpleNamespace(experiment=experiment)]
    trainer = SimpleNamespace(loggers=loggers, global_step=0, fast_dev_run=False)
    log_figure(trainer, page.figure, "page", "page.png")  # type: ignore[arg-type]

    assert sizes["relative L2"] > 9
    assert sizes["income"] == sizes["density"] > 7
    assert sizes["0.0"] > 6
