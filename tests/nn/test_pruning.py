"""Pruning takes out what the outputs do not depend on; what is left gives what it gave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kanlit.errors import ConfigurationError
from kanlit.nn import KAN, KANLayer, Kept, check_prunable, edge_importance, prune, select
from kanlit.nn.importance import mean_edge_outputs


def make_net(widths: tuple[int, ...] = (2, 4, 3, 1), seed: int = 0) -> KAN:
    generator = torch.Generator().manual_seed(seed)
    network = KAN(widths, grid_size=4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.5 * noise)
    return network


def kill(layer: KANLayer, outputs: int | slice, inputs: int | slice) -> None:
    with torch.no_grad():
        layer.coefficients[outputs, inputs] = 0.0
        layer.base_weight[outputs, inputs] = 0.0


def samples(count: int = 60, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1


def unimportant(network: KAN, nodes: float = 0.0, edges: float = 0.0) -> tuple[Kept, ...]:
    return select(edge_importance(network.layers, samples()), nodes, edges)


# -- what it does to the function ---------------------------------------------------------------


@pytest.mark.parametrize("path", ["narrow", "wide", "kernel"])
def test_a_node_whose_outgoing_edges_are_zero_leaves_no_trace(
    path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    network, x = make_net(), samples()
    kill(network.layers[1], slice(None), 2)
    before = network(x).detach()

    report = prune(network, x, unimportant(network))

    assert network.widths == [2, 3, 3, 1] == list(report.widths)
    # A sum of fewer terms may round another way; to all else the network is the same.
    torch.testing.assert_close(network(x), before, rtol=1e-14, atol=1e-14)


def test_edges_of_constant_output_go_into_the_bias() -> None:
    network, x = make_net(), samples()
    first, second, _ = network.layers
    kill(first, 1, slice(None))  # what this node gives is its bias, whatever comes in
    with torch.no_grad():  # a constant: splines of equal coefficients
        second.coefficients[0, 0] = 0.7
        second.base_weight[0, 0] = 0.0
    before = network(x).detach()

    report = prune(network, x, unimportant(network))

    assert network.widths == [2, 3, 3, 1]
    assert (report.edges_before, report.edges) == (8 + 12 + 3, 6 + 8 + 3)
    torch.testing.assert_close(network(x), before)


def test_a_pruned_edge_costs_no_more_than_its_deviation() -> None:
    network, x = make_net((2, 1)), samples()
    (layer,) = network.layers
    before, deviation = network(x).detach(), layer.edge_functions(x)[:, 1, 0].std(correction=0)
    edges = torch.tensor([[True, False]])

    prune(network, x, [Kept(torch.tensor([True]), torch.tensor([True, True]), edges)])

    torch.testing.assert_close((network(x) - before).square().mean().sqrt(), deviation)


def test_sweep_and_edge_functions_know_of_edges_put_out() -> None:
    network, x = make_net(), samples()
    report = prune(network, x, unimportant(network, 0.0, 0.3))
    assert any(layer.edge_mask is not None for layer in network.layers)
    layer = network.layers[0]

    value, gradient, _ = network.sweep(x)
    inputs = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(network(inputs).sum(), inputs)

    assert report.edges < report.edges_before
    torch.testing.assert_close(value, network(x))
    torch.testing.assert_close(gradient[:, 0], expected)
    torch.testing.assert_close(layer.edge_functions(x).sum(1) + layer.bias, layer(x))


# -- edges that are held at zero ----------------------------------------------------------------


@pytest.mark.parametrize("path", ["narrow", "wide", "kernel"])
def test_no_gradient_reaches_an_edge_that_is_put_out(
    path: str, force_path: Callable[[str], None]
) -> None:
    force_path(path)
    network, x = make_net(), samples()
    prune(network, x, unimportant(network, 0.0, 0.3))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (network(x) - 1).square().mean().backward()
        optimizer.step()

    for layer in network.layers:
        mask = torch.ones_like(layer.base_weight).bool()
        mask = mask if layer.edge_mask is None else layer.edge_mask
        for parameter in (layer.coefficients, layer.base_weight, layer.edge_scale):
            assert parameter.grad is not None
            assert not parameter.grad[~mask].any()
            assert not parameter[~mask].any()
            assert parameter[mask].any()


def test_what_was_put_out_stays_out_in_the_next_pruning() -> None:
    network, x = make_net(), samples()
    prune(network, x, unimportant(network, 0.0, 0.2))
    before, left = network(x).detach(), sum(mean.count_nonzero() for mean in means_of(network, x))

    report = prune(network, x, unimportant(network))

    assert not report.pruned
    assert report.edges == report.edges_before == left
    assert torch.equal(network(x), before)


def means_of(network: KAN, x: Tensor) -> list[Tensor]:
    found = []
    for layer in network.layers:
        found.append(mean_edge_outputs(layer, x))
        x = layer(x)
    return found


def test_mean_edge_outputs_are_the_means() -> None:
    (layer,) = make_net((2, 3)).layers
    expected = layer.edge_functions(samples()).mean(0).T
    torch.testing.assert_close(mean_edge_outputs(layer, samples()), expected.detach())


# -- which go -----------------------------------------------------------------------------------


def test_the_least_important_go_first() -> None:
    importance = [torch.tensor([[0.5], [0.3], [0.2]]), torch.tensor([[0.5, 0.3, 0.2]])]
    for threshold, left in ((0.0, 3), (0.39, 3), (0.41, 2), (0.61, 1), (0.99, 1)):
        first, second = select(importance, threshold, 0.0)
        assert first.outputs.tolist() == [number < left for number in range(3)]
        assert torch.equal(second.inputs, first.outputs)
    _, second = select(importance, 0.0, 0.5)
    assert second.edges.tolist() == [[True, True, False]]


def test_nodes_without_a_way_in_or_out_go_with_their_edges() -> None:
    one, none = 1.0, 0.0
    chain = [
        torch.tensor([[one], [one], [none]]),  # node 2 has no way in
        torch.tensor([[one, none, one], [none, none, one], [none, one, none]]),
        torch.tensor([[one, one, none]]),  # node 2 has no way out, and so has node 1 before it
    ]
    first, second, third = select(chain, 0.0, 0.0)
    assert first.outputs.tolist() == [True, False, False]
    assert second.outputs.tolist() == [True, False, False]  # node 1 was reached by node 2 only
    assert third.edges.tolist() == [[True, False, False]]


def test_inputs_and_outputs_stay_and_an_unused_input_is_named() -> None:
    network, x = make_net((2, 3, 2)), samples()
    kill(network.layers[0], slice(None), 1)
    kill(network.layers[1], 0, slice(None))

    report = prune(network, x, unimportant(network))

    assert network.widths == [2, 3, 2]
    assert report.unused_inputs == (1,)
    assert network(x).shape == (60, 2)


# -- objects and states -------------------------------------------------------------------------


def test_parameters_stay_the_objects_that_an_optimizer_holds() -> None:
    network, x = make_net(), samples()
    network.layers[0].base_weight.requires_grad_(False)
    before = list(network.parameters())
    prune(network, x, unimportant(network, 0.3, 0.2))

    assert sum(network.widths) < 10
    assert all(a is b for a, b in zip(before, network.parameters(), strict=True))
    assert [p.requires_grad for p in before] == [p is not before[1] for p in before]


def test_a_pruned_state_goes_into_the_network_that_was_built_and_back() -> None:
    source, x = make_net(), samples()
    whole = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    full = source(x).detach()
    prune(source, x, unimportant(source, 0.3, 0.3))
    assert any("edge_mask" in name for name in source.state_dict())

    network = make_net(seed=5)
    network.load_state_dict(source.state_dict())
    assert network.widths == source.widths < [2, 4, 3, 1]
    assert torch.equal(network(x), source(x))
    (network(x)).sum().backward()

    network.load_state_dict(whole)
    assert network.widths == [2, 4, 3, 1]
    assert torch.equal(network(x), full)
    assert not any("edge_mask" in name for name in network.state_dict())


def test_other_inputs_outputs_or_more_nodes_than_were_built_raise_torchs_usual_error() -> None:
    network, x = make_net(), samples()
    before = network(x).detach()
    for widths in ((3, 4, 3, 1), (2, 4, 3, 2), (2, 5, 3, 1)):
        with pytest.raises(RuntimeError, match="size mismatch"):
            network.load_state_dict(make_net(widths).state_dict())
        network.load_state_dict(make_net().state_dict())
        assert torch.equal(network(x), before)


def test_a_pruning_that_hurts_is_undone_whole() -> None:
    network, x = make_net(), samples()
    target = network(x).detach()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def loss() -> Tensor:
        return (network(x) - target).square().mean() + 1e-9

    for most in (10.0, 1.5):
        with pytest.raises(ValueError, match=f"the loss grew from 1.00e-09 to .* than {most:g} ti"):
            prune(network, x, unimportant(network, 0.3, 0.3), loss=loss, max_loss_growth=most)
        assert list(network.state_dict()) == list(before)
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, before[name])
        assert torch.equal(network(x), target)
    report = prune(network, x, unimportant(network, 0.3, 0.3), loss=loss)
    assert report.loss == float(loss().detach())
    assert report.loss_before == pytest.approx(1e-9)


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["node_threshold", "edge_threshold"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_a_threshold_out_of_its_range_is_refused(name: str, value: float) -> None:
    thresholds = {"node_threshold": 0.0, "edge_threshold": 0.0, name: value}
    with pytest.raises(ConfigurationError, match=f"{name} must be at least 0 and below 1"):
        select([torch.ones(1, 1)], **thresholds)


def test_a_layer_in_which_nothing_would_be_left_is_refused() -> None:
    importance = [torch.tensor([[1.0], [0.4]]), torch.tensor([[0.4, 1.0]])]
    with pytest.raises(ConfigurationError, match="no node would be left in hidden layer 1"):
        select(importance, 0.0, 0.5)
    with pytest.raises(ConfigurationError, match="no node would be left in hidden layer 1"):
        select([torch.zeros(2, 1), torch.zeros(1, 2)], 0.0, 0.0)


def test_importances_of_a_diverged_network_are_refused() -> None:
    with pytest.raises(ValueError, match="diverged"):
        select([torch.tensor([[float("nan")]])], 0.0, 0.0)


def test_networks_that_are_no_chain_of_kan_layers_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="Linear contains no KANLayer, so there is nothing"
    ):
        check_prunable(nn.Linear(2, 1))
    with pytest.raises(
        ConfigurationError, match=r"Sequential is not a kanlit.nn.KAN: pruning needs"
    ):
        check_prunable(nn.Sequential(KANLayer(2, 3), nn.Tanh(), KANLayer(3, 1)))


def test_masks_that_do_not_fit_a_layer_are_refused() -> None:
    layer = KANLayer(2, 3)
    yes = torch.ones(3, 2).bool()
    for outputs, inputs in ((yes[0], yes[0]), (~yes[:, 0], yes[0])):
        with pytest.raises(ValueError, match="do not fit a layer with 2 inputs and 3 outputs"):
            layer.retain(outputs, inputs, yes)
