"""The Jacobian's rows are the gradients of the residuals, one by one."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, Jet, KANLayer
from kanlit.optim import Residual
from kanlit.optim.jacobian import RowJacobian, trained_columns
from kanlit.optim.recording import recorded

Closure = Callable[[], dict[str, Residual]]
DOUBLE = torch.float64


def points(rows: int, features: int = 2, reach: float = 1.0) -> Tensor:
    return reach * (2 * torch.rand(rows, features, dtype=DOUBLE) - 1)


def network(*widths: int, **settings: Any) -> KAN:
    net = KAN(widths, dtype=DOUBLE, **settings)
    for layer in net.layers:
        nn.init.uniform_(layer.edge_scale, 0.5, 1.5)
        nn.init.normal_(layer.bias)
    return net


def regression() -> tuple[nn.Module, Closure]:
    net, x, y = network(2, 3, 2), points(7), points(7)
    return net, lambda: {"data": Residual(net(x) - y)}


def beyond_the_grid() -> tuple[nn.Module, Closure]:
    net, x = network(2, 3, 1, grid_size=2, spline_order=2), points(9, reach=2.0)
    return net, lambda: {"data": Residual(net(x))}


def fading_outside() -> tuple[nn.Module, Closure]:
    net, x = network(2, 3, 1, outside="zero", spline_order=4), points(9, reach=1.7)
    return net, lambda: {"data": Residual(net(x))}


def equation_and_boundary() -> tuple[nn.Module, Closure]:
    net, x, edge = network(2, 3, 3, 1), points(6), points(4)

    def closure() -> dict[str, Residual]:
        u = net.sweep(x)
        return {
            "pde": Residual(u.second.sum(2) + u.value * u.gradient[:, :, 0] - x[:, :1]),
            "boundary": Residual(net(edge) - 1, 10.0),
        }

    return net, closure


def mixed_derivatives() -> tuple[nn.Module, Closure]:
    net, x = network(3, 3, 2, spline_order=5), points(5, 3)

    def closure() -> dict[str, Residual]:
        u = net.sweep(x, [(0, 1), (2, 2)])
        return {"pde": Residual(u.second[:, :, 0] * u.value + u.second[:, :, 1])}

    return net, closure


def fourth_order() -> tuple[nn.Module, Closure]:
    net, x = network(2, 3, 2, spline_order=5), points(5)

    def closure() -> dict[str, Residual]:
        u = net.jet(Jet.variables(x, [(0, 0, 0, 0), (0, 1, 1)]))
        return {
            "pde": Residual(u.value * u.stream((0, 1, 1)) + u.stream((0, 0, 0, 0))[:, :1]),
            "boundary": Residual(net(x)),
        }

    return net, closure


def between_an_embedding_and_an_ansatz() -> tuple[nn.Module, Closure]:
    net, points_ = network(3, 3, 1, basis="fourier"), points(5)

    def closure() -> dict[str, Residual]:
        z = Jet.variables(points_, [(0, 0, 0), (1,)])
        x, t = z[:, :1], z[:, 1:]
        seen = torch.cat([torch.cos(2 * x), torch.sin(2 * x), t], 1)  # type: ignore[list-item]
        u = t * net.jet(seen) / (1.5 + x)
        return {"pde": Residual(u.stream((0, 0, 0)) + u.stream((1,)) + u.value**2)}

    return net, closure


def slopes_alone() -> tuple[nn.Module, Closure]:
    net, x = network(2, 3, 1), points(5)

    def closure() -> dict[str, Residual]:
        return {"slope": Residual(net.sweep(x, []).gradient.flatten(1) - x)}

    return net, closure


def one_layer_twice_on_the_same_rows() -> tuple[nn.Module, Closure]:
    net, left, right = network(1, 3, 1), points(6, 1), points(6, 1)
    return net, lambda: {"periodic": Residual(net(left) - net(right) ** 2)}


def one_layer_after_itself() -> tuple[nn.Module, Closure]:
    layer, x = network(2, 2).layers[0], points(6)
    return layer, lambda: {"data": Residual(layer(layer(x)))}


def positions_in_a_row() -> tuple[nn.Module, Closure]:
    net = nn.Sequential(network(2, 3, 2), nn.Linear(2, 2, dtype=DOUBLE))
    x = points(5 * 4).view(5, 4, 2)
    return net, lambda: {"mean": Residual(net(x).square().mean(1))}


def with_other_layers() -> tuple[nn.Module, Closure]:
    net = nn.Sequential(
        nn.Linear(2, 3, dtype=DOUBLE),
        nn.Tanh(),
        network(3, 2),
        nn.LayerNorm(2, dtype=DOUBLE),
        nn.Linear(2, 2, bias=False, dtype=DOUBLE),
    )
    x = points(6)
    return net, lambda: {"data": Residual(net(x))}


class Unknown(nn.Module):
    """An equation with two coefficients that are to be found."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network(2, 3, 1)
        self.coefficients = nn.Parameter(torch.tensor([0.3, -0.7], dtype=DOUBLE))


