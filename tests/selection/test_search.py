"""Size and start of a network, chosen by the data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.selection import search, select_network
from kanlit.selection.fit import SmoothNetwork


@pytest.fixture(autouse=True)
def _several_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_WIDTHS", ((), (2,)))
    monkeypatch.setattr(search, "_STARTS", 2)
    monkeypatch.setattr(search, "_GRID_SIZES", (6,))  # three intervals are too few for the sine


def build(
    hidden: Sequence[int], grid_size: int, order: int, generator: torch.Generator, inputs: int = 2
) -> KAN:
    sizes = {"grid_size": grid_size, "spline_order": order}
    return KAN([inputs, *hidden, 1], **sizes, generator=generator, dtype=torch.float64)


def noisy(truth: str, rows: int = 120, noise: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, noisy targets and true values, standardized well enough."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    values = {"sum": torch.sin(2 * x[:, :1]) + x[:, 1:], "product": x[:, :1] * x[:, 1:]}[truth]
    normal = torch.randn(rows, 1, generator=generator, dtype=torch.float64)
    return x, values + noise * normal, values


def error(network: KAN, x: Tensor, truth: Tensor) -> float:
    return float((network(x) - truth).detach().square().mean().sqrt())


def test_a_sum_of_functions_gets_no_hidden_layer() -> None:
    x, y, truth = noisy("sum")
    found = select_network(x, y, build)
    assert found.hidden == ()
    assert error(found.fit.network, x, truth) < 0.15


def test_a_line_stays_a_line_in_later_training() -> None:
    x, y, truth = noisy("sum")
    line = x @ torch.tensor([[1.0], [0.5]], dtype=torch.float64)
    fit = select_network(x, line + y - truth, build).fit
    assert fit.curved_edges == 0
    fit.on(x, y).train(10)
    left, middle, right = (fit.network(x + shift) for shift in (-0.1, 0.0, 0.1))
    torch.testing.assert_close(left + right, 2 * middle, rtol=0, atol=1e-6)


def _ridge_case(rows: int, inputs: int, size: float) -> tuple[float, float, float]:
    """Distance of the network from least squares, and the errors of both."""
    draw = torch.Generator().manual_seed(3)
    x, normal = (torch.randn(rows, n, generator=draw, dtype=torch.float64) for n in (inputs, 1))
    truth = x @ torch.full((inputs, 1), size, dtype=torch.float64)

    network = select_network(x, truth + normal, partial(build, inputs=inputs)).fit.network
    design = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    plain = design @ torch.linalg.lstsq(design, truth + normal).solution
    return error(network, x, plain), error(network, x, truth), float((plain - truth).std())


def test_few_inputs_get_least_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ridge whose gain was uncertain was worse than least squares on two of five tables."""
    monkeypatch.setattr(search, "_WIDTHS", ())
    distance, _, _ = _ridge_case(120, 4, 0.15)
    assert distance < 1e-3


def test_many_inputs_get_a_ridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_WIDTHS", ())
    _, own, plain = _ridge_case(40, 25, 0.15)
    assert own < 0.9 * plain


def test_an_edge_that_the_data_leave_straight_costs_nothing() -> None:
    """A wide network paid for it as for a curve, and a poor additive function was kept."""
    x, y, _ = noisy("sum", 400)
    fit = SmoothNetwork(build((), 6, 3, torch.Generator().manual_seed(0)), x, y).train(40)
    assert fit.curved_edges == 2  # both may bend
    assert fit.used_curves == pytest.approx(1, abs=0.3)  # the sine does
    fit.hold_straight()
    assert fit.train(3).used_curves == 0


def test_an_interaction_gets_hidden_units() -> None:
    x, y, truth = noisy("product")
    found = select_network(x, y, build)
    assert found.hidden == (2,)
    assert error(found.fit.network, x, truth) < 0.2


@pytest.mark.parametrize(("truth", "kept"), [("product", (3,)), ("sum", ())])
def test_the_width_grows_on_while_the_noise_falls(
    truth: str, kept: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search ended at a sum, though the noise of wider networks was far below that of it."""
    monkeypatch.setattr(search, "_WIDTHS", ((), (2,), (2,), (3,)))
    gains = {(): 9.0, (2,): -9.0, (3,): 9.0}
    monkeypatch.setattr(
        search, "_gain", lambda found, best: gains[tuple(found.network.widths[1:-1])]
    )
    x, y, _ = noisy(truth)
    assert select_network(x, y, build, spline_order=3).hidden == kept


def test_given_sizes_are_kept() -> None:
    x, y, _ = noisy("sum", 40)
    found = select_network(x, y, build, hidden=[2], grid_size=4)
    assert found.hidden == (2,)
    assert [layer.grid_size for layer in found.fit.layers] == [4, 4]


@pytest.mark.parametrize(
    ("noise", "given", "order"), [(0.0, None, 5), (0.3, None, 3), (0.0, 3, 3), (0.0, 4, 4)]
)
def test_the_degree_is_raised_where_the_noise_is_negligible(
    noise: float, given: int | None, order: int
) -> None:
    x, y, truth = noisy("sum", noise=noise)
    lines: list[str] = []
    found = select_network(x, y, build, hidden=[], spline_order=given, report=lines.append)
    assert [layer.spline_order for layer in found.fit.layers] == [order]
    assert lines[-1] == f"kept: hidden [], G = 6, degree {order}"
    if noise == 0:
        assert error(found.fit.network, x, truth) < 1e-2


def test_a_width_that_gains_after_refinement_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first width below a noise of 1e-4 ended the search, whether its grid gained or not."""
    monkeypatch.setattr(search, "_FINE", 1.0)  # refine every width
    x, _, truth = noisy("product")
    assert select_network(x, truth, build).hidden == (2,)


@pytest.mark.parametrize(("noise", "margin"), [(0.0, 0.1), (0.3, 0.01)])
def test_grids_reach_beyond_the_data_where_the_noise_is_negligible(
    noise: float, margin: float
) -> None:
    """Hidden units of new rows left the grid; nearly all of the error was there."""
    x, y, _ = noisy("sum", noise=noise)
    (layer,) = select_network(x, y, build, hidden=[], grid_size=6).fit.layers
    low, high = x.amin(0), x.amax(0)
    torch.testing.assert_close(layer.breakpoints[:, -1], high + margin * (high - low))
    torch.testing.assert_close(layer.breakpoints[:, 0], low - margin * (high - low))


def test_the_same_seed_finds_the_same_network() -> None:
    x, y, _ = noisy("sum", 40)
    one, two = (select_network(x, y, build, hidden=[2], grid_size=3, seed=1) for _ in range(2))
    assert torch.equal(one.fit.network(x), two.fit.network(x))
