"""What makes a KAN sparse: the size of its edges, and how evenly it is spread over them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanlit.nn.layer import KANLayer

__all__ = ["edge_magnitudes", "sparsity_penalty"]


def edge_magnitudes(layers: Sequence[KANLayer], x: Tensor) -> list[Tensor]:
    r"""Mean absolute output of each edge of layers that follow one another.

    .. math:: |\varphi_{qp}|_1 = \mathrm{mean}_j\,|\varphi_{qp}(x_{jp})|

    Differentiable in the parameters of all layers, also through the inputs that the earlier layers
    give the later ones. It goes through the edges one by one in plain torch: a forward pass of
    its own, whose memory grows with n·in·out of each layer.

    Args:
        layers: Each takes what the one before it gives.
        x: Inputs of the first ``(n, in)``.

    Returns:
        For each layer ``(out, in)``.

    Source: Liu et al., KAN: Kolmogorov-Arnold Networks, arXiv 2404.19756, section 2.5.
    """
    found = []
    for layer in layers:
        outputs = layer.edge_functions(x)  # (n, in, out)
        found.append(outputs.abs().mean(0).T)
        x = outputs.sum(1) + layer.bias
    return found


def sparsity_penalty(magnitudes: Sequence[Tensor], l1: float, entropy: float) -> Tensor:
    r"""L1 norm and entropy of the edges, summed over layers.

    .. math::
        P = \sum_\Phi \big(\mu_1 |\Phi|_1 + \mu_2 S(\Phi)\big), \qquad
        |\Phi|_1 = \sum_{qp} |\varphi_{qp}|_1, \qquad
        S(\Phi) = -\sum_{qp} \frac{|\varphi_{qp}|_1}{|\Phi|_1} \log
            \frac{|\varphi_{qp}|_1}{|\Phi|_1}

    S is 0 where one edge of a layer does all and log(in·out) where all do the same. An edge whose
    magnitude is 0 adds nothing, and no gradient comes from it.

    Args:
        magnitudes: Of each layer ``(out, in)``, see :func:`edge_magnitudes`.
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
        share = torch.where(alive, magnitude / torch.where(total > 0, total, 1), 1)
        terms.append(l1 * total - entropy * (share * share.log()).sum())
    return torch.stack(terms).sum()
