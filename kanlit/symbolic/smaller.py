"""Smaller networks on the samples of a network that has more nodes than its formula needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.selection import SmoothNetwork, select_network, too_large

__all__ = ["SMALLER", "smaller_networks"]

_WIDTHS: tuple[tuple[int, ...], ...] = ((), (1,), (2,))
SMALLER = len(_WIDTHS)
"""Largest number of smaller networks."""

_GRID_SIZE, _ORDER = 8, 3
_STEPS = 40
_CLEAN = 1e-4  # variance of the noise above which random starts are tried, too


def smaller_networks(widths: Sequence[int], x: Tensor, y: Tensor) -> Iterator[SmoothNetwork]:
    r"""Fits networks of no, one and two hidden nodes, as far as these are fewer.

    A network of five nodes can represent :math:`\exp(\sin \pi x + y^2)` by edges of which none is
    a known function; a network of one node cannot. That of one node starts at the sum of functions,
    and if its error remains, at random as the others.

    Args:
        widths: Those of the network.
        x: Standardized inputs ``(n, in)``, float64.
        y: A standardized target ``(n, 1)``, float64.
    """
    hidden = widths[1:-1]
    sums: KAN | None = None
    for own in _WIDTHS:
        if len(own) > len(hidden) or (len(own) == len(hidden) and own >= tuple(hidden)):
            return
        if too_large(len(x), x.shape[1], len(own or [1]) * (x.shape[1] + 1) * (_GRID_SIZE + 6)):
            return
        if sums is None:
            sums = KAN([x.shape[1], 1], grid_size=_GRID_SIZE, dtype=torch.float64)
            yield SmoothNetwork(sums, x, y).train(_STEPS)
            continue
        fits = [SmoothNetwork(_around(sums), x, y).train(_STEPS)] if own == (1,) else []
        if not fits or fits[0].noise > _CLEAN:
            build = partial(_built, x.shape[1])
            fits.append(select_network(x, y, build, own, _GRID_SIZE, _ORDER).fit)
        yield max(fits, key=lambda fit: fit.evidence)


def _built(
    inputs: int,
    hidden: Sequence[int],
    grid_size: int,
    spline_order: int,
    generator: torch.Generator | None = None,
) -> KAN:
    return KAN(
        [inputs, *hidden, 1],
        grid_size=grid_size,
        spline_order=spline_order,
        generator=generator,
        dtype=torch.float64,
    )


@torch.no_grad()
def _around(sums: KAN) -> KAN:
    """A network of one hidden node that computes the same as a network without one."""
    network = _built(sums.widths[0], [1], _GRID_SIZE, _ORDER)
    inner, outer = network.layers
    inner.load_state_dict(sums.layers[0].state_dict())
    outer.base_weight.zero_()
    outer.edge_scale.fill_(1.0)
    # A spline whose coefficients are the means of its inner knots is the identity.
    outer.coefficients[:] = outer.knots.unfold(1, _ORDER, 1)[:, 1:-1].mean(-1)
    outer.bias.zero_()
    return network
