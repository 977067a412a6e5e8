"""One KAN layer: a sum of learnable univariate functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kanlit import kernel
from kanlit.bases import Basis, BasisName
from kanlit.chain_rule import Along, check_closed
from kanlit.errors import ConfigurationError
from kanlit.nn.edges import Edges
from kanlit.nn.grid import AdaptiveGrid
from kanlit.nn.init import Initialization, glorot_fine_, plain_
from kanlit.nn.recording import recordable
from kanlit.splines import Outside

__all__ = ["KANLayer", "select_nodes"]


class KANLayer(AdaptiveGrid):
    r"""Maps ``(…, in)`` to ``(…, out)`` with one learnable function per edge.

    .. math::
        y_q = \sum_p \varphi_{qp}(x_p) + b_q, \qquad
        \varphi_{qp}(x) = r_{qp}\,\mathrm{silu}(x) + s_{qp} \sum_i c_{qpi} B_i(x)

    On the CPU a compiled kernel computes the sums if it was built, see :mod:`kanlit.kernel`. The
    environment variable ``KANLIT_KERNEL=0`` selects plain torch, as on other devices.

    Args:
        in_features: Number of inputs, at least 1.
        out_features: Number of outputs, at least 1.
        grid_size: G, intervals per input feature, at least 1.
        spline_order: k, degree of the splines, 1 to 5.
        grid_range: Ends of the initial, uniform grid.
        outside: Continuation outside the grid: ``"linear"`` by value and slope at its ends,
            ``"zero"`` falling to zero over the exterior knots, the published setting.
        basis: The basis functions B_i: ``"bspline"``, ``"radial"``, ``"chebyshev"``,
            ``"fourier"`` or a custom class, see :class:`kanlit.bases.Basis`.
        initialization: ``"glorot_fine"`` (arXiv 2601.18672) or ``"plain"``.
        generator: Random generator for the initial weights; torch's default if omitted.
        device: Device of the parameters.
        dtype: Their dtype, float32 or float64.

    Attributes:
        knots: ``(in, G+2k+1)``, a persistent buffer.
        coefficients: c ``(out, in, G+k)``.
        base_weight: r ``(out, in)``.
        edge_scale: s ``(out, in)``.
        bias: b ``(out,)``.
        edge_mask: ``(out, in)``, False for pruned edges; ``None`` if no edge is pruned. A
            persistent buffer.

    Raises:
        ConfigurationError: If a size or degree is out of range, or the basis is unknown.

    Source: Liu et al., KAN: Kolmogorov-Arnold Networks, arXiv 2404.19756; arXiv 2601.18672.
    """

    edge_mask: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
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
        if initialization not in ("glorot_fine", "plain"):
            raise ConfigurationError(
                f"initialization must be 'glorot_fine' or 'plain', got {initialization!r}"
            )
        super().__init__(
            in_features,
            out_features,
            grid_size,
            spline_order,
            grid_range,
            outside,
            basis,
            device,
            dtype,
        )
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.base_weight = nn.Parameter(torch.empty(out_features, in_features, **factory))
        self.edge_scale = nn.Parameter(torch.empty(out_features, in_features, **factory))
        self.bias = nn.Parameter(torch.empty(out_features, **factory))
        self.register_buffer("edge_mask", None)
        (glorot_fine_ if initialization == "glorot_fine" else plain_)(self, generator)

    # Internally points come last, (features, n), so that every step is contiguous in memory.

    def _edges(self) -> Edges:
        scale: Tensor = self.edge_scale
        base: Tensor = self.base_weight
        if self.edge_mask is not None:  # also stops the gradients, by the chain rule
            scale, base = scale * self.edge_mask, base * self.edge_mask
        return Edges(self._basis, self.coefficients, scale, base, self.bias)

    def _dense(self, derivatives: bool = False) -> bool:
        """Whether plain torch is faster with one matrix product over the basis functions."""
        return self._basis.prefers_product(
            self.grid_size, self.out_features, derivatives=derivatives
        )

    @recordable
    def forward(self, x: Tensor) -> Tensor:
        """``(…, in)`` to ``(…, out)``, in the dtype of the layer.

        Autocast is disabled, here and in the other evaluations, because bfloat16 cannot resolve the
        position of a point in its interval.

        Raises:
            RuntimeError: If the last size of x is not ``in``.
        """
        self._check_width(x.shape, (*x.shape[:-1], self.in_features))
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self.forward(x.to(self.knots.dtype))
        columns = x.reshape(-1, self.in_features).T.contiguous()
        edges = self._edges()
        evaluate = kernel.forward if kernel.supports(edges, columns) else Edges.forward
        y = evaluate(edges, columns, self._dense())
        return y.T.reshape(*x.shape[:-1], self.out_features)

    @recordable
    def sweep(
        self, value: Tensor, streams: Tensor, alongs: Sequence[Along]
    ) -> tuple[Tensor, Tensor]:
        r"""Propagates a value and its derivatives with respect to outer variables.

        .. math:: h = \varphi(x), \qquad
                  h_\alpha = \sum_\pi \varphi^{(|\pi|)}(x) \prod_{B \in \pi} x_B

        with the set partitions π of each multi-index α, such as
        :math:`h_{de} = \varphi''(x) x_d x_e + \varphi'(x) x_{de}`.

        Args:
            value: x ``(in, n)``; points come last here.
            streams: Derivatives of x ``(S, in, n)``, or ``(S, in, 1)`` if all are the same at
                every point.
            alongs: Their S multi-indices, the lowest orders first, with all lower derivatives that
                they depend on, see :func:`kanlit.chain_rule.closure`.

        Returns:
            The same two for the output of the layer, exact and differentiable in x and in the
            parameters: ``(out, n)`` and ``(S, out, n)``.

        Raises:
            ValueError: If the multi-indices are incomplete or do not match the streams.
            RuntimeError: If the first size of ``value`` is not ``in``.
        """
        self._check_width(value.shape, (self.in_features, *value.shape[1:]))
        if torch.is_autocast_enabled(value.device.type):
            with torch.autocast(value.device.type, enabled=False):
                own = self.knots.dtype
                return self.sweep(value.to(own), streams.to(own), alongs)
        alongs = tuple(alongs)
        check_closed(alongs)
        if len(alongs) != len(streams):
            raise ValueError(f"{len(alongs)} multi-indices, but {len(streams)} streams")
        edges = self._edges()
        low = len(alongs[-1]) <= kernel.HIGHEST_ORDER
        compiled = low and kernel.supports(edges, value, streams)
        evaluate = kernel.sweep if compiled else Edges.sweep
        return evaluate(edges, value, streams, alongs, self._dense(derivatives=True))

    @staticmethod
    def _check_width(shape: torch.Size, expected: tuple[int, ...]) -> None:
        if shape != expected:
            raise RuntimeError(
                f"input has shape {tuple(shape)}, but the layer takes {expected}: pass one value "
                "for each input feature"
            )

    def edge_functions(self, x: Tensor, derivative: int = 0) -> Tensor:
        r"""The function of each edge, or its derivative of any order.

        Args:
            x: ``(n, in)``.
            derivative: Order of the derivative.

        Returns:
            :math:`\varphi^{(d)}_{qp}(x_p)` as ``(n, in, out)``.
        """
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self.edge_functions(x.to(self.knots.dtype), derivative)
        return self._edges().functions(x.T.contiguous(), derivative).permute(2, 1, 0)

    def _shapes(self, inputs: int, outputs: int, knot_count: int) -> dict[str, tuple[int, ...]]:
        return {
            **super()._shapes(inputs, outputs, knot_count),
            "base_weight": (outputs, inputs),
            "edge_scale": (outputs, inputs),
            "bias": (outputs,),
        }

    @torch.inference_mode(False)
    @torch.no_grad()
    def retain(self, outputs: Tensor, inputs: Tensor, edges: Tensor) -> None:
        """Keeps only the selected nodes and edges.

        The tensors shrink to the selected nodes. A pruned edge between two of them is masked: it
        is zero and gets no gradient. Parameters remain the same objects, so optimizers keep their
        references. The gradient is dropped where a shape changes, and no autograd graph of an
        earlier evaluation may exist.

        Args:
            outputs: Outputs to keep, bool ``(out,)``, at least one.
            inputs: Inputs to keep, bool ``(in,)``, at least one.
            edges: Edges to keep, bool ``(out, in)``; ignored for removed nodes. Edges that were
                pruned before stay pruned.

        Raises:
            ValueError: If masks have other shapes, or no output or no input is kept.
        """
        shapes = [tuple(mask.shape) for mask in (outputs, inputs, edges)]
        sizes = (self.out_features, self.in_features)
        if shapes != [sizes[:1], sizes[1:], sizes] or not (outputs.any() and inputs.any()):
            raise ValueError(
                f"masks {shapes} do not fit a layer with {self.in_features} inputs and "
                f"{self.out_features} outputs, or keep no input or no output"
            )
        live = edges if self.edge_mask is None else edges & self.edge_mask
        live, knots = live[outputs][:, inputs], self.knots[inputs]
        kept = {
            name: select_nodes(p.detach(), outputs, inputs) for name, p in self.named_parameters()
        }
        self._resize(live.shape[1], live.shape[0], knots.shape[1])
        self.knots.copy_(knots)
        for name, values in kept.items():
            if values.ndim > 1:
                values[~live] = 0
            getattr(self, name).copy_(values)
        self.edge_mask = None if bool(live.all()) else live
        self._refresh()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Whether edges are pruned is part of the state, like G.
        mask = state_dict.get(prefix + "edge_mask")
        self.edge_mask = None if mask is None else torch.ones_like(self.base_weight).bool()
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return (
            f"{self.in_features}, {self.out_features}, grid_size={self.grid_size}, "
            f"spline_order={self.spline_order}, outside={self.outside!r}, basis={self.basis_name!r}"
        )


def select_nodes(values: Tensor, outputs: Tensor, inputs: Tensor) -> Tensor:
    """A copy of ``values`` restricted to the selected nodes.

    Args:
        values: ``(out,)`` or ``(out, in, …)``.
        outputs: Outputs to keep, bool ``(out,)``.
        inputs: Inputs to keep, bool ``(in,)``.
    """
    values = values[outputs]  # indexing with a mask copies
    return values if values.ndim == 1 else values[:, inputs]
