"""Divides a KAN into several networks that share no node."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanlit.nn.kan import KAN

__all__ = ["separate"]


def separate(network: KAN, inputs: Tensor, owners: Sequence[Tensor]) -> None:
    """Removes the edges between nodes of different networks, in place.

    Masked edges save no compute, see :meth:`KANLayer.retain`.

    Args:
        network: The network to divide.
        inputs: Inputs of each network, bool ``(networks, in)``.
        owners: Network of each output of each layer, integers ``(out,)``.
    """
    edges = inputs[owners[0]]
    for number, (layer, after) in enumerate(zip(network.layers, owners, strict=True)):
        if number:
            edges = after.unsqueeze(1) == owners[number - 1]
        outputs = torch.ones_like(after, dtype=torch.bool)
        layer.retain(outputs, torch.ones_like(edges[0]), edges.to(layer.knots.device))
