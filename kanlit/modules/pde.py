"""Physics: a KAN learns the solution of a boundary-value problem from its residual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.modules.base import KANModule, Residual
from kanlit.nn import Initialization
from kanlit.splines import Outside

__all__ = ["PDEModule", "PDEProblem"]


class PDEProblem(Protocol):
    """What the module needs of a problem; ``kanlit.problems.Helmholtz`` is one."""

    def operator(self, x: Tensor, u: Tensor, gradient: Tensor, second: Tensor) -> Tensor:
        """The differential operator on u ``(n, 1)``.

        Args:
            x: ``(n, d)``.
            u: ``(n, 1)``.
            gradient: ``(n, 1, d)``.
            second: Diagonal second derivatives ``(n, 1, d)``.
        """
        ...


class PDEModule(KANModule):
    r"""Learns u from the residual of a differential equation and its boundary values.

    .. math:: L = \mathrm{mean}\big((N[u] - q)^2\big)
              + w_b\,\mathrm{mean}\big((u - g)^2\big)

    over the collocation points and the boundary points. The derivatives in N come from one
    forward sweep, exact, without nested autograd. The data module has the ``problem`` and gives
    batches ``{collocation, source, boundary, boundary_values}``.

    Args:
        in_features: Number of coordinates; the data module says it.
        out_features: Number of unknown functions; likewise.
        hidden: Widths of the hidden layers, such as [6, 6]; [] for none.
        spline_order: Degree k of the splines, 3 to 5: a second-order equation needs a
            continuous second derivative.
        grid_size: G, intervals per input feature before the first adaptation.
        outside: How splines go on outside their grid: linear by value and slope at its ends, or
            zero, fading over k exterior intervals, as published.
        initialization: glorot_fine (of arXiv 2601.18672) or plain.
        boundary_weight: w_b, weight of the boundary's mean squared error, above 0.
        optimizer: Optimiser class and its arguments, such as torch.optim.Adam with lr.
        lr_scheduler: Learning-rate scheduler class and its arguments, stepped once an epoch;
            ReduceLROnPlateau with its monitor, once a validation.

    Raises:
        ConfigurationError: A degree under 3, a weight that is not positive; no problem to solve.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: Sequence[int] = (6, 6),
        spline_order: int = 3,
        grid_size: int = 3,
        outside: Outside = "linear",
        initialization: Initialization = "glorot_fine",
        boundary_weight: float = 1.0,
        optimizer: OptimizerCallable = lambda p: torch.optim.Adam(p, lr=1e-3),
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        if spline_order < 3:
            raise ConfigurationError(
                f"spline_order must be 3 to 5 for a second-order equation, got {spline_order}: "
                f"splines of lower degree have no continuous second derivative"
            )
        if not 0 < boundary_weight < float("inf"):
            raise ConfigurationError(f"boundary_weight must be positive, got {boundary_weight}")
        super().__init__(
            in_features,
            out_features,
            hidden,
            spline_order,
            grid_size,
            outside,
            initialization,
            optimizer,
            lr_scheduler,
        )
        self.boundary_weight = boundary_weight
        self.problem: PDEProblem | None = None

    def setup(self, stage: str) -> None:
        if stage not in ("fit", "validate"):
            return
        self.problem = getattr(getattr(self.trainer, "datamodule", None), "problem", None)
        if self.problem is None:
            raise ConfigurationError(
                "PDEModule needs data with a differential equation, such as HelmholtzData; for "
                "data of inputs and targets take --model RegressionModule"
            )

    def adaptation_inputs(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["collocation"]

    def residuals(self, batch: dict[str, Tensor]) -> dict[str, Residual]:
        if self.problem is None:
            raise RuntimeError("PDEModule has no problem yet: a data module brings it in setup")
        x = batch["collocation"]
        u = self.network.sweep(x)
        equation = self.problem.operator(x, u.value, u.gradient, u.second) - batch["source"]
        boundary = self.network(batch["boundary"]) - batch["boundary_values"]
        return {
            "pde": Residual(equation),
            "boundary": Residual(boundary, self.boundary_weight),
        }
