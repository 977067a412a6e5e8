"""Quadratic penalties on the magnitude of the parameters and the roughness of the splines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanlit.nn import KANLayer
from kanlit.optim.jacobian import JacobianColumns

__all__ = ["Penalty", "roughness"]


@torch.no_grad()
def roughness(layer: KANLayer) -> Tensor:
    r"""Gram matrices of the second derivatives of a layer's basis, ``(in, G+k, G+k)``.

    .. math:: R_{pij} = (b_p - a_p)^3 \int_{a_p}^{b_p} B_i''(x)\,B_j''(x)\,dx

    over the grid [a, b] of input p. Then :math:`c^T R c` is the integral of the squared second
    derivative of a spline whose grid is scaled to unit length. Exact for splines on any knots
    (O'Sullivan, Statistical Science 1, 1986).
    """
    breakpoints = layer.breakpoints.double()
    x, weight = layer.exact_basis.quadrature(derivative=2)
    second = layer.exact_basis.values(x.T, 2)
    scale = (breakpoints[:, -1:] - breakpoints[:, :1]) ** 3
    return torch.einsum("nib,nic,in->ibc", second, second, weight * scale)


class Penalty:
    r"""The quadratic form :math:`\theta^T \Lambda \theta` that is added to the loss.

    .. math:: \theta^T \Lambda \theta = \rho \|\theta\|^2
              + \sigma \sum_{qp} s_{qp}^2\, c_{qp}^T R_p\, c_{qp}

    Args:
        ridge: ρ, penalty toward zero.
        smoothness: σ, penalty toward straight lines; see :func:`roughness`.
        columns: The parameters θ.
        layers: The KAN layers with parameters in θ.
    """

    def __init__(
        self, ridge: float, smoothness: float, columns: JacobianColumns, layers: Sequence[KANLayer]
    ) -> None:
        self.ridge = ridge
        self._splines: list[tuple[slice, Tensor]] = []  # columns, (out, in, G+k, G+k)
        if smoothness == 0:
            return
        for layer in layers:
            place = columns.slice_of(layer.coefficients)
            if place is not None:
                scale = smoothness * layer.edge_scale.detach().double().square()
                self._splines.append((place, scale[..., None, None] * roughness(layer)))

    def value(self, theta: Tensor) -> float:
        """θᵀΛθ for θ ``(P,)``."""
        return float(theta @ self.apply(theta))

    def apply(self, theta: Tensor) -> Tensor:
        """Λθ ``(P,)``."""
        result = self.ridge * theta
        for place, form in self._splines:
            coefficients = theta[place].view(form.shape[:3])
            result[place] += torch.einsum("oibc,oic->oib", form, coefficients).flatten()
        return result

    def add_to(self, matrix: Tensor) -> None:
        """Adds Λ to a matrix ``(P, P)``."""
        matrix.diagonal().add_(self.ridge)
        for place, form in self._splines:
            shape = form.shape[:3]
            square = matrix[place, place].unflatten(1, shape).unflatten(0, shape)
            # The diagonal blocks of (out, in, basis, out, in, basis): (basis, basis, out, in).
            same = square.diagonal(dim1=0, dim2=3).diagonal(dim1=0, dim2=2)
            same += form.permute(2, 3, 0, 1)
