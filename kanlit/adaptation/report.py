"""What one adaptation did, for logs, plots and tests; plain data, no Lightning."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["AdaptationReport", "LayerAdaptation"]


@dataclass(frozen=True)
class LayerAdaptation:
    """What an adaptation did to one layer.

    Attributes:
        name: The layer's name inside the network, such as ``layers.0``.
        old_breakpoints: ``(in, G_old + 1)``.
        new_breakpoints: ``(in, G_new + 1)``.
        samples: ``(n, in)``, the layer's inputs from which the knots were placed.
        weights: ``(n,)`` or ``(n, in)``, the importance weights of these samples.
        refit_error: ``‖y_after − y_before‖ / ‖y_before‖`` of the layer's output on the samples.
        out_of_range: Share (0 to 1) of the entries of ``samples`` outside the old grid.
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
    """What an adaptation did to a network, or why it was rolled back.

    Attributes:
        layers: One entry for each KAN layer, from the first to the last; empty if rolled back.
        grid_size: G, intervals per input feature, after it.
        refit_error: ``‖f_after − f_before‖ / ‖f_before‖`` of the network's output on the samples.
        seconds: Wall time; of an adaptation by the callback, with the fetching of samples.
        loss_before: Training loss before it; ``None`` where the module gives none.
        loss_after: Training loss after it, before the next step; likewise.
        loss_replaced: Training loss that an extension by replaced knots would have had, where that
            was too much and knots were inserted instead; otherwise ``None``.
        failure: Why it was rolled back; ``None`` for an adaptation that holds.
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
        """The largest share of inputs outside the old grid among the layers."""
        return max((layer.out_of_range for layer in self.layers), default=0.0)
