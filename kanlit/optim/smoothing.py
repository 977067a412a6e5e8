r"""Penalties whose strengths are chosen by the data.

Each edge φ has two penalties: the integral of φ''², which makes it straight, and the integral of
φ², which makes it vanish. Their strengths maximize the marginal likelihood of the data under the
Gaussian prior that the penalties describe, with the network linearized at the current parameters
(REML, by the generalized Fellner-Schall iteration).

Source: Wood and Fasiolo, Biometrics 73 (2017), 1071-1081; for penalties that let a term vanish,
Marra and Wood, Computational Statistics and Data Analysis 55 (2011), 2372-2387.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from kanlit.nn import KANLayer
from kanlit.nn.elementary import silu_derivatives
from kanlit.optim.jacobian import JacobianColumns

__all__ = ["EdgePenalties", "SmoothFit", "edge_forms"]

_LEAST = 1e-30  # strength
_MOST = 1e12  # entry of a penalty relative to the ridge, so that Λ can be factorized
_FACTOR = 10.0  # largest change of a strength per update
_JITTER = 1e-12


@torch.no_grad()
def edge_forms(layer: KANLayer) -> Tensor:
    r"""Matrices of the two penalties of an edge by its coefficients and base weight.

    .. math:: c^T S^{(1)}_p c = (b_p - a_p)^3 \int_{a_p}^{b_p} \varphi''(x)^2\,dx, \qquad
              c^T S^{(2)}_p c = \frac{1}{b_p - a_p} \int_{a_p}^{b_p} \varphi(x)^2\,dx

    over the grid [a, b] of input p, with c the coefficients times the edge scale, and the base
    weight in the last place. In the second form the base weight is penalized separately, which
    keeps the matrix well-conditioned.

    Returns:
        ``(2, in, m, m)`` with m = G + k + 1, float64.
    """
    breakpoints = layer.breakpoints.double()
    length = breakpoints[:, -1] - breakpoints[:, 0]
    basis = layer.exact_basis
    forms = []
    for derivative, power in ((2, 3), (0, -1)):
        x, weight = basis.quadrature(derivative=derivative)  # (in, n)
        silu = silu_derivatives(x, 2)[derivative]
        values = torch.cat([basis.values(x.T, derivative), silu.T.unsqueeze(-1)], -1)
        weight = weight * length.unsqueeze(1) ** power
        forms.append(torch.einsum("nib,nic,in->ibc", values, values, weight))
    forms[1][:, -1, :-1] = forms[1][:, :-1, -1] = 0
    return torch.stack(forms)


_KNOWN: WeakKeyDictionary[KANLayer, tuple[Tensor, Tensor]] = WeakKeyDictionary()


def _forms_of(layer: KANLayer) -> Tensor:
    """:func:`edge_forms`, computed again only if the knots have moved."""
    knots, forms = _KNOWN.get(layer, (None, None))
    if forms is None or knots is None or not torch.equal(knots, layer.knots):
        forms = edge_forms(layer)
        _KNOWN[layer] = layer.knots.clone(), forms
    return forms


@dataclass(frozen=True)
class _Layer:
    """The penalties of one layer.

    Attributes:
        index: Places in θ of the coefficients and the base weight of each edge ``(out, in, m)``.
        scale: Edge scale for the coefficients, 1 for the base weight ``(out, in, m)``.
        forms: From :func:`edge_forms`.
        strengths: ``(2, out, in)``; infinite ones and zeros stay.
        ridge: ρ.
    """

    index: Tensor
    scale: Tensor
    forms: Tensor
    strengths: Tensor
    ridge: float

    @cached_property
    def _most(self) -> Tensor:
        """Largest strengths with which Λ can be factorized ``(2, 1, in)``."""
        return _MOST * self.ridge / self.forms.diagonal(dim1=-2, dim2=-1).amax(-1).unsqueeze(1)

    @cached_property
    def matrices(self) -> Tensor:
        """Λ of each edge without the ridge ``(out, in, m, m)``."""
        strengths = torch.minimum(self.strengths, self._most)
        form = torch.einsum("joi,jibc->oibc", strengths, self.forms)
        return form * self.scale.unsqueeze(-1) * self.scale.unsqueeze(-2)

    @cached_property
    def _factor(self) -> Tensor:
        """Cholesky factor of Λ of each edge ``(out, in, m, m)``."""
        matrices = self.matrices.clone()
        matrices.diagonal(dim1=-2, dim2=-1).add_(self.ridge)
        return torch.linalg.cholesky_ex(matrices).L

    def values(self, theta: Tensor) -> Tensor:
        """Both forms of each edge at θ ``(2, out, in)``."""
        own = theta[self.index] * self.scale
        return torch.einsum("jibc,oib,oic->joi", self.forms, own, own)

    def prior_traces(self) -> Tensor:
        """Traces of Λ⁻¹S for both forms ``(2, out, in)``."""
        return self._traces(torch.cholesky_inverse(self._factor))

    def posterior_traces(self, inverse: Tensor) -> Tensor:
        """Traces of H⁻¹S for both forms ``(2, out, in)``, with H⁻¹ ``(P, P)``."""
        return self._traces(inverse[self.index.unsqueeze(-1), self.index.unsqueeze(-2)])

    def _traces(self, inverse: Tensor) -> Tensor:
        own = inverse * self.scale.unsqueeze(-1) * self.scale.unsqueeze(-2)
        return torch.einsum("oibc,jicb->joi", own, self.forms)

    def log_determinant(self) -> float:
        """log det Λ over all edges."""
        return 2 * float(self._factor.diagonal(dim1=-2, dim2=-1).log().sum())

    def moved(self, factors: Tensor) -> _Layer:
        """The layer with strengths times factors ``(2, out, in)``, within numerical limits."""
        strengths = torch.minimum(self.strengths * factors, self._most).clamp(min=_LEAST)
        held = self.strengths.isinf() | (self.strengths == 0)
        return replace(self, strengths=torch.where(held, self.strengths, strengths))


@dataclass(frozen=True)
class SmoothFit:
    r"""What an update of the strengths found.

    Attributes:
        noise: Estimated variance of the noise, :math:`\sigma^2 = \|r\|^2 / (N - \mathrm{edf})`.
        freedom: Effective degrees of freedom, :math:`\mathrm{tr}((J^T J + \Lambda)^{-1} J^T J)`.
        evidence: Log marginal likelihood of the data by Laplace's method.
        covariance: Covariance of θ given the data, likewise ``(P, P)``.
        curved: Number of edges that the data bend: the sum over edges of the degrees of freedom
            that the first penalty leaves, at most 1 of each.
    """

    noise: float
    freedom: float
    evidence: float
    covariance: Tensor
    curved: float


class EdgePenalties:
    r"""The quadratic form :math:`\theta^T \Lambda \theta` with two strengths per edge.

    .. math:: \theta^T \Lambda \theta = \sum_{\text{edges}} \big(\lambda_1\, c^T S^{(1)} c
              + \lambda_2\, c^T S^{(2)} c\big) + \rho \|\theta\|^2

    Args:
        columns: The parameters θ.
        layers: The KAN layers with parameters in θ.
        strengths: λ of each layer ``(2, out, in)``, float64.
        ridge: ρ, which keeps the scale of hidden units, free otherwise, near 1.
    """

    def __init__(
        self,
        columns: JacobianColumns,
        layers: Sequence[KANLayer],
        strengths: Sequence[Tensor],
        ridge: float,
    ) -> None:
        self.ridge = ridge
        self._layers = [
            _of_layer(layer, columns, own, ridge)
            for layer, own in zip(layers, strengths, strict=True)
        ]
        self._count = columns.count

    @property
    def strengths(self) -> list[Tensor]:
        """λ of each layer ``(2, out, in)``."""
        return [layer.strengths for layer in self._layers]

    def value(self, theta: Tensor) -> float:
        """θᵀΛθ for θ ``(P,)``."""
        return float(theta @ self.apply(theta))

    def apply(self, theta: Tensor) -> Tensor:
        """Λθ ``(P,)``."""
        result = self.ridge * theta
        for layer in self._layers:
            own = torch.einsum("oibc,oic->oib", layer.matrices, theta[layer.index])
            result[layer.index] += own
        return result

    def add_to(self, matrix: Tensor) -> None:
        """Adds Λ to a matrix ``(P, P)``."""
        matrix.diagonal().add_(self.ridge)
        for layer in self._layers:
            index = layer.index
            matrix[index.unsqueeze(-1), index.unsqueeze(-2)] += layer.matrices

    def update(
        self, gram: Tensor, theta: Tensor, loss: float, count: int, moves: bool = True
    ) -> SmoothFit:
        r"""Moves the strengths by one Fellner-Schall step.

        Edges that are held straight share the strength toward zero, as in ridge regression.

        .. math:: \lambda_j \leftarrow \lambda_j \frac{\sigma^2}{N}\,
                  \frac{\mathrm{tr}(\Lambda^{-1} S_j) - \mathrm{tr}((J^T J + \Lambda)^{-1} S_j)}
                       {\theta^T S_j \theta}

        Args:
            gram: JᵀJ ``(P, P)`` of the residuals divided by √N.
            theta: θ ``(P,)``.
            loss: Mean of the N squared residuals.
            count: N.
            moves: Whether to change the strengths.
        """
        matrix = gram.clone()
        self.add_to(matrix)
        shrink = matrix.diagonal().clamp(min=1e-300).rsqrt()
        scaled = matrix * shrink * shrink.unsqueeze(1)
        factor, failed = torch.linalg.cholesky_ex(scaled)
        if int(failed) != 0:  # rounding has made it indefinite
            scaled.diagonal().add_(_JITTER)
            factor, failed = torch.linalg.cholesky_ex(scaled)
        if int(failed) != 0:
            nan = math.nan
            return SmoothFit(nan, nan, -math.inf, torch.full_like(matrix, nan), nan)
        inverse = torch.cholesky_inverse(factor) * shrink * shrink.unsqueeze(1)
        freedom = float((inverse * gram).sum())
        noise = loss * count / max(count - freedom, 0.05 * count)
        log_ratio = 2 * float(factor.diagonal().log().sum() - shrink.log().sum())
        log_ratio -= sum(layer.log_determinant() for layer in self._layers)
        others = self._count - sum(layer.index.numel() for layer in self._layers)
        log_ratio -= others * math.log(max(self.ridge, 1e-300))
        noise_floor = max(noise, 1e-300)
        fit = count * (loss + self.value(theta)) / noise_floor
        evidence = -0.5 * (count * math.log(2 * math.pi * noise_floor) + fit + log_ratio)
        curved = 0.0
        for i, layer in enumerate(self._layers):
            gain = layer.prior_traces() - layer.posterior_traces(inverse)
            held = layer.strengths[0].isinf()
            left = (layer.strengths[0] * gain[0]).masked_fill(held, 0.0)
            curved += float(left.clamp(0.0, 1.0).sum())
            if moves:
                size = layer.values(theta)
                if bool(held.any()):
                    gain[1][held], size[1][held] = gain[1][held].mean(), size[1][held].mean()
                factors = noise / count * gain.clamp(min=1e-300) / size.clamp(min=1e-300)
                self._layers[i] = layer.moved(factors.clamp(1 / _FACTOR, _FACTOR))
        return SmoothFit(noise, freedom, evidence, noise / count * inverse, curved)


def _of_layer(layer: KANLayer, columns: JacobianColumns, strengths: Tensor, ridge: float) -> _Layer:
    places = torch.arange(columns.count, device=layer.knots.device)
    coefficients = places[columns.slice_of(layer.coefficients)].view(layer.coefficients.shape)
    base = places[columns.slice_of(layer.base_weight)].view(*layer.base_weight.shape, 1)
    index = torch.cat([coefficients, base], -1)
    scale = layer.edge_scale.detach().double().unsqueeze(-1).expand(*coefficients.shape)
    scale = torch.cat([scale, torch.ones_like(base, dtype=torch.float64)], -1)
    scale = torch.where(scale == 0, 1.0, scale)  # pruned edges
    return _Layer(index, scale, _forms_of(layer), strengths, ridge)
