r"""Initialization of a KAN layer; all layers draw from one generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from kanlit.nn.layer import KANLayer

__all__ = ["Initialization", "glorot_fine_", "plain_"]

Initialization = Literal["glorot_fine", "plain"]


@torch.no_grad()
def glorot_fine_(layer: KANLayer, generator: torch.Generator | None = None) -> None:
    r"""Initialization of arXiv 2601.18672: scales each basis function by its size and slope.

    .. math::
        c_{qpi} &\sim N\Big(0, \frac{\sigma^2}{(G+k+1)(n_{in}\mu^0_i + n_{out}\mu^1_i)}\Big) \\
        r_{qp} &\sim N\Big(0, \frac{2\sigma^2}
                 {(G+k+1)(n_{in} E[\mathrm{silu}^2] + n_{out} E[\mathrm{silu}'^2])}\Big)

    with x uniform over the grid, :math:`\sigma` = std(x), :math:`\mu^0_i = E[B_i(x)^2]` and
    :math:`\mu^1_i = E[B_i'(x)^2]`. Edge scales start at 1, biases at 0.
    """
    # All features start on the same grid, so that the first has the values of all.
    basis = layer.basis_on(layer.knots[:1])
    low, high = basis.breakpoints[:, :1], basis.breakpoints[:, -1:]
    # Midpoint rule on a fine grid; the integrands are piecewise smooth.
    cells = 4096
    middle = (torch.arange(cells, dtype=torch.float64, device=low.device) + 0.5) / cells
    x = torch.lerp(low, high, middle).T
    value = basis.values(x, 0).square().mean(0)
    slope = basis.values(x, 1).square().mean(0)
    sigmoid = torch.sigmoid(x)
    silu = F.silu(x).square().mean(0)
    silu_slope = (sigmoid * (1 + x * (1 - sigmoid))).square().mean(0)
    variance = x.var(0, correction=0)
    terms = basis.count + 1
    n_in, n_out = layer.in_features, layer.out_features
    spline_std = (variance.unsqueeze(1) / (terms * (n_in * value + n_out * slope))).sqrt()
    base_std = (2 * variance / (terms * (n_in * silu + n_out * silu_slope))).sqrt()
    layer.coefficients.normal_(generator=generator).mul_(spline_std)
    layer.base_weight.normal_(generator=generator).mul_(base_std)
    layer.edge_scale.fill_(1.0)
    layer.bias.zero_()


@torch.no_grad()
def plain_(layer: KANLayer, generator: torch.Generator | None = None) -> None:
    r"""Small normal coefficients and uniform base weights, each scaled by the fan-in.

    .. math:: c_{qpi} \sim N(0, 0.1^2 / n_{in}), \qquad
              r_{qp} \sim U(-1, 1) / \sqrt{n_{in}}
    """
    scale = layer.in_features**-0.5
    layer.coefficients.normal_(0.0, 0.1 * scale, generator=generator)
    layer.base_weight.uniform_(-scale, scale, generator=generator)
    layer.edge_scale.fill_(1.0)
    layer.bias.zero_()
