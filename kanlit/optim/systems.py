r"""Damped Gauss-Newton steps, in the space of the parameters or of the residuals.

Both give the same step,

.. math:: (J^T J + \Lambda + \mu D)\, h = -(J^T r + \Lambda \theta),

with J and r the scaled rows of the Jacobian and the residuals, Λ a
:class:`~kanlit.optim.penalty.Penalty`, D the diagonal of :math:`J^T J + \Lambda` (Marquardt's
scaling, which makes steps independent of the units of the parameters) and μ the damping.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from kanlit.kernel.threads import in_order
from kanlit.optim.jacobian import RowJacobian
from kanlit.optim.objective import sum_over_ranks
from kanlit.optim.penalty import Penalty
from kanlit.optim.smoothing import EdgePenalties

__all__ = ["DampedSystem", "NormalSystem", "Pull", "ResidualSystem", "gram"]

Pull = Callable[[Mapping[str, Tensor]], Tensor]
AnyPenalty = Penalty | EdgePenalties

_BLOCK, _BLOCKS = 64, 16  # smallest number of columns per block, largest number of blocks
_FLOOR = 1e-12  # smallest entry of D relative to the largest; damps unused parameters, too


class DampedSystem(ABC):
    """A linear system that gives steps for any damping.

    Internally uses the variables :math:`D^{1/2} h`, in which D is the identity.

    Args:
        theta: The parameters θ ``(P,)``.
        penalty: Λ.
        diagonal: Diagonal of JᵀJ + Λ.
    """

    def __init__(self, theta: Tensor, penalty: AnyPenalty, diagonal: Tensor) -> None:
        self._theta = theta
        self._penalty = penalty
        floor = max(_FLOOR * float(diagonal.max()), 1e-300)
        self._shrink = diagonal.clamp(min=floor).rsqrt()  # D^(-1/2)
        self._damping = -1.0

    def step(self, damping: float) -> Tensor:
        """h ``(P,)``; not finite if the system cannot be solved."""
        self._damp(damping)
        return self._first() * self._shrink

    def correction(self, damping: float, step: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        r"""Second-order correction of a step for the curvature of the residuals, ``(P,)``.

        .. math:: (J^T J + \Lambda + \mu D)\, d
                  = -(J^T r(\theta + h) + \Lambda (\theta + h) + \mu D h)

        Args:
            damping: μ of the step.
            step: h.
            values: The residuals at θ + h, by block.
        """
        self._damp(damping)
        rest = self._penalty.apply(self._theta + step) * self._shrink
        return self._solve(values, rest + damping * step / self._shrink) * self._shrink

    @abstractmethod
    def predicted(self, step: Tensor) -> float:
        r"""Decrease of the quadratic model, :math:`-(2 g^T h + h^T (J^T J + \Lambda) h)`."""

    def _damp(self, damping: float) -> None:
        if damping != self._damping:
            self._factor = _Factor(self._damped(damping))
            self._damping = damping

    @abstractmethod
    def _damped(self, damping: float) -> Tensor:
        """The matrix to factorize."""

    @abstractmethod
    def _first(self) -> Tensor:
        """Minus the inverse of the damped matrix times the gradient."""

    @abstractmethod
    def _solve(self, values: Mapping[str, Tensor], rest: Tensor) -> Tensor:
        """Minus the inverse of the damped matrix times (Jᵀ values + rest)."""


class NormalSystem(DampedSystem):
    """Steps from JᵀJ, summed over the rows of all ranks: for more residuals than parameters.

    Args:
        products: From :func:`gram`.
        theta: The parameters ``(P,)``.
        penalty: Λ.
        pull: Returns Jᵀ times other residuals, given by block, for the rows of this rank ``(P,)``.
    """

    def __init__(self, products: Tensor, theta: Tensor, penalty: AnyPenalty, pull: Pull) -> None:
        matrix = products[:-1, :-1]
        penalty.add_to(matrix)
        super().__init__(theta, penalty, matrix.diagonal())
        self._pull = pull
        self._matrix = matrix * self._shrink * self._shrink.unsqueeze(1)
        self._gradient = (products[:-1, -1] + penalty.apply(theta)) * self._shrink

    def predicted(self, step: Tensor) -> float:
        scaled = step / self._shrink
        return -float(scaled @ (2 * self._gradient + self._matrix @ scaled))

    def _damped(self, damping: float) -> Tensor:
        damped = self._matrix.clone()
        damped.diagonal().add_(damping)
        return damped

    def _first(self) -> Tensor:
        return -self._factor.solve(self._gradient)

    def _solve(self, values: Mapping[str, Tensor], rest: Tensor) -> Tensor:
        gradient = sum_over_ranks(self._pull(values))
        return -self._factor.solve(gradient * self._shrink + rest)


class ResidualSystem(DampedSystem):
    r"""The same steps from JJᵀ: for fewer residuals than parameters.

    With A = Λ + μD, which must be diagonal, and any w and z,

    .. math:: (J^T J + A)^{-1} (J^T w + z)
              = A^{-1} z + A^{-1} J^T (1 + J A^{-1} J^T)^{-1} (w - J A^{-1} z).

    Args:
        jacobian: All rows, which are kept in memory.
        theta: The parameters ``(P,)``.
        penalty: Λ, a ridge only.
    """

    def __init__(self, jacobian: RowJacobian, theta: Tensor, penalty: Penalty) -> None:
        rows = torch.cat(list(jacobian.chunks()))
        super().__init__(theta, penalty, rows[:, :-1].square().sum(0) + penalty.ridge)
        self._jacobian = jacobian
        self._rows = rows[:, :-1] * self._shrink
        self._residual = rows[:, -1]
        self._diagonal = torch.ones_like(theta)  # A

    def predicted(self, step: Tensor) -> float:
        change = self._rows @ (step / self._shrink)
        penalty = self._penalty.apply(2 * self._theta + step)
        return -float(change @ (2 * self._residual + change) + step @ penalty)

    def _damped(self, damping: float) -> Tensor:
        self._diagonal = damping + self._penalty.ridge * self._shrink.square()
        columns = (self._rows * self._diagonal.rsqrt()).T.contiguous()
        kernel = columns.new_zeros(2 * (columns.shape[1],))
        _add_gram(kernel, columns)
        kernel = _mirrored(kernel)
        kernel.diagonal().add_(1)
        return kernel

    def _first(self) -> Tensor:
        return self._both(self._residual, self._penalty.apply(self._theta) * self._shrink)

    def _solve(self, values: Mapping[str, Tensor], rest: Tensor) -> Tensor:
        return self._both(self._jacobian.ordered(values), rest)

    def _both(self, weights: Tensor, rest: Tensor) -> Tensor:
        alone = rest / self._diagonal
        inner = self._factor.solve(weights - self._rows @ alone)
        return -(alone + (self._rows.T @ inner) / self._diagonal)


def gram(jacobian: RowJacobian, count: int) -> Tensor:
    """JᵀJ with Jᵀr in the last column, summed over the rows of all ranks ``(P+1, P+1)``.

    Args:
        jacobian: The rows of this rank.
        count: P.
    """
    products = torch.zeros(count + 1, count + 1, dtype=torch.float64, device=jacobian.device)
    for chunk in jacobian.chunks():
        _add_gram(products, chunk)
    return sum_over_ranks(_mirrored(products))


def _add_gram(total: Tensor, rows: Tensor) -> None:
    """Adds AᵀA for A ``(rows, P)`` to the lower triangle of ``total`` ``(P, P)``, in blocks."""
    size = len(total)
    width = max(_BLOCK, -(-size // _BLOCKS))

    def add(start: int) -> None:
        stop = min(start + width, size)
        total[start:stop, :stop].addmm_(rows[:, start:stop].T, rows[:, :stop])

    starts = range(0, size, width)
    for _ in in_order(add, reversed(starts), len(starts)):  # the largest first
        pass


def _mirrored(lower: Tensor) -> Tensor:
    """The symmetric matrix with the given lower triangle."""
    return lower.tril() + lower.tril(-1).T


class _Factor:
    """Solves a positive definite system, even if rounding has made the matrix indefinite."""

    def __init__(self, matrix: Tensor) -> None:
        self._cholesky, failed = torch.linalg.cholesky_ex(matrix)
        self._spectrum = _spectrum(matrix) if int(failed) != 0 else None

    def solve(self, right: Tensor) -> Tensor:
        if self._spectrum is None:
            return torch.cholesky_solve(right.unsqueeze(1), self._cholesky).squeeze(1)
        values, vectors = self._spectrum
        return vectors @ ((vectors.T @ right) / values)


def _spectrum(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, clamped to rounding error, and eigenvectors; NaN if LAPACK fails."""
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return torch.full_like(matrix[0], torch.nan), matrix
    least = len(values) * torch.finfo(values.dtype).eps * values[-1]
    return values.clamp(min=float(least)), vectors
