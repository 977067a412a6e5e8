"""Pictures of a run: errors where the target is known, knots and losses against the epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.metrics import r2_score
from torch import Tensor
from torchmetrics.classification import MulticlassCalibrationError

from kanlit.adaptation import KnotRecord
from kanlit.callbacks.run_figures import DataView
from kanlit.data import TensorDataModule
from kanlit.modules import RegressionModule
from kanlit.nn import KANLayer, edge_importance
from kanlit.plotting import (
    FittedCurve,
    class_figure,
    convergence_figure,
    curve_figure,
    error_map_figure,
    migration_figure,
    network_figure,
    scatter_figure,
)
from kanlit.problems.functions.target import TargetFunction

LINE = TargetFunction("line", "2 x1", ((-1.0, 3.0),), lambda x: 2 * x[:, 0])
TEN = torch.tensor([1.0, 10.0], dtype=torch.float64)
PLANE = TargetFunction("plane", "x1 + 10 x2", ((0.0, 1.0), (0.0, 2.0)), lambda x: x @ TEN)


class Rows(TensorDataModule):
    """Rows as they are given."""

    def __init__(self, x: Tensor) -> None:
        super().__init__(x.shape[1], 1, None, 0)
        self.x = x

    def build(self, part: str) -> tuple[Tensor, Tensor]:
        return self.x, self.x[:, :1]


def artists(figure: Figure) -> dict[str, object]:
    return {gid: a for a in figure.findobj() if (gid := a.get_gid()) is not None}


def words(figure: Figure) -> str:
    return " | ".join(a.get_text() for a in figure.findobj() if hasattr(a, "get_text"))


def data(line: object) -> tuple[np.ndarray, np.ndarray]:
    assert isinstance(line, Line2D)
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def test_error_in_1d_is_the_distance_of_prediction_and_target() -> None:
    figure = error_map_figure(LINE, lambda x: 2.2 * x, [torch.linspace(-1, 3, 5)], ["a"], "run")
    x, error = data(artists(figure)["error"])

    np.testing.assert_allclose(error[x != 0], np.abs(0.2 * x[x != 0]), atol=1e-12)
    np.testing.assert_allclose(data(artists(figure)["target"])[1], 2 * x)
    np.testing.assert_allclose(data(artists(figure)["prediction"])[1], 2.2 * x)
    assert "run: relative L2 1.000e-01" in words(figure)


def test_names_with_dollar_signs_are_drawn_as_they_are(tmp_path: Path) -> None:
    name = r"$\frac{$"
    layers = [KANLayer(2, 1)]
    knots = [torch.linspace(0, 1, 4), torch.linspace(0, 2, 5)]
    figures = [
        error_map_figure(PLANE, PLANE, knots, [name, name]),
        scatter_figure(torch.rand(9, 1), torch.rand(9, 1), [name]),
        network_figure(layers, [torch.ones(1, 2)], [name, name], [name]),
        curve_figure(layers, [torch.ones(1, 2)], [name, name], ""),
    ]
    for number, figure in enumerate(figures):
        figure.savefig(tmp_path / f"{number}.png")  # as mathematics it could not be drawn
        assert r"\$\frac{\$" in words(figure)


def test_maps_in_2d_have_the_first_input_across_and_the_second_up() -> None:
    knots = [torch.linspace(0, 1, 4), torch.linspace(0, 2, 5)]
    figure = error_map_figure(PLANE, lambda x: PLANE(x) + x[:, :1], knots, ["a", "b"])
    shown = artists(figure)
    target = shown["target"].get_array()  # type: ignore[attr-defined]
    error = shown["|prediction − target|"].get_array()  # type: ignore[attr-defined]

    np.testing.assert_allclose(target[0, [0, -1]], [0, 1], atol=1e-12)
    np.testing.assert_allclose(target[[0, -1], 0], [0, 20], atol=1e-12)
    np.testing.assert_allclose(error[:, -1], 1.0)
    for i, axis in enumerate((0, 1)):
        ticks = shown[f"knots:{i}"]
        assert isinstance(ticks, LineCollection)
        at = [segment[0, axis] for segment in ticks.get_segments()]
        np.testing.assert_allclose(at, knots[i])


def test_poles_are_left_out() -> None:
    root = TargetFunction("root", "1 / √x1", ((0.0, 1.0),), lambda x: x[:, 0] ** -0.5)
    figure = error_map_figure(root, lambda x: 0 * x + 1, [torch.linspace(0, 1, 3)], ["x1"])

    error = data(artists(figure)["error"])[1]
    assert np.isnan(error[0])
    assert np.isfinite(error[1:-1]).all()
    assert "nan" not in words(figure)


def test_prediction_without_error_can_be_drawn() -> None:
    knots = [torch.linspace(0, 1, 4), torch.linspace(0, 2, 5)]
    assert "relative L2 0.000e+00" in words(error_map_figure(PLANE, PLANE, knots, ["a", "b"]))
    assert "relative L2 0.000e+00" in words(error_map_figure(LINE, LINE, knots[:1], ["a"]))


def test_error_map_of_other_dimensions_and_shapes_is_refused() -> None:
    cube = TargetFunction("cube", "0", ((0.0, 1.0),) * 3, lambda x: x[:, 0])
    with pytest.raises(ValueError, match="needs one or two inputs, cube has 3"):
        error_map_figure(cube, cube, [], [])
    with pytest.raises(ValueError, match=r"predict must return \(2001, 1\), got \(2001,\)"):
        error_map_figure(LINE, lambda x: x[:, 0], [torch.linspace(-1, 3, 5)], ["a"])


def test_scatter_has_true_values_across_and_predicted_ones_up() -> None:
    true = torch.rand(50, 2, dtype=torch.float64) + 1
    figure = scatter_figure(true, true * torch.tensor([1.1, 1.0]), ["a", "b"])
    for i, factor in enumerate((1.1, 1.0)):
        x, y = data(artists(figure)[f"rows:{i}"])
        np.testing.assert_allclose(x, true[:, i])
        np.testing.assert_allclose(y, factor * true[:, i], rtol=1e-6)
    assert f"a: R² {r2_score(true[:, 0], 1.1 * true[:, 0]):.4f}, RMSE " in words(figure)
    assert "b: R² > 0.999999, RMSE" in words(figure)


def test_an_outlier_does_not_hide_the_other_rows() -> None:
    true = torch.rand(1000, 1, dtype=torch.float64)
    true[7] = 1e6
    figure = scatter_figure(true, true + 0.1, ["y"], across=("a", true[:, 0] * 2))

    assert all(axes.get_xlim()[1] < 3 for axes in figure.axes)
    assert "1 row outside" in words(figure)
    x, y = data(artists(figure)["residuals:0"])
    np.testing.assert_allclose(x, 2 * true[:, 0])
    np.testing.assert_allclose(y, 0.1, rtol=1e-6)


def test_rows_of_one_input_are_drawn_around_the_curve_and_its_band() -> None:
    rows, along = torch.rand(40, 1, dtype=torch.float64), torch.linspace(0, 1, 11)
    curve = FittedCurve(along, 2 * along[:, None], torch.ones(11, 1), torch.tensor([0.0, 0.4, 1.0]))
    figure = scatter_figure(3 * rows, 2 * rows, ["y"], "", ("a", rows[:, 0]), curve)
    found = artists(figure)

    x, y = data(found["rows:0"])
    np.testing.assert_allclose((x, y), (rows[:, 0], 3 * rows[:, 0]))
    x, y = data(found["prediction:0"])
    np.testing.assert_allclose(y, 2 * x, atol=1e-6)
    (path,) = found["band:0"].get_paths()  # type: ignore[attr-defined]
    np.testing.assert_allclose(path.get_extents().y1, 2 + 1.96, rtol=1e-6)
    low, high = figure.axes[0].get_ylim()
    assert low < -1.9
    assert high > 3.9  # the band is not cut
    x, y = data(found["residuals:0"])
    np.testing.assert_allclose(y, -x)
    assert f"y: R² {r2_score(3 * rows, 2 * rows):.4f}, RMSE " in words(figure)


def test_scatter_of_shapes_that_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="1 target_names for true"):
        scatter_figure(torch.zeros(3, 2), torch.zeros(3, 2), ["a"])


def record(epoch: int, grid_size: int) -> KnotRecord:
    points = torch.linspace(-1, 1 + epoch / 100, grid_size + 1).repeat(2, 1)
    return KnotRecord(epoch, epoch, {"layers.0": points})


def last() -> dict[str, Tensor]:
    return {"layers.0": torch.linspace(-2, 2, 4).repeat(2, 1)}


def test_each_breakpoint_is_a_line_from_its_adaptation_to_the_next() -> None:
    records = [record(0, 3), record(50, 5)]
    figure = migration_figure(records, last(), 100, ["a", "b"])
    lines = artists(figure)["knots:layers.0:1"]
    assert isinstance(lines, LineCollection)
    segments = np.array(lines.get_segments())

    np.testing.assert_array_equal(segments[:, 0, 1], segments[:, 1, 1])
    for i, (start, end) in enumerate(((0, 50), (50, 100))):
        stage = segments[(segments[:, 0, 0] == start) & (segments[:, 1, 0] == end)]
        np.testing.assert_allclose(stage[:, 0, 1], records[i].breakpoints["layers.0"][1])
    assert segments[:, :, 0].max() == 100  # lines end with the run
    at, final = data(artists(figure)["end:layers.0:1"])
    np.testing.assert_allclose(final, last()["layers.0"][1])
    assert set(at) == {100}


def test_knots_of_the_most_important_input_come_first_in_the_users_units() -> None:
    importances = [torch.tensor([[0.1, 0.9]])]
    figure = migration_figure([record(0, 3)], last(), 9, ["a", "b"], "", importances, lambda z: -z)

    assert [axes.get_ylabel() for axes in figure.axes] == ["b", "a"]
    lines = artists(figure)["knots:layers.0:1"]
    assert isinstance(lines, LineCollection)
    np.testing.assert_allclose([s[0, 1] for s in lines.get_segments()], np.linspace(1, -1, 4))


def test_features_that_pruning_has_renumbered_have_neither_ranks_nor_marks() -> None:
    pruned = {"layers.0": torch.linspace(-2, 2, 4).repeat(1, 1)}
    figure = migration_figure(
        [record(0, 3)], pruned, 9, ["a", "b"], "", [torch.tensor([[1.0]])], max_features=1
    )

    assert [axes.get_ylabel() for axes in figure.axes] == ["a"]
    assert "the 1 first of 2 inputs" in words(figure)
    assert not any(name.startswith("end:") for name in artists(figure))


def test_migration_without_records_is_refused() -> None:
    with pytest.raises(ValueError, match="no adaptation has been recorded"):
        migration_figure([], last(), 0, ["a", "b"])


def test_g_stands_at_the_adaptations_that_change_it() -> None:
    figure = migration_figure(
        [record(i, 3 + i // 100) for i in range(300)], last(), 300, ["a", "b"]
    )
    labels = [w for w in words(figure).split(" | ") if w in {"G 3", "4", "5"}]

    assert labels == ["G 3", "4", "5"] * 2


def test_convergence_shows_positive_values_as_they_are() -> None:
    epochs = np.arange(5.0)
    values = np.array([1.0, 0.1, np.nan, 0.0, 0.01])
    figure = convergence_figure({"val/loss": (epochs, values)}, [(0, 3), (2, 6)])
    x, y = data(artists(figure)["metric:val/loss"])

    np.testing.assert_array_equal(x, [0, 1, 4])
    np.testing.assert_array_equal(y, [1.0, 0.1, 0.01])
    assert "G 3" in words(figure)


def test_accuracy_is_on_a_linear_axis_of_its_own() -> None:
    values = np.arange(5.0), np.linspace(0.1, 0.9, 5)
    names = ("train/loss", "val/loss", "val/rel_l2", "val/accuracy")
    figure = convergence_figure(dict.fromkeys(names, values))

    assert [(axes.get_ylabel(), axes.get_yscale(), len(axes.lines)) for axes in figure.axes] == [
        ("loss", "log", 2),
        ("error", "log", 1),
        ("accuracy", "linear", 1),
    ]


def test_a_loss_that_hardly_changes_has_round_ticks() -> None:
    values = np.arange(5.0), np.linspace(0.03268, 0.03271, 5)
    late = values[0][1:], values[1][1:]
    figure = convergence_figure({"val/loss": values, "val/pde": late})

    assert [axes.get_yscale() for axes in figure.axes] == ["linear"] * 2
    assert figure.axes[1].get_ylabel() == "mean squared residual"
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    assert_on_the_page(figure)


def assert_on_the_page(figure: Figure) -> None:
    """All words are within the page."""
    box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0


def test_classes_are_counted_and_their_probabilities_compared_with_what_happened() -> None:
    true = torch.tensor([0, 0, 1, 1, 2, 2])
    sure = torch.full((6, 3), 0.1)
    sure[range(6), [0, 1, 1, 1, 2, 2]] = 0.8
    bounds = ((0.0, 1.0), (0.0, 1.0))
    plane = bounds, ["a", "b"], lambda x: sure[:1].expand(len(x), 3), torch.rand(6, 2)
    figure = class_figure(true, sure, ["one", "two", "three"], "test", plane)

    shades = artists(figure)["confusion"].get_array()  # type: ignore[attr-defined]
    np.testing.assert_allclose(shades, [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    mean, accuracy = data(artists(figure)["reliability"])
    np.testing.assert_allclose([mean[0], accuracy[0]], [0.8, 5 / 6])
    tested = float(MulticlassCalibrationError(3)(sure, true))
    assert f"calibration error {tested:.4f}" in words(figure)
    assert "decisions" in artists(figure)
    long = [f"iris {name}" for name in ("setosa", "versicolor", "virginica")]
    figure = class_figure(true, sure, long, "test", plane)
    assert set(long) <= {text.get_text() for text in figure.legends[0].get_texts()}
    assert_on_the_page(figure)


def test_what_the_predictions_depend_on_is_found_in_spite_of_outliers() -> None:
    """A column with a few outliers must not look important: the network hardly uses it."""
    torch.manual_seed(0)
    rows = torch.rand(2000, 2)
    rows[:6, 1] = 40.0
    module = RegressionModule(2, 1, hidden=[])
    layer = module.network.layers[0]
    assert isinstance(layer, KANLayer)
    with torch.no_grad():
        layer.base_weight.copy_(torch.tensor([[1.0, 0.05]]))
        layer.coefficients.zero_()
    view = DataView.of(module, Rows(rows), layer)

    assert view.shares is not None
    torch.testing.assert_close(view.shares.sum().item(), 1.0, rtol=0, atol=0.1)
    (by_data,) = edge_importance([layer], view.samples)
    assert by_data[0, 0] > 0.9
    (shown,) = view.importances([layer])
    torch.testing.assert_close(shown[0], view.shares / view.shares.sum(), check_dtype=False)
    (by_grid,) = edge_importance([layer], rows)
    assert by_grid[0, 1] > 0.3  # what outliers would have made of it


def test_convergence_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no metric has a positive value"):
        convergence_figure({"loss": (np.arange(2.0), np.array([0.0, np.nan]))})
