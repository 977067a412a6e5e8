"""Base class of importance density functions (IDFs), which weigh samples for knot placement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal

from torch import Tensor, nn

from kanlit.errors import ConfigurationError
from kanlit.nn import KANLayer
from kanlit.splines import sorted_order

__all__ = ["ImportanceContext", "ImportanceDensity", "Scope", "Weigher"]

Scope = Literal["network", "layer"]


@dataclass(frozen=True)
class ImportanceContext:
    """The data from which a density computes weights.

    Attributes:
        layer: The layer whose grid will be adapted.
        layer_input: Its input ``(rows, in)`` from the already adapted layers before it; one row
            per sample, or several if the layer is applied to each position of a sample.
        network: The whole network, which maps ``(n, …)`` to ``(n, out)``.
        network_input: ``(n, d)``, or ``(n, …)``.
        sample_losses: Loss of each sample ``(n,)``; ``None`` if unknown.
        leading: Shape of the layer's input without the feature axis, such as ``(n, positions)``;
            ``(rows,)`` if omitted.
    """

    layer: KANLayer
    layer_input: Tensor
    network: nn.Module
    network_input: Tensor
    sample_losses: Tensor | None = None
    leading: tuple[int, ...] = ()

    @cached_property
    def order(self) -> Tensor:
        """``(in, n)``, indices that sort the samples of each feature.

        Sorting takes a large part of an adaptation, so the result is cached.
        """
        return sorted_order(self.layer_input.detach())

    def by_row(self, weights: Tensor) -> Tensor:
        """Expands weights of the samples ``(n, …)`` to the rows of the layer ``(rows, …)``.

        Each row gets the weight of its sample; weights that are given by row are returned
        unchanged. If rows were flattened before the layer, they are ordered by sample.

        Raises:
            ConfigurationError: If no axis of the layer's input corresponds to the samples.
        """
        rows, samples = len(self.layer_input), len(self.network_input)
        if weights.shape[:1] == (rows,) or weights.shape[:1] != (samples,):
            return weights
        leading = self.leading or (rows,)
        if samples and leading[0] % samples == 0:
            return weights.repeat_interleave(rows // samples, dim=0)
        if samples not in leading:
            raise ConfigurationError(
                f"importance weights of {samples} samples do not fit a layer with {rows} input "
                f"rows of shape {leading}: choose a density of layer scope, such as DeBoorDensity"
            )
        axis = leading.index(samples)
        each = weights.repeat_interleave(prod(leading[axis + 1 :]), dim=0)
        return each.repeat(prod(leading[:axis]), *[1] * (weights.ndim - 1))


Weigher = Callable[[ImportanceContext], Tensor]


class ImportanceDensity(ABC):
    """Base class of all densities. A custom density is a subclass, named in YAML by its class path.

    With ``scope="layer"`` the weights are computed for each layer separately. With ``"network"``
    they are computed once per adaptation, before any layer has changed, and all layers use the
    same. ``uniform`` is True if weights are equal by design, so that equal weights are no failure.
    """

    scope: Scope = "layer"
    uniform: bool = False

    @abstractmethod
    def __call__(self, context: ImportanceContext) -> Tensor:
        """Importance weights ``(n,)`` or ``(n, in)``, finite and nonnegative, on any scale.

        Raises:
            ConfigurationError: If the context lacks what this density needs.
        """

    def prepare(self, context: ImportanceContext) -> Weigher:
        """Starts an adaptation; returns a function that gives the weights of each layer.

        Called once per adaptation, before any layer has changed. The default depends on ``scope``;
        only densities that combine others override it.

        Args:
            context: The context of the first layer, with the input of the network as its input.
        """
        if self.scope == "layer":
            return self
        weights = self(context)
        return lambda _: weights

    def state_dict(self) -> dict[str, Any]:
        """The state, for checkpoints: tensors and plain Python objects."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - most have no state
        """Restores a state from :meth:`state_dict`."""

    def check(self, network: nn.Module) -> None:  # noqa: B027 - most densities work anywhere
        """Raises :class:`ConfigurationError` if the density cannot work on this network.

        Called once before training starts.
        """
