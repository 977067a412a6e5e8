"""Standard deviations of predictions, from the curvature of the loss at its minimum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kanlit.kernel.threads import torch_on_one_thread
from kanlit.nn import KAN
from kanlit.optim.jacobian import RowJacobian, trained_columns
from kanlit.optim.objective import as_blocks, loss_and_scales
from kanlit.optim.recording import recorded
from kanlit.optim.residual import Residual
from kanlit.optim.systems import gram

__all__ = ["Spread", "Uncertainty", "output_variances", "spread_of_parameter"]

_ROWS = 4096  # rows differentiated at a time
_LEAST = 1e-12  # eigenvalue of the scaled JᵀJ below which a direction is open
_OPEN = 1e10  # variance over that with all other parameters known


class Spread(NamedTuple):
    """How well noisy rows determine the numbers of a parameter.

    Attributes:
        deviations: Standard deviation of each number.
        determined: Whether the rows determine it; otherwise its deviation means nothing.
        noise: Standard deviation of the noise of the rows, in their units; infinite if they are
            fewer than the parameters that they determine.
        rows: Number of noisy rows.
        freedom: Number of parameters that the noisy rows determine, effectively.
    """

    deviations: list[float]
    determined: list[bool]
    noise: float
    rows: int
    freedom: float


@torch_on_one_thread()
def spread_of_parameter(
    closure: Callable[[], Mapping[str, Residual]],
    parameters: Sequence[Tensor],
    wanted: Tensor,
    noisy: str,
) -> Spread:
    r"""Standard deviations of the numbers of a parameter at a minimum of the loss.

    .. math:: C = s^2 (J^T J)^{-1}, \qquad
              s^2 = \frac{\|r_o\|^2}{n_o - p}, \qquad
              p = \mathrm{tr}\big((J^T J)^{-1} J_o^T J_o\big)

    with J the Jacobian of all rows by all parameters, scaled by √(weight / n) as in the loss, and
    r_o and J_o those of the n_o rows that have noise: the other rows say how far the solution may
    deviate from its equation, and p is the effective number of parameters that the noisy rows
    determine.

    Args:
        closure: Evaluates the residuals.
        parameters: All trained parameters.
        wanted: One of them.
        noisy: Name of the block of residuals that has noise.

    Source: Seber and Wild, Nonlinear Regression (1989), section 2.1.2; p: Hastie, Tibshirani and
    Friedman, The Elements of Statistical Learning (2009), section 7.6.
    """
    with (
        torch.enable_grad(),
        torch.compiler.set_stance("force_eager"),
        recorded({id(p) for p in parameters}) as calls,
    ):
        blocks = as_blocks(closure())
    own = {noisy: blocks[noisy]}
    columns = trained_columns(calls, parameters)
    with torch.no_grad():
        _, scales = loss_and_scales(blocks, wanted.device)
        matrix, seen = (
            gram(RowJacobian(part, scales, calls, columns), columns.count)[:-1, :-1]
            for part in (blocks, own)
        )
        shrink = matrix.diagonal().clamp(min=1e-300).rsqrt()
        eigenvalues, vectors = torch.linalg.eigh(matrix * shrink * shrink.unsqueeze(1))
        root = vectors * eigenvalues.clamp(min=_LEAST).rsqrt()
        half = root.T * shrink  # its square is the inverse of JᵀJ
        freedom = float((half @ seen * half).sum())
        residuals, weight = blocks[noisy].values.detach().double(), blocks[noisy].weight
        rows = residuals.numel()
        beyond = rows - freedom
        noise = (float(residuals.square().sum()) / beyond) ** 0.5 if beyond > 0 else math.inf
        inverse = root.square().sum(1)[columns.slice_of(wanted)]
        deviations = inverse.sqrt() * shrink[columns.slice_of(wanted)]
    return Spread(
        (noise * (weight / rows) ** 0.5 * deviations).tolist(),
        (inverse < _OPEN).tolist(),
        noise,
        rows,
        freedom,
    )


class Uncertainty(NamedTuple):
    """What the data leave open.

    Attributes:
        covariance: Covariance of the trained parameters ``(P, P)``, float64.
        noise: Variance of the noise of the targets.
    """

    covariance: Tensor
    noise: float


def output_variances(network: KAN, inputs: Tensor, covariance: Tensor) -> Tensor:
    r"""Variance of each output that the uncertainty of the parameters causes ``(n, out)``.

    .. math:: \mathrm{var}\,f(x) = j(x)^T\, C\, j(x)

    with j the gradient of the output by the parameters and C their covariance (Laplace's method).

    Args:
        network: The network.
        inputs: ``(n, in)``.
        covariance: C ``(P, P)``, float64.

    Raises:
        ValueError: C does not fit the network.
    """
    chunks = [_variances(network, chunk, covariance) for chunk in inputs.split(_ROWS)]
    return torch.cat(chunks)


def _variances(network: KAN, inputs: Tensor, covariance: Tensor) -> Tensor:
    parameters = list(network.parameters())
    frozen = [p for p in parameters if not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad(), recorded({id(p) for p in parameters}) as calls:
            outputs = network(inputs).split(1, dim=1)  # without gradients, parts would have none
        columns = trained_columns(calls, parameters)
        if covariance.shape != (columns.count, columns.count):
            raise ValueError(
                f"the covariance is {tuple(covariance.shape)}, but the network has "
                f"{columns.count} parameters"
            )
        found = []
        for values in outputs:
            rows = RowJacobian({"y": Residual(values)}, {"y": 1.0}, calls, columns).chunks()
            found.append(
                torch.cat([((own[:, :-1] @ covariance) * own[:, :-1]).sum(1) for own in rows])
            )
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    return torch.stack(found, 1).clamp(min=0)
