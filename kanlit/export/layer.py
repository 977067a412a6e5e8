"""A KAN layer in operations that ONNX and torch.export know."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kanlit.bases import SmoothBasis
from kanlit.nn import KANLayer
from kanlit.splines import Pieces, evaluate_pieces

__all__ = ["ExportableLayer", "SmoothExportableLayer", "exportable"]


class ExportableLayer(nn.Module):
    r"""What a :class:`~kanlit.nn.KANLayer` maps ``(n, in)`` to, with nothing left to train.

    .. math:: y_q = \sum_p \Big( r_{qp}\,\mathrm{silu}(x_p)
              + \sum_{m=0}^{k} a_{p j_p m q}\,u_p^m \Big) + b_q, \qquad
              j_p = \#\{l : x_p \ge b_{pl}\}

    with u the place of x_p in its piece j_p. The piece is counted, not searched for: ONNX has no
    search in a sorted list, and the count is the same number. Layers whose polynomials would be
    large sum the bases themselves, as :class:`~kanlit.nn.KANLayer` does.

    Args:
        layer: Of splines; its knots and weights are copied, in their type.
    """

    breakpoints: Tensor
    origin: Tensor
    inverse_width: Tensor
    polynomials: Tensor
    start: Tensor
    first: Tensor
    steps: Tensor
    coefficients: Tensor
    base_weight: Tensor
    bias: Tensor

    def __init__(self, layer: KANLayer) -> None:
        super().__init__()
        dtype, order = layer.knots.dtype, layer.spline_order
        exact = Pieces.from_knots(layer.knots, order, layer.outside)
        basis = exact.cast(dtype)
        features, pieces = basis.origin.shape
        self.bases = layer.grid_size + order
        # Polynomials of every edge take (k+1) numbers a piece, coefficients one a basis.
        self.sums_bases = layer.out_features >= 16 and layer.grid_size <= 16 * layer.out_features
        scaled = (layer.edge_scale.unsqueeze(-1) * layer.coefficients).detach().double()
        steps = torch.arange(order + 1, device=exact.first.device)
        polynomials = exact.polynomials  # (in, P, k+1, r)
        put = self.register_buffer
        if self.sums_bases:
            put("first", exact.first.repeat(features))
            put("steps", steps)
            put("coefficients", scaled.permute(1, 2, 0).flatten(0, 1).to(dtype))  # (in·(G+k), out)
        else:
            local = exact.first.unsqueeze(1) + steps
            polynomials = torch.einsum("ipmr,oipr->ipmo", polynomials, scaled[:, :, local])
        put("breakpoints", basis.breakpoints)
        put("origin", basis.origin.flatten())
        put("inverse_width", basis.inverse_width.flatten())
        put("polynomials", polynomials.flatten(0, 1).to(dtype))  # (in·P, k+1, r or out)
        put("start", pieces * torch.arange(features, device=steps.device))
        put("base_weight", layer.base_weight.detach().T.clone())
        put("bias", layer.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in)`` to ``(n, out)``."""
        piece = (x.unsqueeze(-1) >= self.breakpoints).sum(-1)
        row = piece + self.start
        inverse_width = self.inverse_width[row]
        u = (x - self.origin[row]) * inverse_width
        local = evaluate_pieces(
            self.polynomials[row].movedim(2, 0), u.unsqueeze(-1), inverse_width
        )  # (n, in, r or out)
        if self.sums_bases:
            place = self.first[row].unsqueeze(-1) + self.steps
            empty = torch.zeros(*x.shape, self.bases, dtype=x.dtype, device=x.device)
            spline = empty.scatter(2, place, local).flatten(1) @ self.coefficients
        else:
            spline = local.sum(1)
        return spline + F.silu(x) @ self.base_weight + self.bias


class SmoothExportableLayer(nn.Module):
    r"""Likewise for a layer of bases that are one formula each, :class:`kanlit.bases.SmoothBasis`.

    .. math:: y_q = \sum_p \Big( r_{qp}\,\mathrm{silu}(x_p) + \sum_i c_{qpi} B_i(x_p) \Big) + b_q

    Args:
        layer: Its basis and weights are copied, in their type.
    """

    coefficients: Tensor
    base_weight: Tensor
    bias: Tensor

    def __init__(self, layer: KANLayer) -> None:
        super().__init__()
        exact = layer.exact_basis
        assert isinstance(exact, SmoothBasis)
        self._basis = exact.cast(layer.knots.dtype)
        for name, tensor in self._basis.tensors().items():
            self.register_buffer(name, tensor.clone())
        scaled = (layer.edge_scale.unsqueeze(-1) * layer.coefficients).detach()
        self.register_buffer("coefficients", scaled.transpose(1, 2).flatten(1))  # (out, (G+k)·in)
        self.register_buffer("base_weight", layer.base_weight.detach().T.clone())
        self.register_buffer("bias", layer.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in)`` to ``(n, out)``."""
        basis = self._basis.with_tensors(
            {name: getattr(self, name) for name in self._basis.tensors()}
        )
        bases = basis.bases(basis.locate(x.T), 0, basis.count)
        spline = (self.coefficients @ bases.flatten(0, 1)).T
        return spline + F.silu(x) @ self.base_weight + self.bias


def exportable(module: nn.Module) -> nn.Module:
    """A copy of a module in which every :class:`~kanlit.nn.KANLayer` is an exportable one."""

    def made(layer: KANLayer) -> nn.Module:
        return (ExportableLayer if layer.family == "bspline" else SmoothExportableLayer)(layer)

    twin = copy.deepcopy(module).eval()
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, KANLayer):
                setattr(parent, name, made(child))
    return made(twin) if isinstance(twin, KANLayer) else twin
