"""Curves on grids that can change: knots, coefficients and the basis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from kanlit.bases import Basis, BasisName, basis_class, basis_name
from kanlit.errors import ConfigurationError
from kanlit.splines import (
    Exterior,
    Outside,
    breakpoints_of,
    extend_breakpoints,
    uniform_breakpoints,
)

__all__ = ["AdaptiveGrid"]


class AdaptiveGrid(nn.Module):
    """One grid per input feature, with the coefficients of ``out`` curves on each grid.

    G is part of the state, not of the configuration: it can change during training, and a state
    dict with another G can be loaded.

    Args:
        in_features: Number of inputs, at least 1.
        out_features: Number of outputs, at least 1.
        grid_size: G, intervals per input feature, at least 1.
        spline_order: k, degree of the splines, 1 to 5.
        grid_range: Ends of the initial, uniform grid.
        outside: Continuation outside the grid, ``"linear"`` or ``"zero"``.
        basis: The basis, see :func:`kanlit.bases.basis_class`.
        device: Device of the tensors.
        dtype: Their dtype, float32 or float64.

    Attributes:
        knots: ``(in, G+2k+1)``, a persistent buffer.
        coefficients: ``(out, in, G+k)``, not initialized.
        exact_basis: The basis on these knots, in float64.

    Raises:
        ConfigurationError: If a size or degree is out of range, or the basis is unknown.
    """

    knots: Tensor
    basis_class: type[Basis]
    exact_basis: Basis
    _basis: Basis

    def __init__(
        self,
        in_features: int,
        out_features: int,
        grid_size: int,
        spline_order: int,
        grid_range: tuple[float, float],
        outside: Outside,
        basis: BasisName | type[Basis],
        device: torch.device | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        if in_features < 1 or out_features < 1:
            raise ConfigurationError(
                f"a KAN layer needs at least one input and one output, got {in_features} and "
                f"{out_features}"
            )
        if grid_size < 1:
            raise ConfigurationError(f"grid_size must be at least 1, got {grid_size}")
        if not 1 <= spline_order <= 5:
            raise ConfigurationError(f"spline_order must be between 1 and 5, got {spline_order}")
        ends = torch.tensor([[float(end)] for end in grid_range], dtype=dtype)
        first = uniform_breakpoints(ends[0], ends[1], grid_size)
        if not bool(torch.isfinite(first).all() and (first.diff() > 0).all()):
            raise ConfigurationError(
                f"grid_range must be finite, increasing and wide enough for {grid_size} distinct "
                f"intervals in {first.dtype}, got {tuple(grid_range)}"
            )
        if outside not in ("linear", "zero"):
            raise ConfigurationError(f"outside must be 'linear' or 'zero', got {outside!r}")
        self.in_features = in_features
        self.out_features = out_features
        self.spline_order = spline_order
        self.outside: Outside = outside
        self.basis_class = basis_class(basis)
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        low, high = (torch.full((in_features,), float(end), **factory) for end in grid_range)
        breakpoints = uniform_breakpoints(low, high, grid_size)
        self.register_buffer("knots", self._extended(breakpoints))
        shape = self._shapes(in_features, out_features, self.knots.shape[1])["coefficients"]
        self.coefficients = nn.Parameter(torch.empty(shape, **factory))
        self._refresh()

    @property
    def basis_name(self) -> str:
        """The name of the basis, see :func:`kanlit.bases.basis_name`."""
        return basis_name(self.basis_class)

    @property
    def grid_size(self) -> int:
        """G, the number of intervals per input feature."""
        return self.knots.shape[1] - 2 * self.spline_order - 1

    @property
    def breakpoints(self) -> Tensor:
        """``(in, G+1)``, the ends of the intervals."""
        return breakpoints_of(self.knots, self.spline_order)

    def _extended(self, breakpoints: Tensor) -> Tensor:
        exterior: Exterior = "end" if self.outside == "linear" else "uniform"
        return extend_breakpoints(breakpoints.double(), self.spline_order, exterior).to(
            breakpoints.dtype
        )

    def knots_for(self, breakpoints: Tensor) -> Tensor:
        """The knots ``(in, G+2k+1)`` of this layer for ``breakpoints`` ``(in, G+1)``."""
        return self._extended(breakpoints.to(self.knots))

    @torch.inference_mode(False)
    @torch.no_grad()
    def set_grid(self, knots: Tensor, coefficients: Tensor, basis: Basis | None = None) -> None:
        """Replaces knots and coefficients; G may change.

        The parameter remains the same object, so optimizers keep their reference. Its gradient is
        dropped if its shape changes.

        Args:
            knots: ``(in, G+2k+1)``, strictly increasing.
            coefficients: Coefficients on these knots ``(out, in, G+k)``.
            basis: The basis on these knots if already known, see :meth:`basis_on`.

        Raises:
            ValueError: If shapes do not match, knots do not increase or values are not finite. The
                layer is then unchanged.
        """
        if not self._fit(knots, coefficients):
            raise ValueError(
                f"knots {tuple(knots.shape)} and coefficients {tuple(coefficients.shape)} do "
                f"not fit a layer with {self.in_features} inputs, {self.out_features} outputs "
                f"and degree {self.spline_order}"
            )
        knots, coefficients = knots.to(self.knots), coefficients.to(self.coefficients)
        if not bool((knots.diff(dim=1) > 0).all() and torch.isfinite(knots).all()):
            raise ValueError("knots must be finite and strictly increasing in every feature")
        if not bool(torch.isfinite(coefficients).all()):
            raise ValueError("coefficients contain NaN or infinite values")
        self.restore_grid(knots, coefficients, basis)

    @torch.inference_mode(False)
    @torch.no_grad()
    def restore_grid(self, knots: Tensor, coefficients: Tensor, basis: Basis | None = None) -> None:
        """Restores earlier knots and coefficients of this layer without checking them.

        Unlike :meth:`set_grid`, it accepts those of a network that has diverged.
        """
        self._resize(self.in_features, self.out_features, knots.shape[1])
        self.knots.copy_(knots)
        self.coefficients.copy_(coefficients)
        self._refresh(basis)

    def _shapes(self, inputs: int, outputs: int, knot_count: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters by name for given numbers of inputs, outputs and knots."""
        count = self.basis_class.size(knot_count - 2 * self.spline_order - 1, self.spline_order)
        return {"coefficients": (outputs, inputs, count)}

    def _fit(self, knots: Tensor, coefficients: Tensor) -> bool:
        """Whether the shapes of knots and coefficients fit this layer for some G."""
        if knots.ndim != 2 or knots.shape[1] < 2 * self.spline_order + 2:
            return False
        shapes = self._shapes(self.in_features, self.out_features, knots.shape[1])
        return len(knots) == self.in_features and coefficients.shape == shapes["coefficients"]

    def _resize(self, inputs: int, outputs: int, knot_count: int) -> None:
        """Resizes the tensors; their contents are undefined where a shape changes."""
        for name, shape in self._shapes(inputs, outputs, knot_count).items():
            old = getattr(self, name)
            if old.shape == shape:
                continue
            # Swapped, not replaced, because optimizers and schedulers refer to this object.
            try:
                torch.utils.swap_tensors(old, nn.Parameter(old.new_empty(shape), old.requires_grad))
            except RuntimeError:  # raised by torch if something else refers to the tensor
                raise ValueError(
                    "the grid size cannot change while the autograd graph of an earlier forward "
                    "pass refers to the coefficients: delete its outputs first, or compute them "
                    "under torch.no_grad()"
                ) from None
            getattr(self, name).grad = None
        if self.knots.shape != (inputs, knot_count):
            self.knots = self.knots.new_empty(inputs, knot_count)
        self.in_features, self.out_features = inputs, outputs

    def basis_on(self, knots: Tensor) -> Basis:
        """The basis of this layer on ``knots`` ``(in, G+2k+1)``, in float64."""
        own = knots.to(torch.float64, copy=True)  # a copy, because the buffer may change
        return self.basis_class.from_knots(own, self.spline_order, self.outside)

    def _refresh(self, basis: Basis | None = None) -> None:
        """Updates the basis after the knots have changed."""
        if basis is None or basis.breakpoints.is_inference():  # unusable in training
            basis = self.basis_on(self.knots)
        self.exact_basis = basis
        self._basis = basis.cast(self.knots.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        # Recomputed from the knots instead of converted, so that float64 gets full precision.
        self._refresh()
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Resize to the loaded state: G is part of the state, not of the configuration.
        knots, weight = (state_dict.get(prefix + key) for key in ("knots", "coefficients"))
        if isinstance(knots, Tensor) and isinstance(weight, Tensor) and self._fit(knots, weight):
            self._resize(self.in_features, self.out_features, knots.shape[1])
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._refresh()
