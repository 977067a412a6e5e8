"""Weights of residual blocks that balance how strongly they pull on the parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from kanlit.optim import Residual

__all__ = ["balancing_factors", "mean_traces"]

_PROBES = 8
_LEAST = 1e-12  # of the reference: a block that hardly depends on the parameters is left alone


def mean_traces(
    blocks: Mapping[str, Residual], parameters: Sequence[Tensor], generator: torch.Generator
) -> Tensor:
    r"""Estimates the trace of each block's :math:`J^T J` per row, ``(blocks,)`` (Hutchinson).

    .. math:: T_b = \frac{1}{n_b}\,\mathrm{tr}\,J_b^T J_b
              = \frac{1}{n_b}\,\mathbb{E}_v\,\|J_b^T v\|^2

    with v of random signs.

    Args:
        blocks: Residuals with their graph.
        parameters: The parameters.
        generator: Source of the signs.
    """
    found = []
    for block in blocks.values():
        shape = block.values.shape
        total = block.values.new_zeros(())
        for _ in range(_PROBES):
            signs = 2.0 * torch.randint(2, shape, generator=generator) - 1
            gradients = torch.autograd.grad(
                block.values,
                parameters,
                signs.to(block.values),
                retain_graph=True,
                allow_unused=True,
            )
            for gradient in gradients:
                if gradient is not None:
                    total = total + gradient.square().sum()
        found.append(total / (_PROBES * len(block.values)))
    return torch.stack(found)


def balancing_factors(traces: Mapping[str, float], equations: Collection[str]) -> dict[str, float]:
    """Factors that give every block the mean trace of the equations.

    Args:
        traces: Trace per row of each block, by name.
        equations: Names of the blocks that are residuals of equations.

    Example:
        >>> balancing_factors({"pde": 8.0, "walls": 0.5}, ["pde"])
        {'pde': 1.0, 'walls': 16.0}
    """
    reference = sum(traces[name] for name in equations) / len(equations)
    return {
        name: reference / trace if trace > _LEAST * reference else 1.0
        for name, trace in traces.items()
    }
