"""A KAN: a sequence of layers of learnable univariate functions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kanlit.bases import Basis, BasisName
from kanlit.chain_rule import Along
from kanlit.errors import ConfigurationError
from kanlit.nn.init import Initialization
from kanlit.nn.jets import Jet
from kanlit.nn.layer import KANLayer
from kanlit.splines import Outside

__all__ = ["KAN", "Derivatives"]


class Derivatives(NamedTuple):
    """Value and derivatives of a function at n points.

    Attributes:
        value: u ``(n, out)``.
        gradient: ∂u/∂x_d ``(n, out, in)``.
        second: ∂²u/∂x_d∂x_e for each requested pair ``(n, out, pairs)``; by default the pairs are
            (d, d), so the last axis is the input.
    """

    value: Tensor
    gradient: Tensor
    second: Tensor


class KAN(nn.Module):
    """Kolmogorov-Arnold network of the given widths.

    Args:
        widths: Inputs, hidden widths, outputs, such as ``[2, 10, 1]``. A state dict with smaller
            hidden widths, that of a pruned network, can be loaded.
        grid_size: G, intervals per input feature of each layer.
        spline_order: k, degree of the splines, 1 to 5.
        grid_range: Ends of the initial, uniform grid of each layer.
        outside: Continuation outside the grid, ``"linear"`` or ``"zero"``.
        basis: ``"bspline"``, ``"radial"``, ``"chebyshev"``, ``"fourier"`` or a custom class, see
            :class:`kanlit.bases.Basis`.
        initialization: ``"glorot_fine"`` or ``"plain"``.
        generator: Random generator for the initial weights of all layers.
        device: Device of the parameters.
        dtype: Their dtype, float32 or float64.

    Raises:
        ConfigurationError: If there are fewer than two widths, or one is not positive.

    Source: arXiv 2404.19756, arXiv 2601.18672.
    """

    layers: Sequence[KANLayer]  # an nn.ModuleList, which has no type of its members

    def __init__(
        self,
        widths: Sequence[int],
        *,
        grid_size: int = 3,
        spline_order: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        outside: Outside = "linear",
        basis: BasisName | type[Basis] = "bspline",
        initialization: Initialization = "glorot_fine",
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ConfigurationError(
                f"a KAN needs at least two widths, inputs and outputs, got {widths}"
            )
        self._built = tuple(widths)
        self.layers = nn.ModuleList(  # type: ignore[assignment]
            KANLayer(
                n_in,
                n_out,
                grid_size=grid_size,
                spline_order=spline_order,
                grid_range=grid_range,
                outside=outside,
                basis=basis,
                initialization=initialization,
                generator=generator,
                device=device,
                dtype=dtype,
            )
            for n_in, n_out in pairwise(widths)
        )

    @property
    def widths(self) -> list[int]:
        """Current inputs, hidden widths, outputs; pruning makes hidden widths smaller."""
        return [self.layers[0].in_features, *(layer.out_features for layer in self.layers)]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Resize to the state of a pruned network, at most to the widths at construction.
        sizes = self._sizes_in(state_dict, prefix)
        for layer, size in zip(self.layers, sizes, strict=False):
            layer._resize(*size)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _sizes_in(self, state_dict: dict[str, Any], prefix: str) -> list[tuple[int, int, int]]:
        """Inputs, outputs and knots of each layer in a state dict; empty if it does not fit."""
        sizes: list[tuple[int, int, int]] = []
        for number, layer in enumerate(self.layers):
            own = f"{prefix}layers.{number}."
            knots, base = (state_dict.get(own + name) for name in ("knots", "base_weight"))
            if not (isinstance(knots, Tensor) and isinstance(base, Tensor)):
                return []
            if knots.ndim != 2 or base.ndim != 2 or knots.shape[1] < 2 * layer.spline_order + 2:
                return []
            size = (base.shape[1], base.shape[0], knots.shape[1])
            shapes = {"knots": (size[0], size[2]), **layer._shapes(*size)}
            if any(getattr(state_dict.get(own + k), "shape", None) != v for k, v in shapes.items()):
                return []
            sizes.append(size)
        widths = [sizes[0][0], *(outputs for _, outputs, _ in sizes)]
        if [inputs for inputs, _, _ in sizes] != widths[:-1]:
            return []
        ends = (widths[0], widths[-1]) == (self._built[0], self._built[-1])
        hidden = zip(widths[1:-1], self._built[1:-1], strict=True)
        return sizes if ends and all(0 < width <= most for width, most in hidden) else []

    def forward(self, x: Tensor) -> Tensor:
        """``(…, in)`` to ``(…, out)``."""
        for layer in self.layers:
            x = layer(x)
        return x.contiguous()  # layers store points last, which makes losses slow

    def sweep(self, x: Tensor, pairs: Sequence[tuple[int, int]] | None = None) -> Derivatives:
        """Value, gradient and second derivatives with respect to the inputs in one forward sweep.

        Exact and differentiable in the parameters, and much cheaper than nested autograd. Used for
        PDE residuals and the curvature density.

        Args:
            x: ``(n, in)``.
            pairs: Second derivatives as pairs of input indices; the diagonal if omitted.

        Returns:
            Value, gradient and second derivatives, see :class:`Derivatives`.
        """
        variables = range(x.shape[1])
        pairs = [(d, d) for d in variables] if pairs is None else pairs
        numbers = [sorted((variables[d], variables[e])) for d, e in pairs]
        first = torch.eye(len(variables), dtype=x.dtype, device=x.device).unsqueeze(-1)
        streams = torch.cat([first, first.new_zeros(len(numbers), len(variables), 1)])
        alongs = [*((d,) for d in variables), *((d, e) for d, e in numbers)]
        value, streams = self._sweep(x.T.contiguous(), streams, alongs)
        streams = streams.permute(2, 1, 0)
        return Derivatives(value.T, streams[..., : len(variables)], streams[..., len(variables) :])

    def jet(self, inputs: Jet) -> Jet:
        """The outputs for given inputs, with the same derivatives.

        Exact and differentiable in the parameters and inputs, in one forward sweep::

            x, t = points[:, :1], points[:, 1:]
            u = network.jet(Jet.variables(points, [(0, 0, 0), (1,)]))
            u_xxx, u_t = u.stream((0, 0, 0)), u.stream((1,))

        Args:
            inputs: Jet of ``(n, in)``.

        Returns:
            Jet of ``(n, out)``.
        """
        alongs = inputs.alongs[1:]
        if not alongs:
            return Jet({(): self(inputs.value)}, inputs.alongs)
        derivatives = [inputs.stream(along) for along in alongs]
        # Derivatives that are the same at every point, such as those of the coordinates
        # themselves, stay a single point.
        if len(inputs) and all(t.stride(0) == 0 and not t.requires_grad for t in derivatives):
            streams = torch.stack([t[0] for t in derivatives]).unsqueeze(-1)
        else:
            streams = torch.stack([t.T for t in derivatives])
        value, streams = self._sweep(inputs.value.T.contiguous(), streams, alongs)
        outputs = dict(zip(alongs, streams.mT.unbind(0), strict=True))
        return Jet({(): value.T, **outputs}, inputs.alongs)

    def _sweep(
        self, value: Tensor, streams: Tensor, alongs: Sequence[Along]
    ) -> tuple[Tensor, Tensor]:
        """:meth:`KANLayer.sweep` through all layers."""
        for layer in self.layers:
            value, streams = layer.sweep(value, streams, alongs)
        return value, streams
