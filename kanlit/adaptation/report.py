"""Report of an adaptation, for logs, plots and tests; plain data, without Lightning."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["AdaptationReport", "LayerAdaptation"]


@dataclass(frozen=True)
class LayerAdaptation:
    """The adaptation of one layer.

    Attributes:
        name: Name of the layer inside the network, such as ``layers.0``.
        old_breakpoints: ``(in, G_old + 1)``.
        new_breakpoints: ``(in, G_new + 1)``.
        samples: ``(n, in)``, inputs of the layer used for knot placement.
        weights: ``(n,)`` or ``(n, in)``, importance weights of these samples.
        refit_error: ``‖y_after − y_before‖ / ‖y_before‖`` of the layer's output on the samples.
        out_of_range: Fraction (0 to 1) of the entries of ``samples`` outside the old grid.
    """

    name: str
    old_breakpoints: Tensor
    new_breakpoints: Tensor
    samples: Tensor
    weights: Tensor
    refit_error: float
    out_of_range: float

    @property
    def grid_size(self) -> int:
        return self.new_breakpoints.shape[1] - 1

    @property
    def extended(self) -> bool:
        """Whether G grew."""
        return self.grid_size > self.old_breakpoints.shape[1] - 1


@dataclass(frozen=True)
class AdaptationReport:
    """The adaptation of a network, or why it was rolled back.

    Attributes:
        layers: One entry per KAN layer, from the first to the last; empty if rolled back.
        grid_size: Largest G of the layers after the adaptation.
        refit_error: ``‖f_after − f_before‖ / ‖f_before‖`` of the network's output on the samples.
        seconds: Wall time; for the callback, including the collection of samples.
        loss_before: Training loss before; ``None`` if there is no loss.
        loss_after: Training loss after, before the next step; likewise.
        loss_replaced: Training loss of an extension by replaced knots that was too high, so that
            knots were inserted instead; otherwise ``None``.
        failure: Why the adaptation was rolled back; ``None`` if it was not.
    """

    layers: tuple[LayerAdaptation, ...]
    grid_size: int
    refit_error: float
    seconds: float
    loss_before: float | None = None
    loss_after: float | None = None
    loss_replaced: float | None = None
    failure: str | None = None

    @property
    def out_of_range(self) -> float:
        """The largest fraction of inputs outside the old grid among the layers."""
        return max((layer.out_of_range for layer in self.layers), default=0.0)

    @property
    def summary(self) -> str:
        """One line for a log, which fits 80 columns with the epoch before it."""
        inserted = self.loss_replaced is not None
        how = "knots inserted" if inserted else f"refit error {self.refit_error:.1e}"
        change = "loss not measured (no loss(batch))"
        if self.loss_before is not None:
            change = f"loss {self.loss_before:.1e} -> {self.loss_after:.1e}"
        return f"grids adapted, G = {self.grid_size}, {how}, {change}"
