r"""B-spline bases on non-uniform knots, as polynomial pieces that depend only on the knots.

Only k+1 basis functions of degree k are nonzero at a point. On the interval
:math:`[t_j, t_{j+1})` each is a polynomial in :math:`u = (x - t_j)/(t_{j+1} - t_j)`,

.. math:: B_{f_j + r}(x) = \sum_{m=0}^{k} u^m A_{j m r}, \qquad r = 0 \dots k,

and the small matrices A change only when the knots do. Evaluating a spline at a point therefore
costs one search, k+1 powers and one small contraction for any G. Derivatives of every order are
those of the powers: exact, and differentiable again by autograd.
"""

from __future__ import annotations

from math import perm
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from kanlit.compat import transforms_are_active
from kanlit.splines.knots import breakpoints_of, extend_breakpoints

__all__ = ["Outside", "Pieces", "bspline_basis", "evaluate_pieces"]

Outside = Literal["linear", "zero"]


def _interval_polynomials(knots: Tensor, order: int) -> Tensor:
    r"""Coefficients in u of the basis functions of degree k on each interval of the grid.

    The Cox-de Boor recursion on polynomials instead of values:

    .. math:: B_{i,d}(x) = \frac{x - t_i}{t_{i+d} - t_i} B_{i,d-1}(x)
              + \frac{t_{i+d+1} - x}{t_{i+d+1} - t_{i+1}} B_{i+1,d-1}(x)

    Args:
        knots: ``(in, K)``, strictly increasing.
        order: Degree k.

    Returns:
        ``(in, K - 2k - 1, k+1, k+1)``: interval, power m, local basis function r.
    """
    window = knots.unfold(1, 2 * order, 1)[:, 1 : knots.shape[1] - 2 * order]
    # window[:, j, l] is the knot l - (k-1) positions from the left end of interval j.
    start = window[..., order - 1]
    width = window[..., order] - start
    pieces = torch.ones_like(start)[..., None, None]
    for degree in range(1, order + 1):
        # All basis functions of the next lower degree at once: the arrays are so small that the
        # overhead of a call exceeds its arithmetic.
        left, right = window[..., order - degree : order], window[..., order : order + degree]
        span = right - left
        rising = ((start[..., None] - left) / span)[..., None, :] * pieces
        falling = ((right - start[..., None]) / span)[..., None, :] * pieces
        steeper = (width[..., None] / span)[..., None, :] * pieces
        wider = pieces.new_zeros(*start.shape, degree + 1, degree + 1)
        wider[..., :-1, 1:] = rising
        wider[..., 1:, 1:] += steeper
        wider[..., :-1, :-1] += falling
        wider[..., 1:, :-1] -= steeper
        pieces = wider
    return pieces


