"""Every curve is the layer's own edge function, where it belongs; what is important is opaque."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from kanlit.nn import KAN, KANLayer, edge_importance, grid_samples
from kanlit.plotting import curve_figure, network_figure
from kanlit.plotting.edges import FAINTEST, connected, most_important, opacities
from kanlit.plotting.network import _untangle


def make_layers(*widths: int) -> Sequence[KANLayer]:
    generator = torch.Generator().manual_seed(0)
    network = KAN(widths, grid_size=4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.3 * noise)
    return network.layers


def draw(layers: list[KANLayer], most_edges: int = 200) -> Figure:
    inputs = [f"column {i}" for i in range(layers[0].in_features)]
    outputs = [f"target {i}" for i in range(layers[-1].out_features)]
    importances = edge_importance(layers, grid_samples(layers[0]))
    return network_figure(
        layers, importances, inputs, outputs, "net", most_edges=most_edges, fraction=1.0
    )


def artists(figure: Figure, kind: str) -> dict[str, Line2D | LineCollection]:
    return {
        gid.removeprefix(f"{kind}:"): artist
        for artist in figure.findobj()
        if isinstance(artist, Line2D | LineCollection)
        if (gid := artist.get_gid()) is not None and gid.startswith(f"{kind}:")
    }


def words(figure: Figure) -> list[str]:
    return [a.get_text() for a in figure.findobj() if hasattr(a, "get_text")]


@pytest.mark.parametrize("widths", [(1, 10, 1), (2, 5, 1), (2, 6, 6, 1), (8, 5, 2)])
def test_curves_are_the_layers_edge_functions_over_their_grids(widths: tuple[int, ...]) -> None:
    layers = make_layers(*widths)
    curves = artists(draw(layers), "edge")

    assert len(curves) == sum(layer.in_features * layer.out_features for layer in layers)
    for gid, curve in curves.items():
        number, q, p = map(int, gid.split(":"))
        layer = layers[number]
        assert isinstance(curve, Line2D)
        x = torch.as_tensor(np.asarray(curve.get_xdata()))
        torch.testing.assert_close(x[[0, -1]], layer.breakpoints[p, [0, -1]])
        columns = x.unsqueeze(1).repeat(1, layer.in_features)
        expected = layer.edge_functions(columns)[:, p, q].detach()
        torch.testing.assert_close(torch.as_tensor(np.asarray(curve.get_ydata())), expected)


def test_ticks_stand_at_the_breakpoints_under_their_curve() -> None:
    layers = make_layers(2, 3, 1)
    figure = draw(layers)
    figure.draw_without_rendering()
    curves = artists(figure, "edge")
    for gid, ticks in artists(figure, "knots").items():
        number, _, p = map(int, gid.split(":"))
        assert isinstance(ticks, LineCollection)
        at = [segment[0, 0] for segment in ticks.get_segments()]
        np.testing.assert_array_equal(at, layers[number].breakpoints[p])
        ends = curves[gid].get_transform().transform([(at[0], 0.0), (at[-1], 0.0)])[:, 0]
        own = ticks.get_transform().transform([(at[0], 0.0), (at[-1], 0.0)])[:, 0]
        np.testing.assert_allclose(own, ends)


def test_all_that_is_drawn_lies_on_the_page() -> None:
    figure = draw(make_layers(12, 9, 3))
    figure.draw_without_rendering()
    page = figure.bbox
    for artist in figure.findobj():
        if isinstance(artist, (Text, Line2D)):
            box = artist.get_window_extent()
            assert page.x0 <= box.x0 <= box.x1 <= page.x1
            assert page.y0 <= box.y0 <= box.y1 <= page.y1


def test_names_of_columns_are_at_the_nodes() -> None:
    found = words(draw(make_layers(3, 2, 2)))

    assert {"column 0", "column 1", "column 2", "target 0", "target 1"} <= set(found)


def test_long_names_keep_their_beginning_and_their_end() -> None:
    layers = make_layers(1, 1)
    name = "average_occupancy_of_dwellings_2020"
    importances = edge_importance(layers, grid_samples(layers[0]))
    (shown,) = [w for w in words(network_figure(layers, importances, [name], ["y"])) if "…" in w]

    assert len(shown) == 24
    assert name.startswith(shown.split("…")[0])
    assert name.endswith(shown.split("…")[1])


def test_opacity_rises_with_importance() -> None:
    layers = make_layers(2, 3, 1)
    importances = edge_importance(layers, grid_samples(layers[0]))
    for number, importance in enumerate(importances):
        shown = opacities(importance)
        order = importance.flatten().argsort().numpy()
        assert (np.diff(shown.ravel()[order]) >= 0).all()
        assert shown.max() == 1.0
        for gid, curve in artists(draw(layers), "edge").items():
            layer, q, p = map(int, gid.split(":"))
            if layer == number:
                assert curve.get_alpha() == pytest.approx(shown[q, p])


def test_edges_of_a_dead_network_are_faint_and_flat() -> None:
    layers = make_layers(2, 2)
    with torch.no_grad():
        layers[0].coefficients.zero_()
        layers[0].base_weight.zero_()

    assert {c.get_alpha() for c in artists(draw(layers), "edge").values()} == {FAINTEST}


def test_network_too_large_shows_its_most_important_edges_and_says_so() -> None:
    layers = make_layers(12, 9, 3)
    figure = draw(layers, most_edges=50)
    importances = edge_importance(layers, grid_samples(layers[0]))
    drawn = [tuple(map(int, gid.split(":"))) for gid in artists(figure, "edge")]

    assert f"the {len(drawn)} most important of 135 edges" in words(figure)
    for number, chosen in enumerate(connected(most_important(importances, 50))):
        shown = {(q, p) for layer, q, p in drawn if layer == number}
        assert shown == {(q, p) for q, p in chosen.nonzero().tolist()}


def test_drawn_edges_are_on_a_path_from_an_input_to_an_output() -> None:
    first = torch.tensor([[True, True], [True, False], [False, False]])
    last = torch.tensor([[True, False, True]])
    assert [mask.int().tolist() for mask in connected([first, last])] == [
        [[1, 1], [0, 0], [0, 0]],
        [[1, 0, 0]],
    ]
    apart = [first, torch.tensor([[False, False, True]])]
    assert all(map(torch.equal, connected(apart), apart))


@pytest.mark.parametrize("most", [1, 50])
def test_each_layer_shows_its_most_important_edges(most: int) -> None:
    importances = [torch.rand(9, 12), torch.rand(3, 9)]
    for importance, chosen in zip(importances, most_important(importances, most), strict=True):
        assert importance[chosen].min() >= importance[~chosen].max()


@pytest.mark.parametrize(("most", "expected"), [(50, [25, 25]), (100, [73, 27]), (1000, [108, 27])])
def test_layers_have_equal_room_as_far_as_they_need_it(most: int, expected: list[int]) -> None:
    chosen = most_important([torch.rand(9, 12), torch.rand(3, 9)], most)

    assert [int(mask.sum()) for mask in chosen] == expected


def test_names_and_importances_that_do_not_fit_are_refused() -> None:
    layers = make_layers(2, 1)
    importances = edge_importance(layers, grid_samples(layers[0]))
    with pytest.raises(ValueError, match="1 input_names and 1 output_names for a network of 2"):
        network_figure(layers, importances, ["a"], ["y"])
    with pytest.raises(ValueError, match=r"importances have the shapes \[\(2, 1\)\]"):
        network_figure(layers, [importances[0].T], ["a", "b"], ["y"])
    with pytest.raises(ValueError, match="most_edges must be at least 1, got 0"):
        network_figure(layers, importances, ["a", "b"], ["y"], most_edges=0)


def test_curves_by_feature_are_edge_functions_less_their_means() -> None:
    layers = make_layers(2, 3, 1)
    importances = edge_importance(layers, grid_samples(layers[0]))
    curves = artists(curve_figure(layers, importances, ["a", "b"]), "curve")

    assert len(curves) == 9
    for gid, curve in curves.items():
        number, q, p = map(int, gid.split(":"))
        assert isinstance(curve, Line2D)
        x = torch.as_tensor(np.asarray(curve.get_xdata()))
        columns = x.unsqueeze(1).repeat(1, layers[number].in_features)
        expected = layers[number].edge_functions(columns)[:, p, q].detach()
        torch.testing.assert_close(
            torch.as_tensor(np.asarray(curve.get_ydata())), expected - expected.mean()
        )


def test_features_beyond_the_most_are_counted() -> None:
    layers = make_layers(5, 7, 1)
    importances = edge_importance(layers, grid_samples(layers[0]))
    found = " ".join(words(curve_figure(layers, importances, list("abcde"), max_features=2)))

    assert "layer 1: the 2 most important of 5 inputs" in found
    assert "layer 2: the 4 most important of 7 inputs" in found


def test_edges_that_hold_almost_all_importance_are_drawn() -> None:
    layers = make_layers(6, 5, 1)
    importances = [torch.full((5, 6), 1e-4), torch.ones(1, 5)]
    importances[0][:, 3] = 0.2
    figure = network_figure(layers, importances, list("abcdef"), ["y"], shares=[0.25] * 6)
    drawn = {gid for gid in artists(figure, "edge") if gid.startswith("0:")}

    assert drawn == {f"0:{q}:3" for q in range(5)}
    assert "the 10 most important of 35 edges" in words(figure)
    assert "d (0.25)" in words(figure)
    assert "a (0.25)" not in words(figure)


def test_nodes_are_ordered_so_that_lines_do_not_cross() -> None:
    rows, edges = [[0, 1, 2], [0, 1, 2]], [[(2, 0), (0, 1), (1, 2)]]
    _untangle(rows, edges)

    assert [rows[1].index(q) for q, p in sorted(edges[0], key=lambda e: rows[0].index(e[1]))] == [
        0,
        1,
        2,
    ]


def test_the_most_important_input_comes_first_in_the_users_units() -> None:
    layers = make_layers(3, 1)
    importances = [torch.tensor([[0.1, 0.7, 0.2]])]
    figure = curve_figure(layers, importances, list("abc"), units=lambda z: 100 + 10 * z)
    panels = [axes for axes in figure.axes if axes.get_xlabel()]

    assert [axes.get_xlabel() for axes in panels] == ["b", "c", "a"]
    (curve,) = [a for gid, a in artists(figure, "curve").items() if gid == "0:0:1"]
    assert isinstance(curve, Line2D)
    ends = np.asarray(curve.get_xdata())[[0, -1]]
    np.testing.assert_allclose(ends, 100 + 10 * layers[0].breakpoints[1, [0, -1]])
