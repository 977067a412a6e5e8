"""The picture shows every breakpoint where it stands, and densities that are densities."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from torch import Tensor

from kanlit.adaptation.report import AdaptationReport, LayerAdaptation
from kanlit.plotting import TargetCurve, importance_histogram, knot_figure


def layer(
    name: str, in_features: int, n: int = 200, dtype: torch.dtype = torch.float64
) -> LayerAdaptation:
    generator = torch.Generator().manual_seed(in_features)
    samples = torch.rand(n, in_features, generator=generator, dtype=dtype) * 2 - 1
    inner = torch.rand(in_features, 6, generator=generator, dtype=dtype).sort(dim=1).values
    ends = torch.ones(in_features, 1, dtype=dtype)
    return LayerAdaptation(
        name=name,
        old_breakpoints=torch.linspace(-1, 1, 4, dtype=dtype).repeat(in_features, 1),
        new_breakpoints=torch.cat([-1.02 * ends, inner, 1.02 * ends], dim=1),
        samples=samples,
        weights=torch.rand(n, generator=generator, dtype=dtype),
        refit_error=1e-3,
        out_of_range=0.1,
    )


def report(*layers: LayerAdaptation) -> AdaptationReport:
    return AdaptationReport(layers, grid_size=7, refit_error=1e-3, seconds=0.01)


def replaced(old: LayerAdaptation, **changes: Tensor) -> LayerAdaptation:
    return LayerAdaptation(**{**vars(old), **changes})


def curve() -> TargetCurve:
    x = torch.linspace(-1, 1, 50)
    return TargetCurve(x, torch.exp(-200 * x**2) + 0.1, torch.exp(-200 * x**2), "x1")


def artists(figure: Figure) -> dict[str, object]:
    return {gid: a for a in figure.findobj() if (gid := a.get_gid()) is not None}


def stem_positions(figure: Figure, gid: str) -> np.ndarray:
    stems = artists(figure)[gid]
    assert isinstance(stems, LineCollection)
    return np.array([segment[0, 0] for segment in stems.get_segments()])


def words(figure: Figure) -> str:
    return " | ".join(a.get_text() for a in figure.findobj() if hasattr(a, "get_text"))


def test_each_feature_has_one_set_of_stems_at_its_old_and_its_new_breakpoints() -> None:
    layers = layer("layers.0", 2), layer("layers.1", 10)
    figure = knot_figure(report(*layers), curve(), "epoch 500")
    for one in layers:
        for i in range(one.samples.shape[1]):
            label = f"{one.name}:{i}"
            np.testing.assert_array_equal(
                stem_positions(figure, f"new:{label}"), one.new_breakpoints[i]
            )
            np.testing.assert_array_equal(
                stem_positions(figure, f"old:{label}"), one.old_breakpoints[i]
            )


def test_ticks_under_the_curve_are_the_new_breakpoints_of_its_input() -> None:
    first = layer("layers.0", 2)
    x = torch.linspace(-1, 1, 5)
    figure = knot_figure(report(first), TargetCurve(x, x, None, "x2", feature=1))
    np.testing.assert_array_equal(stem_positions(figure, "rug"), first.new_breakpoints[1])


def test_curve_is_drawn_as_given_and_the_target_only_where_it_is_known() -> None:
    given = curve()
    drawn = artists(knot_figure(report(layer("layers.0", 1)), given))
    np.testing.assert_array_equal(drawn["prediction"].get_ydata(), given.prediction)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(drawn["target"].get_ydata(), given.target)  # type: ignore[attr-defined]
    untold = TargetCurve(given.x, given.prediction, None, "x1")
    assert "target" not in artists(knot_figure(report(layer("layers.0", 1)), untold))
    assert "prediction" not in artists(knot_figure(report(layer("layers.0", 1)), None))


@pytest.mark.parametrize("per_feature", [False, True])
def test_every_drawn_density_integrates_to_one(per_feature: bool) -> None:
    one = layer("layers.0", 3)
    if per_feature:
        one = replaced(one, weights=torch.rand(200, 3) ** 4)
    drawn = artists(knot_figure(report(one), None))
    for i in range(3):
        patch = drawn[f"density:layers.0:{i}"]
        assert isinstance(patch, StepPatch)
        values, edges, _ = patch.get_data()
        assert np.sum(values * np.diff(edges)) == pytest.approx(1.0, rel=1e-12)


def test_histogram_gives_each_bin_its_share_of_the_weights() -> None:
    density, edges = importance_histogram(
        torch.tensor([0.1, 0.1, 0.6, 1.0]), torch.tensor([1.0, 2.0, 3.0, 4.0]), 4, (0.0, 1.0)
    )
    np.testing.assert_allclose(edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(density * 0.25, [0.3, 0.0, 0.3, 0.4], rtol=1e-15)


def test_histogram_is_the_same_for_weights_of_any_scale() -> None:
    x, w = torch.rand(50), torch.rand(50, dtype=torch.float64)
    reference, _ = importance_histogram(x, w, 10, (0.0, 1.0))
    for scale in (1e-300, 1e300):
        np.testing.assert_allclose(importance_histogram(x, w * scale, 10, (0.0, 1.0))[0], reference)


def test_histogram_counts_samples_outside_the_span_at_its_ends() -> None:
    density, _ = importance_histogram(torch.tensor([-9.0, 9.0]), torch.ones(2), 2, (0.0, 1.0))
    np.testing.assert_array_equal(density, [1.0, 1.0])


@pytest.mark.parametrize(
    ("samples", "weights", "span", "message"),
    [
        ([0.0, float("nan")], [1.0, 1.0], (0.0, 1.0), "1 non-finite values"),
        ([0.0, 1.0], [1.0, -1.0], (0.0, 1.0), "nonnegative"),
        ([0.0, 1.0], [1.0], (0.0, 1.0), "must both be"),
        ([0.0, 1.0], [1.0, 1.0], (1.0, 1.0), "span must be increasing"),
    ],
)
def test_histogram_refuses_what_is_no_density(
    samples: list[float], weights: list[float], span: tuple[float, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        importance_histogram(torch.tensor(samples), torch.tensor(weights), 4, span)


def test_heading_counts_the_features_left_out() -> None:
    figure = knot_figure(report(layer("layers.0", 64), layer("layers.1", 64)), None, max_features=4)
    assert "layers.0: first 4 of 64 input features, +60 more" in words(figure)
    assert "layers.1: first 8 of 64 input features, +56 more" in words(figure)
    drawn = artists(figure)
    assert "new:layers.0:3" in drawn
    assert "new:layers.0:4" not in drawn
    assert "new:layers.1:7" in drawn
    assert "new:layers.1:8" not in drawn


def test_title_holds_the_epoch_and_both_grid_sizes() -> None:
    assert "epoch 500, G 3 → 7" in words(
        knot_figure(report(layer("layers.0", 1)), None, "epoch 500")
    )


def test_ties_spikes_and_weights_of_zero_are_drawn(tmp_path: Path) -> None:
    one = layer("layers.0", 2, dtype=torch.float32)
    spike = torch.zeros(200)
    spike[7] = 1e30
    awkward = [
        replaced(one, samples=torch.full((200, 2), 0.5)),
        replaced(one, weights=spike),
        replaced(one, weights=torch.zeros(200)),
        replaced(one, samples=one.samples[:1], weights=one.weights[:1]),
    ]
    for i, case in enumerate(awkward):
        knot_figure(report(case), None).savefig(tmp_path / f"{i}.png")
    assert "all weights are zero" in words(knot_figure(report(awkward[2]), None))


def test_a_million_samples_of_64_features_are_binned_in_full() -> None:
    one = layer("layers.0", 1, n=1_000_000, dtype=torch.float32)
    wide = replaced(layer("layers.0", 64), samples=one.samples.expand(-1, 64), weights=one.weights)
    patch = artists(knot_figure(report(wide), None))["density:layers.0:0"]
    values, edges, _ = patch.get_data()  # type: ignore[attr-defined]
    assert np.sum(values * np.diff(edges)) == pytest.approx(1.0)


def test_legend_does_not_stand_over_data() -> None:
    figure = knot_figure(report(layer("layers.0", 1), layer("layers.1", 10)), curve(), "epoch 500")
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)
    assert not any(box.overlaps(text.get_window_extent()) for text in figure.texts)


def test_drawing_does_not_load_pyplot() -> None:
    code = (
        "import sys, kanlit.plotting, matplotlib.figure; "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_features": 0}, "max_features must be at least 1, got 0"),
        ({"feature_names": ["a"]}, "1 feature_names for 2 input features"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        knot_figure(report(layer("layers.0", 2)), None, **options)
