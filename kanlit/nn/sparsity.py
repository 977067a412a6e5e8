"""Sparsity penalty of a KAN: magnitudes of its edges and their entropy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanlit.nn.layer import KANLayer

__all__ = ["edge_magnitudes", "sparsity_penalty"]


def edge_magnitudes(layers: Sequence[KANLayer], x: Tensor) -> list[Tensor]:
    r"""Mean absolute output of each edge of successive layers.

    .. math:: |\varphi_{qp}|_1 = \mathrm{mean}_j\,|\varphi_{qp}(x_{jp})|

    Differentiable in the parameters of all layers, including through the inputs of later layers.
    Runs a separate forward pass in plain torch that evaluates every edge; its memory grows with
    n·in·out of each layer.

    Args:
        layers: Successive layers; the outputs of each are the inputs of the next.
        x: Inputs of the first layer ``(n, in)``.

    Returns:
        ``(out, in)`` per layer.

    Source: Liu et al., KAN: Kolmogorov-Arnold Networks, arXiv 2404.19756, section 2.5.
    """
    magnitudes = []
    for layer in layers:
        outputs = layer.edge_functions(x)  # (n, in, out)
        magnitudes.append(outputs.abs().mean(0).T)
        x = outputs.sum(1) + layer.bias
    return magnitudes


def sparsity_penalty(magnitudes: Sequence[Tensor], l1: float, entropy: float) -> Tensor:
    r"""L1 norm and entropy of the edge magnitudes, summed over layers.

    .. math::
        P = \sum_\Phi \big(\mu_1 |\Phi|_1 + \mu_2 S(\Phi)\big), \qquad
        |\Phi|_1 = \sum_{qp} |\varphi_{qp}|_1, \qquad
        S(\Phi) = -\sum_{qp} \frac{|\varphi_{qp}|_1}{|\Phi|_1} \log
            \frac{|\varphi_{qp}|_1}{|\Phi|_1}

    S is 0 if a layer has a single nonzero edge, and log(in·out) if all its edges are equal. An edge
    of magnitude 0 contributes neither value nor gradient.

    Args:
        magnitudes: ``(out, in)`` per layer, see :func:`edge_magnitudes`.
        l1: μ₁.
        entropy: μ₂.

    Returns:
        A scalar.

    Source: Liu et al., arXiv 2404.19756, section 2.5.
    """
    terms = []
    for magnitude in magnitudes:
        alive = magnitude > 0  # the slope of p log p at 0 is infinite
        total = magnitude.sum()
        fraction = torch.where(alive, magnitude / torch.where(total > 0, total, 1), 1)
        terms.append(l1 * total - entropy * (fraction * fraction.log()).sum())
    return torch.stack(terms).sum()