class Pieces(NamedTuple):
    """Polynomial pieces of the B-spline bases of ``in`` features.

    The first and the last of the P pieces lie outside the grid.

    Attributes:
        breakpoints: ``(in, P-1)``, the boundaries between pieces.
        origin: ``(in, P)``, the point at which u = 0 on each piece.
        inverse_width: ``(in, P)``, du/dx on each piece.
        polynomials: A ``(in, P, k+1, k+1)``: power m, local basis function r.
        first: ``(P,)``, index of local basis function 0 among all basis functions.
    """

    breakpoints: Tensor
    origin: Tensor
    inverse_width: Tensor
    polynomials: Tensor
    first: Tensor

    @classmethod
    def from_knots(cls, knots: Tensor, spline_order: int, outside: Outside) -> Pieces:
        """Builds the pieces for ``knots`` ``(in, G+2k+1)`` in float64.

        ``outside="linear"`` continues every basis function by its value and slope at the ends of
        the grid. ``"zero"`` lets it fall to zero over the k exterior intervals, as published.
        """
        t, k = knots.double(), spline_order
        grid_size = t.shape[1] - 2 * k - 1
        if outside == "linear":
            b = breakpoints_of(t, k).contiguous()
            inner = _interval_polynomials(t, k)
            first = torch.arange(grid_size, device=t.device)
            left, right = torch.zeros_like(inner[:, :1]), torch.zeros_like(inner[:, :1])
            left[..., :2, :] = inner[:, :1, :2, :]
            powers = torch.arange(k + 1, dtype=t.dtype, device=t.device)
            right[..., 0, :] = inner[:, -1:].sum(-2)
            right[..., 1, :] = (powers[:, None] * inner[:, -1:]).sum(-2)
        else:
            b = t
            # All G+2k intervals are needed. The recursion also yields basis functions beyond the
            # outermost knots, which do not belong to this spline: they are dropped below.
            padded = extend_breakpoints(t, k)
            full = _interval_polynomials(padded, k)
            inner = torch.zeros_like(full)
            lowest = torch.arange(-k, grid_size + k, device=t.device)
            first = lowest.clamp(0, grid_size - 1)
            for interval, shift in enumerate((lowest - first).tolist()):
                # Local basis function r of the padded recursion has index lowest + r here.
                keep = slice(max(0, -shift), k + 1 - max(0, shift))
                into = slice(max(0, shift), k + 1 + min(0, shift))
                inner[:, interval, :, into] = full[:, interval, :, keep]
            left = right = torch.zeros_like(inner[:, :1])
        width = b.diff(dim=1)
        return cls(
            breakpoints=b,
            origin=torch.cat([b[:, :1], b], dim=1),
            inverse_width=torch.cat([width[:, :1], width, width[:, -1:]], dim=1).reciprocal(),
            polynomials=torch.cat([left, inner, right], dim=1),
            first=torch.cat([first[:1], first, first[-1:]]),
        )

    def slice_features(self, features: slice) -> Pieces:
        """The pieces of some of the features."""
        breakpoints, origin, inverse_width, polynomials, first = self
        return Pieces(
            breakpoints[features],
            origin[features],
            inverse_width[features],
            polynomials[features],
            first,
        )

    def cast(self, dtype: torch.dtype) -> Pieces:
        """Converts to ``dtype``; the right end of the grid then belongs to its last interval."""
        breakpoints = self.breakpoints.to(dtype)
        end = breakpoints[:, -1:]
        last = torch.nextafter(end, torch.full_like(end, torch.inf))
        return Pieces(
            torch.cat([breakpoints[:, :-1], last], dim=1),
            self.origin.to(dtype),
            self.inverse_width.to(dtype),
            self.polynomials.to(dtype),
            self.first,
        )

    def locate(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Finds the piece of each point.

        Args:
            x: ``(in, n)``, points last.

        Returns:
            ``row``, u and du/dx, each ``(in, n)``; ``row`` is the index of the piece in the arrays
            flattened over features and pieces. u carries the gradient with respect to x.
        """
        features, pieces = self.origin.shape
        if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
            # ONNX has no searchsorted; counting gives the same index.
            piece = (x.detach().unsqueeze(-1) >= self.breakpoints.unsqueeze(1)).sum(-1)
        else:
            piece = torch.searchsorted(self.breakpoints, x.detach(), right=True)
        row = piece + pieces * torch.arange(features, device=x.device).unsqueeze(1)
        inverse_width = self.inverse_width.reshape(-1)[row]
        u = (x - self.origin.reshape(-1)[row]) * inverse_width
        return row, u, inverse_width

    def local(self, row: Tensor, u: Tensor, inverse_width: Tensor, derivative: int = 0) -> Tensor:
        """The k+1 nonzero basis functions at each point, ``(k+1, in, n)``."""
        return evaluate_pieces(self.local_polynomials(row), u, inverse_width, derivative)

    def local_polynomials(self, row: Tensor) -> Tensor:
        """Their polynomials in u, ``(k+1, k+1, in, n)``: power m, local basis function r."""
        features, pieces, terms, _ = self.polynomials.shape
        # Points come last, so that every step is contiguous in memory.
        table = self.polynomials.permute(2, 3, 0, 1).reshape(terms * terms, features * pieces)
        return table.index_select(1, row.reshape(-1)).view(terms, terms, *row.shape)

    def scatter(self, row: Tensor, local: Tensor, count: int) -> Tensor:
        """Scatters local values ``(k+1, in, n)`` to all basis functions: ``(count, in, n)``."""
        first = self.first.repeat(self.origin.shape[0])[row]
        offsets = torch.arange(local.shape[0], device=local.device)[:, None, None]
        zeros, where = local.new_zeros(count, *row.shape), first + offsets
        if transforms_are_active():  # vmap supports only the out-of-place scatter
            return zeros.scatter(0, where, local)
        return zeros.scatter_(0, where, local)  # in place, because scatter copies the zeros first

    def bases(self, place: tuple[Tensor, ...], derivative: int, count: int) -> Tensor:
        """All basis functions or their derivatives at located points, ``(count, in, n)``."""
        row, u, inverse_width = place
        return self.scatter(row, self.local(row, u, inverse_width, derivative), count)

    def values(self, x: Tensor, derivative: int = 0) -> Tensor:
        """All basis functions or derivatives at ``(n, in)``: ``(n, in, G+k)`` in x's dtype."""
        basis = self.cast(x.dtype)
        count = int(self.first[-1]) + self.polynomials.shape[-1]
        return basis.bases(basis.locate(x.T.contiguous()), derivative, count).permute(2, 1, 0)


def evaluate_pieces(
    coefficients: Tensor, u: Tensor, inverse_width: Tensor, derivative: int = 0
) -> Tensor:
    r"""Evaluates polynomials in u, or their derivatives with respect to x, by Horner's rule.

    .. math:: \frac{d^n}{dx^n} \sum_m a_m u^m
              = \left(\frac{du}{dx}\right)^n \sum_{m \ge n} \frac{m!}{(m-n)!}\, a_m u^{m-n}

    Args:
        coefficients: a ``(k+1, …)``.
        u: Broadcastable to ``(…)``.
        inverse_width: du/dx, shaped like u.
        derivative: n.
    """
    # unbind instead of indexing: the gradient of each index would be a full array of zeros.
    terms = coefficients.unbind(0)
    order = len(terms) - 1
    if derivative > order:
        return torch.zeros_like(terms[0] * u)
    factors = [float(perm(m, derivative)) for m in range(order + 1)]
    value = terms[order] if factors[order] == 1 else factors[order] * terms[order]
    # Outside the grid the coefficients above the linear one are zero, but their gradients are
    # powers of u, which overflow far away: these terms use u clamped to the vicinity of the piece.
    near = u.clamp(-1, 2)
    for m in range(order - 1, derivative - 1, -1):
        value = torch.add(value * (u if m == 0 else near), terms[m], alpha=factors[m])
    return value if derivative == 0 else value * inverse_width**derivative


def bspline_basis(
    x: Tensor, knots: Tensor, spline_order: int, derivative: int = 0, outside: Outside = "linear"
) -> Tensor:
    """Values or derivatives of all B-spline basis functions at given points.

    Args:
        x: ``(n, in)``.
        knots: ``(in, G+2k+1)``, strictly increasing.
        spline_order: Degree k, at least 1.
        derivative: Order of the derivative with respect to x.
        outside: See :meth:`Pieces.from_knots`.

    Returns:
        ``(n, in, G+k)`` in the dtype of x. Inside the grid each row of values sums to one.

    Source: C. de Boor, A Practical Guide to Splines, chapters IX and X.
    """
    return Pieces.from_knots(knots, spline_order, outside).values(x, derivative)
