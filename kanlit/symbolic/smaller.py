"""Smaller networks on the samples of a network that has more nodes than its formula needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.selection import SmoothNetwork, select_network, too_large

__all__ = ["SMALLER", "smaller_networks"]

_WIDTHS: tuple[tuple[int, ...], ...] = ((), (1,), (2,))
SMALLER = len(_WIDTHS)
"""Largest number of smaller networks."""

_GRID_SIZE = 8
_SEED = 0


def smaller_networks(widths: Sequence[int], x: Tensor, y: Tensor) -> Iterator[SmoothNetwork]:
    r"""Fits networks of no, one and two hidden nodes, as far as these are fewer.

    A network of five nodes can represent :math:`\exp(\sin \pi x + y^2)` by edges of which none is
    a known function; a network of one node cannot.

    Args:
        widths: Those of the network.
        x: Standardized inputs ``(n, in)``, float64.
        y: A standardized target ``(n, 1)``, float64.
    """
    hidden = widths[1:-1]
    for own in _WIDTHS:
        if len(own) > len(hidden) or (len(own) == len(hidden) and own >= tuple(hidden)):
            return

        def build(hidden: Sequence[int], grid_size: int, generator: torch.Generator) -> KAN:
            return KAN(
                [x.shape[1], *hidden, 1],
                grid_size=grid_size,
                generator=generator,
                dtype=torch.float64,
            )

        parameters = sum(p.numel() for p in build(own, _GRID_SIZE, torch.Generator()).parameters())
        if too_large(len(x), x.shape[1], parameters):
            return
        yield select_network(x, y, build, own, _GRID_SIZE, _SEED).fit
