"""Standard deviations of predictions, from the curvature of the loss at its minimum."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kanlit.nn import KAN
from kanlit.optim.jacobian import RowJacobian, trained_columns
from kanlit.optim.recording import recorded
from kanlit.optim.residual import Residual

__all__ = ["Uncertainty", "output_variances"]

_ROWS = 4096  # rows differentiated at a time


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
            outputs = network(inputs)
        columns = trained_columns(calls, parameters)
        if covariance.shape != (columns.count, columns.count):
            raise ValueError(
                f"the covariance is {tuple(covariance.shape)}, but the network has "
                f"{columns.count} parameters"
            )
        found = []
        for values in outputs.split(1, dim=1):
            rows = RowJacobian({"y": Residual(values)}, {"y": 1.0}, calls, columns).chunks()
            found.append(
                torch.cat([((own[:, :-1] @ covariance) * own[:, :-1]).sum(1) for own in rows])
            )
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    return torch.stack(found, 1).clamp(min=0)
