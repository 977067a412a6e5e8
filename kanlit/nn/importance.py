"""How much each edge of a KAN has to do with its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from kanlit.nn.layer import KANLayer

__all__ = ["edge_deviation", "edge_importance", "grid_samples"]

_NUMBERS = 2**20  # edge outputs worked out at a time


def edge_importance(layers: Sequence[KANLayer], x: Tensor) -> list[Tensor]:
    r"""Share of each edge in the outputs of layers that follow one another.

    .. math::
        I_{qp} = A_q \frac{\sigma_{qp}}{\sum_{p'} \sigma_{qp'}}, \qquad
        A_p = \sum_q I_{qp}

    σ_qp is the standard deviation of the edge's output φ_qp(x_p) over the samples, A the importance
    of a node: 1 for each output of the last layer, and for a hidden node what its outgoing edges
    have together. So a node hands all its importance on to its incoming edges, each layer's sum to
    the number of outputs, and a factor on an output changes nothing. An edge whose output is
    constant has 0, and so have all edges into a node whose value is constant or that nobody uses.

    Args:
        layers: Each takes what the one before it gives.
        x: Inputs of the first layer ``(n, in)``, n at least 2; where there are no data,
            :func:`grid_samples`.

    Returns:
        For each layer I ``(out, in)``, in float64.

    Raises:
        ValueError: Layers that do not follow one another, or samples of another shape.

    Source: the attribution scores of Liu et al., KAN 2.0, arXiv 2408.10205. They divide σ_qp by the
    deviation of the node's sum, which grows without bound where edges cancel out.
    """
    for first, second in pairwise(layers):
        if first.out_features != second.in_features:
            raise ValueError(
                f"a layer of {first.out_features} outputs is followed by one of "
                f"{second.in_features} inputs"
            )
    if x.ndim != 2 or len(x) < 2 or x.shape[1] != layers[0].in_features:
        raise ValueError(
            f"samples must be (n, {layers[0].in_features}), n at least 2, got {tuple(x.shape)}"
        )
    deviations = []
    with torch.no_grad():
        for layer in layers:
            x = x.to(layer.knots)
            deviations.append(edge_deviation(layer, x))
            x = layer(x)
    found: list[Tensor] = []
    node = torch.ones_like(deviations[-1][:, 0])
    for deviation in reversed(deviations):
        total = deviation.sum(1, keepdim=True)
        share = torch.where(total > 0, deviation / total, 0.0)
        found.insert(0, node.unsqueeze(1) * share)
        node = found[0].sum(0)
    return found


def edge_deviation(layer: KANLayer, x: Tensor) -> Tensor:
    r"""Standard deviation of each edge's output over samples.

    .. math:: \sigma_{qp}^2 = \mathrm{mean}_j\,(\varphi_{qp}(x_{jp}) - \bar\varphi_{qp})^2

    Args:
        layer: Whose edges.
        x: Its inputs ``(n, in)``.

    Returns:
        ``(out, in)``, in float64; exactly 0 where all outputs are the same.
    """
    with torch.no_grad():
        # Less the first sample's: what is constant is then 0, and large offsets round nothing off.
        offset = layer.edge_functions(x[:1]).double()
        total, squares = torch.zeros_like(offset[0]), torch.zeros_like(offset[0])
        for rows in x.split(max(1, _NUMBERS // (layer.in_features * layer.out_features))):
            difference = layer.edge_functions(rows).double() - offset
            total += difference.sum(0)
            squares += difference.square().sum(0)
        variance = squares / len(x) - (total / len(x)).square()
    return variance.clamp(min=0).sqrt().T


def grid_samples(layer: KANLayer, count: int = 1000, seed: int = 0) -> Tensor:
    """Samples uniform over the grid of each of the layer's inputs, ``(count, in)``.

    Args:
        layer: The first of a network.
        count: How many.
        seed: Of the samples; the same seed gives the same ones.
    """
    low, high = layer.breakpoints[:, 0].double().cpu(), layer.breakpoints[:, -1].double().cpu()
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(count, layer.in_features, generator=generator, dtype=torch.float64)
    return (low + (high - low) * unit).to(layer.knots)
