"""Pictures of a run: errors where the target is known, knots and losses against the epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from kanlit.adaptation import KnotRecord
from kanlit.nn import KANLayer
from kanlit.plotting import (
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
    assert "run: relative L2 1.00e-01" in words(figure)


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
    assert "relative L2 0.00e+00" in words(error_map_figure(PLANE, PLANE, knots, ["a", "b"]))
    assert "relative L2 0.00e+00" in words(error_map_figure(LINE, LINE, knots[:1], ["a"]))


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
    assert "a: relative L2 1.00e-01" in words(figure)


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
    final = segments[segments[:, 0, 0] == 100]
    np.testing.assert_allclose(final[:, 0, 1], last()["layers.0"][1])


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


def test_convergence_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no metric has a positive value"):
        convergence_figure({"loss": (np.arange(2.0), np.array([0.0, np.nan]))})
