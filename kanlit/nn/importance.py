"""Importance of each edge of a KAN for the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from kanlit.nn.layer import KANLayer

__all__ = ["edge_deviation", "edge_importance", "grid_samples", "mean_edge_outputs"]

_NUMBERS = 2**20  # edge outputs computed at a time


def edge_importance(layers: Sequence[KANLayer], x: Tensor) -> list[Tensor]:
    r"""Fraction that each edge contributes to the outputs of successive layers.

    .. math::
        I_{qp} = A_q \frac{\sigma_{qp}}{\sum_{p'} \sigma_{qp'}}, \qquad
        A_p = \sum_q I_{qp}

    σ_qp is the standard deviation of the edge's output φ_qp(x_p) over the samples. A is the
    importance of a node: 1 for each output of the last layer, and the sum over its outgoing edges
    for a hidden node. A node passes all its importance to its incoming edges, so the importances
    of each layer sum to the number of outputs and do not depend on the scale of an output. An edge
    with constant output has importance 0, as have all edges into a constant or unused node.

    Args:
        layers: Successive layers; the outputs of each are the inputs of the next.
        x: Inputs of the first layer ``(n, in)``, n at least 2; without data, use
            :func:`grid_samples`.

    Returns:
        I ``(out, in)`` per layer, in float64.

    Raises:
        ValueError: If the layers are not successive or the samples have another shape.

    Source: the attribution scores of Liu et al., KAN 2.0, arXiv 2408.10205. They divide σ_qp by the
    standard deviation of the node's sum, which is unbounded where edges cancel each other.
    """
    for first, second in pairwise(layers):
        if first.out_features != second.in_features:
            raise ValueError(
                f"a layer with {first.out_features} outputs is followed by a layer with "
                f"{second.in_features} inputs"
            )
    if x.ndim != 2 or len(x) < 2 or x.shape[1] != layers[0].in_features:
        raise ValueError(
            f"samples must be (n, {layers[0].in_features}) with n >= 2, got {tuple(x.shape)}"
        )
    deviations = []
    with torch.no_grad():
        for layer in layers:
            x = x.to(layer.knots)
            deviations.append(edge_deviation(layer, x))
            x = layer(x)
    importances: list[Tensor] = []
    node = torch.ones_like(deviations[-1][:, 0])
    for deviation in reversed(deviations):
        total = deviation.sum(1, keepdim=True)
        fraction = torch.where(total > 0, deviation / total, 0.0)
        importances.insert(0, node.unsqueeze(1) * fraction)
        node = importances[0].sum(0)
    return importances


def edge_deviation(layer: KANLayer, x: Tensor) -> Tensor:
    r"""Standard deviation of each edge's output over the samples.

    .. math:: \sigma_{qp}^2 = \mathrm{mean}_j\,(\varphi_{qp}(x_{jp}) - \bar\varphi_{qp})^2

    Args:
        layer: The layer.
        x: Its inputs ``(n, in)``.

    Returns:
        ``(out, in)``, in float64; exactly 0 where all outputs are equal.
    """
    with torch.no_grad():
        # Subtract the output at the first sample: constant outputs then give exactly 0, and large
        # offsets do not cause cancellation.
        offset = layer.edge_functions(x[:1]).double()
        total, squares = torch.zeros_like(offset[0]), torch.zeros_like(offset[0])
        for rows in _portions(layer, x):
            difference = layer.edge_functions(rows).double() - offset
            total += difference.sum(0)
            squares += difference.square().sum(0)
        variance = squares / len(x) - (total / len(x)).square()
    return variance.clamp(min=0).sqrt().T


def mean_edge_outputs(layer: KANLayer, x: Tensor) -> Tensor:
    r"""Mean of each edge's output over samples, :math:`\mathrm{mean}_j\,\varphi_{qp}(x_{jp})`.

    Args:
        layer: The layer.
        x: Its inputs ``(n, in)``.

    Returns:
        ``(out, in)``, in float64.
    """
    with torch.no_grad():
        sums = [layer.edge_functions(rows).double().sum(0) for rows in _portions(layer, x)]
        return torch.stack(sums).sum(0).T / len(x)


def _portions(layer: KANLayer, x: Tensor) -> tuple[Tensor, ...]:
    """Splits the samples so that their edge outputs take bounded memory."""
    return x.split(max(1, _NUMBERS // (layer.in_features * layer.out_features)))


def grid_samples(layer: KANLayer) -> Tensor:
    """1000 samples ``(n, in)``, uniform over the grids of a layer's inputs, always the same."""
    low, high = layer.breakpoints[:, 0].double().cpu(), layer.breakpoints[:, -1].double().cpu()
    generator = torch.Generator().manual_seed(0)
    unit = torch.rand(1000, layer.in_features, generator=generator, dtype=torch.float64)
    return (low + (high - low) * unit).to(layer.knots)
