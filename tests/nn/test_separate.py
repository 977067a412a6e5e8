"""A KAN divided into networks that share no node."""

from __future__ import annotations

import torch

from kanlit.nn import KAN, Jet, prune, select, separate
from kanlit.nn.importance import edge_importance

OWNERS = [torch.tensor(each) for each in ([0, 0, 0, 1, 1], [0, 1, 1], [0, 1])]


def test_every_network_is_as_if_it_were_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    network = KAN([3, 5, 3, 2], grid_size=4, generator=generator, dtype=torch.float64)
    inputs = torch.tensor([[True, True, True], [True, False, True]])
    alone = [
        KAN(widths, grid_size=4, dtype=torch.float64) for widths in ([3, 3, 1, 1], [2, 2, 2, 1])
    ]
    for number, own in enumerate(alone):
        before = inputs[number]
        for layer, part, owners in zip(network.layers, own.layers, OWNERS, strict=True):
            after = owners == number
            part.knots.copy_(layer.knots[before])
            for name, values in layer.named_parameters():
                kept = values.detach()[after]
                part.get_parameter(name).data.copy_(kept if kept.ndim == 1 else kept[:, before])
            before = after

    separate(network, inputs, OWNERS)

    x = 2 * torch.rand(50, 3, generator=generator, dtype=torch.float64) - 1
    alongs = [(0, 0), (2,)]
    found = network.jet(Jet.variables(x, [*alongs, (1,)]))
    one = alone[0].jet(Jet.variables(x, alongs))
    two = alone[1].jet(Jet.variables(x[:, [0, 2]], [(0, 0), (1,)]))
    for along, other in (((), ()), ((0, 0), (0, 0)), ((2,), (1,))):
        both = torch.cat([one.stream(along), two.stream(other)], 1)
        torch.testing.assert_close(found.stream(along), both)
    assert bool((found.stream((1,))[:, 1] == 0).all())


def test_pruning_removes_nothing_more() -> None:
    network = KAN([3, 5, 3, 2], dtype=torch.float64)
    separate(network, torch.ones(2, 3).bool(), OWNERS)
    x = 2 * torch.rand(50, 3, dtype=torch.float64) - 1
    report = prune(network, x, select(edge_importance(network.layers, x), 0.0, 0.0))
    assert not report.pruned
    assert report.edges == 15 + (3 + 4) + (1 + 2)