def unknown_coefficients() -> tuple[nn.Module, Closure]:
    module, x = Unknown(), points(6)

    def closure() -> dict[str, Residual]:
        u, (a, b) = module.network.sweep(x), module.coefficients
        return {"pde": Residual(a * u.second[..., 0] + u.second[..., 1] - b.exp() * u.value)}

    return module, closure


def coefficients_in_a_block_of_their_own() -> tuple[nn.Module, Closure]:
    net, x = network(2, 2), points(6)
    (layer,) = net.layers

    def closure() -> dict[str, Residual]:
        own = layer.coefficients.flatten(1).T
        return {"data": Residual(net(x)), "ridge": Residual(own, 0.1)}

    return net, closure


def partly_frozen() -> tuple[nn.Module, Closure]:
    net, closure = equation_and_boundary()
    net.layers[0].coefficients.requires_grad_(False)
    net.layers[1].base_weight.requires_grad_(False)
    net.layers[2].edge_scale.requires_grad_(False)
    # The coefficients of the first layer rest, so its scales do not.
    return net, closure


class Shifted(KANLayer):
    """A subclass that does something before and after."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(0.5 * x).sin()


def subclass() -> tuple[nn.Module, Closure]:
    net, x = nn.Sequential(Shifted(2, 3, dtype=DOUBLE), KANLayer(3, 1, dtype=DOUBLE)), points(6)
    return net, lambda: {"data": Residual(net(x))}


def linear_by_its_function() -> tuple[nn.Module, Closure]:
    linear, net, x = nn.Linear(2, 2, dtype=DOUBLE), network(2, 1), points(4)
    return nn.Sequential(linear, net), lambda: {
        "data": Residual(net(nn.functional.linear(x, linear.weight, bias=linear.bias)))
    }


CASES = [
    regression,
    beyond_the_grid,
    fading_outside,
    equation_and_boundary,
    mixed_derivatives,
    fourth_order,
    between_an_embedding_and_an_ansatz,
    slopes_alone,
    one_layer_twice_on_the_same_rows,
    one_layer_after_itself,
    positions_in_a_row,
    with_other_layers,
    unknown_coefficients,
    coefficients_in_a_block_of_their_own,
    partly_frozen,
    subclass,
    linear_by_its_function,
]


def by_rows(module: nn.Module, closure: Closure, most: int | None = None) -> Tensor:
    held = list(module.parameters())
    with recorded({id(p) for p in held}) as calls:
        blocks = closure()
    jacobian = RowJacobian(blocks, SCALES, calls, trained_columns(calls, held))
    return torch.cat(list(jacobian.chunks(most)))


def by_autograd(module: nn.Module, closure: Closure, columns: list[Tensor]) -> Tensor:
    rows = []
    for name, block in closure().items():
        for component in block.values.T:
            for value in component:
                found = torch.autograd.grad(value, columns, retain_graph=True, allow_unused=True)
                row = [
                    torch.zeros(p.numel(), dtype=DOUBLE) if g is None else g.flatten()
                    for p, g in zip(columns, found, strict=True)
                ]
                rows.append(SCALES[name] * torch.cat([*row, value.detach()[None]]))
    return torch.stack(rows)


SCALES = {"data": 2.0, "pde": 3.0, "boundary": 0.5, "slope": 1.0, "periodic": 1.0, "mean": 1.0}
SCALES["ridge"] = 0.1


def trained(module: nn.Module) -> list[Tensor]:
    """All but the scales of edges whose coefficients are trained."""
    scales = {
        id(m.edge_scale)
        for m in module.modules()
        if isinstance(m, KANLayer) and m.coefficients.requires_grad
    }
    return [p for p in module.parameters() if p.requires_grad and id(p) not in scales]


@pytest.mark.parametrize("case", CASES)
def test_rows_are_the_gradients_of_the_residuals(case: Callable[[], Any]) -> None:
    module, closure = case()
    expected = by_autograd(module, closure, trained(module))
    got = by_rows(module, closure)
    assert got.dtype == DOUBLE
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    assert expected[:, :-1].abs().max() > 0.1


@pytest.mark.parametrize("most", [1, 4, 1000])
def test_rows_do_not_depend_on_how_many_are_made_at_a_time(most: int) -> None:
    module, closure = equation_and_boundary()
    torch.testing.assert_close(
        by_rows(module, closure, most), by_rows(module, closure), rtol=0, atol=0
    )


def test_rows_are_float64_and_right_to_float32_where_the_network_is() -> None:
    module, closure = regression()
    expected = by_rows(module, closure)
    x, y = (cell.cell_contents for cell in closure.__closure__[1:])  # type: ignore[index]
    module.float()
    got = by_rows(module, lambda: {"data": Residual(module(x.float()) - y.float())})
    assert got.dtype == DOUBLE
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_other_residuals_are_put_in_the_order_of_the_rows() -> None:
    net, x = network(2, 3, 2), points(2500)
    held = list(net.parameters())
    with recorded({id(p) for p in held}) as calls:
        blocks = {"data": Residual(net(x)), "pde": Residual(net(x[:5]))}
    jacobian = RowJacobian(blocks, SCALES, calls, trained_columns(calls, held))
    last = torch.cat([chunk[:, -1].clone() for chunk in jacobian.chunks()])
    own = {name: block.values.detach() for name, block in blocks.items()}
    assert torch.equal(jacobian.ordered(own), last)
    assert jacobian.rows == len(last) == 5010


def test_rows_made_ahead_stay_within_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    net, panels = network(2, 6, 1), 5
    held, x = list(net.parameters()), points(panels * 1024)
    with recorded({id(p) for p in held}) as calls:
        blocks = {"data": Residual(net(x))}
    columns = trained_columns(calls, held)
    panel = 2 * 8 * 1024 * (columns.count + 1)
    made: list[slice] = []
    features = type(calls[0]).features

    def counted(self: object, rows: slice) -> object:
        made.append(rows)
        return features(self, rows)

    monkeypatch.setattr(type(calls[0]), "features", counted)
    ahead = []
    monkeypatch.setattr("kanlit.optim.jacobian.thread_count", lambda: 2)
    monkeypatch.setattr("kanlit.kernel.threads.thread_count", lambda: 2)
    for memory in (0, panel, 2.5 * panel, 100 * panel):
        chunks = RowJacobian(blocks, SCALES, calls, columns, memory).chunks()
        made.clear()
        next(chunks)
        ahead.append(len(made) // len(calls))
        assert sum(len(chunk) for chunk in chunks) == 4 * 1024
    assert ahead == [1, 1, 2, 4]


def test_recording_leaves_values_methods_and_parameters_as_they_were() -> None:
    module, closure = with_other_layers()
    methods = KANLayer.forward, KANLayer.sweep, nn.Linear.forward
    expected = closure()["data"].values
    with recorded({id(p) for p in module.parameters()}) as calls:
        assert (KANLayer.forward, KANLayer.sweep, nn.Linear.forward) == methods
        assert torch.equal(closure()["data"].values, expected)
    assert [type(call.layer).__name__ for call in calls] == ["Linear", "KANLayer", "Linear"]
    with (
        pytest.raises(RuntimeError, match="shapes"),
        recorded({id(p) for p in module.parameters()}),
    ):
        module[0](points(2, 5))
    assert (KANLayer.forward, KANLayer.sweep, nn.Linear.forward) == methods
    assert all(p.requires_grad for p in module.parameters())


def test_calls_of_this_thread_alone_are_recorded() -> None:
    module, closure = linear_by_its_function()
    with recorded({id(p) for p in module.parameters()}) as calls:
        closure()
        thread = Thread(target=closure)
        thread.start()
        thread.join()
    assert [type(call.layer).__name__ for call in calls] == ["Linear", "KANLayer"]


def test_layers_without_a_parameter_of_the_optimiser_are_not_recorded() -> None:
    net, other, x = network(2, 3), network(2, 3), points(4)
    with recorded({id(p) for p in net.parameters()}) as calls:
        net(x), other(x)
        with torch.no_grad():
            net(x)
    assert [call.layer for call in calls] == list(net.layers)


def test_another_number_of_rows_is_refused_with_the_cure() -> None:
    net, x = network(2, 1), points(6)
    held = list(net.parameters())
    with recorded({id(p) for p in held}) as calls:
        left, right = net(x).chunk(2)
    with pytest.raises(
        ConfigurationError,
        match=r"'data' have 3 rows, but they depend on KANLayer\(2.* on 6: call",
    ):
        RowJacobian({"data": Residual(left - right)}, SCALES, calls, trained_columns(calls, held))
