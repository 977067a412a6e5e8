"""What every importance density function (IDF) is: how much each sample counts for the knots."""

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
    """What a density may look at.

    Attributes:
        layer: The layer whose grid is about to be adapted.
        layer_input: Its input ``(rows, in)``, as the already adapted layers before it give it; one
            row per sample, or several where the layer is applied to each position of a sample.
        network: The whole network, a map from ``(n, d)``, or samples of any other shape, to
            ``(n, out)``.
        network_input: ``(n, d)``, or ``(n, …)``.
        sample_losses: Loss of each sample ``(n,)``, or ``None`` where it is not known.
        leading: Shape of the layer's input without its features, such as ``(n, positions)``;
            left out, ``(rows,)``.
    """

    layer: KANLayer
    layer_input: Tensor
    network: nn.Module
    network_input: Tensor
    sample_losses: Tensor | None = None
    leading: tuple[int, ...] = ()

    @cached_property
    def order(self) -> Tensor:
        """``(in, n)``, the numbers of the samples in rising order, feature by feature.

        Sorting takes a good part of an adaptation, so all who need the order share it.
        """
        return sorted_order(self.layer_input.detach())

    def by_row(self, weights: Tensor) -> Tensor:
        """Weights of the samples ``(n, …)`` as weights of the layer's rows ``(rows, …)``.

        Each row of a sample gets the sample's weight; weights of rows stay as they are. Rows that
        were flattened before the layer belong to the samples in order.

        Raises:
            ConfigurationError: No axis of the layer's input belongs to the samples.
        """
        rows, samples = len(self.layer_input), len(self.network_input)
        if weights.shape[:1] == (rows,) or weights.shape[:1] != (samples,):
            return weights
        leading = self.leading or (rows,)
        if samples and leading[0] % samples == 0:
            return weights.repeat_interleave(rows // samples, dim=0)
        if samples not in leading:
            raise ConfigurationError(
                f"importance weights of {samples} samples do not fit a layer that sees {rows} rows "
                f"of them, {leading}: choose a density of layer scope, such as DeBoorDensity"
            )
        axis = leading.index(samples)
        each = weights.repeat_interleave(prod(leading[axis + 1 :]), dim=0)
        return each.repeat(prod(leading[:axis]), *[1] * (weights.ndim - 1))


Weigher = Callable[[ImportanceContext], Tensor]


class ImportanceDensity(ABC):
    """Base of all densities. A density of one's own is a subclass, named in YAML by its path.

    ``scope`` says how often it is asked: ``"layer"``, anew for each layer; ``"network"``, once
    for each adaptation, on the network before any layer has changed, and all layers share the
    weights. ``uniform`` says whether the weights are equal by design, so that equal ones are no
    sign of a failure.
    """

    scope: Scope = "layer"
    uniform: bool = False

    @abstractmethod
    def __call__(self, context: ImportanceContext) -> Tensor:
        """Importance weights, ``(n,)`` or ``(n, in)``, finite and not negative; any scale.

        Raises:
            ConfigurationError: The context lacks what this density needs.
        """

    def prepare(self, context: ImportanceContext) -> Weigher:
        """Begins an adaptation: what gives the weights of each layer in turn.

        Called once for each adaptation, on the network before any layer has changed. ``scope``
        decides here; only a density that is made of others needs its own.

        Args:
            context: That of the network's first layer, with the network's input as its input.
        """
        if self.scope == "layer":
            return self
        weights = self(context)
        return lambda _: weights

    def state_dict(self) -> dict[str, Any]:
        """What the density remembers, for checkpoints: tensors and plain Python."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - most have no state
        """Takes up where another left off."""

    def check(self, network: nn.Module) -> None:  # noqa: B027 - most densities work anywhere
        """Raises :class:`ConfigurationError` if the density cannot work on this network.

        Called once before training starts.
        """
