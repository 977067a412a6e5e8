"""Fits one network whose smoothness the data choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from kanlit.adaptation import Placement, adapt_grids
from kanlit.adaptation.density import InputDensity
from kanlit.nn import KAN, KANLayer
from kanlit.optim import LevenbergMarquardt, Residual
from kanlit.optim.uncertainty import output_variances

__all__ = ["MARGIN", "SmoothNetwork"]

MARGIN = 0.01
"""How far grids reach beyond their inputs, unless the noise is negligible."""

_PLACEMENT = Placement(uniform_mix=0.5)
_REGRID = (0, 3, 6, 10, 15, 20, 30)  # steps before which the grids follow the hidden units
_OF_LINEAR = 1e-14  # first damping if all edges are straight, where one step is exact
_LEAST_LEFT = 1e-6  # of a row that determines its own prediction
_STILL, _STILL_STEPS = 0.02, 3  # change of the log evidence, for how many steps


class SmoothNetwork:
    """A network on data, trained by penalized Levenberg-Marquardt steps.

    Args:
        network: A KAN in float64; trained in place.
        x: Standardized inputs ``(n, in)``, float64.
        y: Standardized targets ``(n, out)``, float64.
        optimizer: Its optimizer, if there is one already.
        margin: How far the grids reach beyond their inputs at each end, relative to their range.

    Attributes:
        network: The network.
        optimizer: Its optimizer, which holds the strengths of the penalties.
        margin: As above.
    """

    def __init__(
        self,
        network: KAN,
        x: Tensor,
        y: Tensor,
        optimizer: LevenbergMarquardt | None = None,
        margin: float = MARGIN,
    ) -> None:
        self.network = network
        if optimizer is None:
            optimizer = LevenbergMarquardt(network.parameters(), smoothness="auto")
        self.optimizer = optimizer
        self.margin = margin
        self._x, self._y = x, y

    @property
    def layers(self) -> Sequence[KANLayer]:
        """The layers of the network."""
        return self.network.layers

    @property
    def steps(self) -> int:
        """Number of steps so far, also on other rows."""
        return self.optimizer.strengths(self.layers)[1]

    @property
    def evidence(self) -> float:
        """Log marginal likelihood before the last step; minus infinity if unknown."""
        found = self.optimizer.found
        return -math.inf if found is None or math.isnan(found.evidence) else found.evidence

    @property
    def noise(self) -> float:
        """Estimated variance of the noise, of standardized targets."""
        found = self.optimizer.found
        return math.inf if found is None else found.noise

    @property
    def curved_edges(self) -> int:
        """Number of edges that are not held straight."""
        return sum(int(own[0].isfinite().sum()) for own in self.optimizer.strengths(self.layers)[0])

    @property
    def used_curves(self) -> float:
        """Number of edges that the data bend, before the last step; 0 if unknown."""
        found = self.optimizer.found
        return 0.0 if found is None else found.curved

    def hold_straight(self) -> None:
        """Makes all edges straight, also in later training."""
        strengths, steps = self.optimizer.strengths(self.layers)
        for own in strengths:
            own[0] = math.inf
        self.optimizer.set_strengths(self.layers, strengths, steps)

    def hold_unshrunk(self) -> None:
        """Removes the penalties toward zero, also in later training."""
        strengths, steps = self.optimizer.strengths(self.layers)
        for own in strengths:
            own[1] = 0.0
        self.optimizer.set_strengths(self.layers, strengths, steps)

    @torch.no_grad()
    def left_out_errors(self) -> Tensor:
        r"""Error at each row of the network trained without it, linearized ``(n, out)``.

        .. math:: r_i / (1 - h_i), \qquad h_i = j_i^T C j_i / \sigma^2

        with :math:`j_i` the gradient of the output by the parameters, C their covariance, and
        :math:`\sigma^2` the variance of the noise.
        """
        found = self.optimizer.found
        assert found is not None
        share = output_variances(self.network, self._x, found.covariance) / found.noise
        return self._residuals()["data"].values / (1 - share).clamp(min=_LEAST_LEFT)

    def place_grids(self, grid_size: int | None = None) -> None:
        """Moves the grids to the range of their inputs; G may grow."""
        adapt_grids(
            self.network,
            self._x,
            InputDensity(),
            grid_size,
            placement=replace(_PLACEMENT, margin=self.margin),
            optimizer=self.optimizer,
            optimizer_state="keep",
        )

    def train(self, steps: int) -> SmoothNetwork:
        """Performs steps until the evidence no longer changes; at most ``steps``."""
        still = 0
        if not self.curved_edges:
            self.optimizer.param_groups[0]["damping"] = _OF_LINEAR
        for _ in range(steps):
            if self.steps in _REGRID:
                self.place_grids()
            before = self.evidence
            self.optimizer.step(self._residuals)
            still = still + 1 if abs(self.evidence - before) < _STILL else 0
            if still == _STILL_STEPS and self.steps > _REGRID[-1]:
                break
        return self

    def on(self, x: Tensor, y: Tensor) -> SmoothNetwork:
        """A copy in float64, on the CPU, with other rows."""
        network = deepcopy(self.network).cpu().double()
        other = SmoothNetwork(network, x, y, margin=self.margin)
        other.optimizer.set_strengths(other.layers, *self.optimizer.strengths(self.layers))
        return other

    @torch.no_grad()
    def projected(self, network: KAN) -> SmoothNetwork:
        """Its function in a network of the same widths and G with splines of another degree."""
        for new, old in zip(network.layers, self.layers, strict=True):
            knots = new.knots_for(old.breakpoints)
            basis = new.basis_on(knots)
            new.set_grid(knots, basis.project(old.coefficients, old.exact_basis), basis)
            for name in ("base_weight", "edge_scale", "bias"):
                getattr(new, name).copy_(getattr(old, name))
        other = SmoothNetwork(network, self._x, self._y, margin=self.margin)
        other.optimizer.set_strengths(other.layers, *self.optimizer.strengths(self.layers))
        return other

    def _residuals(self) -> dict[str, Residual]:
        return {"data": Residual(self.network(self._x) - self._y)}
