"""A weighted mean of several densities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kanlit.adaptation.density.base import ImportanceContext, ImportanceDensity, Weigher
from kanlit.adaptation.density.de_boor import DeBoorDensity
from kanlit.adaptation.density.gradient import GradientDensity
from kanlit.errors import ConfigurationError

__all__ = ["BlendedDensity"]


class BlendedDensity(ImportanceDensity):
    r"""Weighs samples by a weighted mean of several densities.

    .. math:: w_j = \sum_i s_i \frac{w_{ij}}{\bar w_i}, \qquad
              \bar w_i = \frac{1}{n} \sum_j w_{ij}, \qquad \sum_i s_i = 1

    A share is the fraction of knots that follow its density, independent of the scale of its
    weights. Means are taken per feature for weights ``(n, in)``. A density whose weights are all
    zero weighs all samples equally. Each density is evaluated by its own scope. Blends can be
    nested.

    Args:
        densities: The densities, at least one. By default DeBoorDensity and GradientDensity: half
            of the knots where the splines of each layer need them, half where the whole network is
            steep. This was the best choice in the benchmarks (docs/results/benchmark.md).
        shares: s, one per density, above 0; scaled to a sum of one. Equal if omitted.

    Raises:
        ConfigurationError: If there is no density, shares and densities differ in number, or a
            share is not positive; also whatever its densities raise.

    Example:
        >>> from kanlit.adaptation import CurvatureDensity, InputDensity
        >>> BlendedDensity([InputDensity(), CurvatureDensity()], [1, 3]).shares
        [0.25, 0.75]
    """

    def __init__(
        self,
        densities: list[ImportanceDensity] | None = None,
        shares: list[float] | None = None,
    ) -> None:
        if densities is None:
            densities = [DeBoorDensity(), GradientDensity()]
        if not densities:
            raise ConfigurationError("BlendedDensity needs at least one density")
        given = [1.0] * len(densities) if shares is None else list(shares)
        if len(given) != len(densities):
            raise ConfigurationError(
                f"shares must have one entry per density, {len(densities)}, got {len(given)}"
            )
        for share in given:
            if not 0 < share < float("inf"):
                raise ConfigurationError(
                    f"shares must be positive, got {share}: remove the density instead"
                )
        self.densities = list(densities)
        self.shares = [share / sum(given) for share in given]
        each = {density.scope for density in densities}
        self.scope = "layer" if "layer" in each else "network"
        self.uniform = all(density.uniform for density in densities)

    def check(self, network: nn.Module) -> None:
        for density in self.densities:
            density.check(network)

    def prepare(self, context: ImportanceContext) -> Weigher:
        weighers = [density.prepare(context) for density in self.densities]

        def weigh_rows(context: ImportanceContext) -> Tensor:
            weights = [context.by_row(weigh(context)) for weigh in weighers]
            return self._blend(weights).to(context.layer_input.dtype)

        return weigh_rows

    def __call__(self, context: ImportanceContext) -> Tensor:
        return self.prepare(context)(context)

    def _blend(self, weights: Sequence[Tensor]) -> Tensor:
        shapes = {tuple(w.shape) for w in weights}
        if len({shape[:1] for shape in shapes}) > 1 or len({s for s in shapes if len(s) > 1}) > 1:
            each = zip(self.densities, weights, strict=True)
            named = ", ".join(f"{type(d).__name__} {tuple(w.shape)}" for d, w in each)
            raise ValueError(
                f"importance weights of blended densities must be (n,) or (n, in) for the same "
                f"samples, got {named}"
            )
        by_feature = any(w.ndim == 2 for w in weights)
        blended = torch.zeros((), dtype=torch.float64, device=weights[0].device)
        for density, share, own in zip(self.densities, self.shares, weights, strict=True):
            if bool((own < 0).any()):  # the sum could still be nonnegative
                raise ValueError(f"importance weights of {type(density).__name__} are negative")
            own = own.unsqueeze(1) if by_feature and own.ndim == 1 else own
            blended = blended + share * _mean_one(own.double())
        return blended

    def state_dict(self) -> dict[str, Any]:
        return {
            "classes": [type(density).__qualname__ for density in self.densities],
            "states": [density.state_dict() for density in self.densities],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "classes" not in state:
            return  # the state of another density: start without state
        own = [type(density).__qualname__ for density in self.densities]
        if own != state["classes"]:
            raise ConfigurationError(
                f"the checkpoint's BlendedDensity blends {', '.join(map(str, state['classes']))}, "
                f"but this run blends {', '.join(own)}: use the same densities as that run"
            )
        states = state["states"]
        if len(states) != len(own) or not all(isinstance(kept, dict) for kept in states):
            raise ConfigurationError("the state of the checkpoint's BlendedDensity is malformed")
        for density, kept in zip(self.densities, states, strict=True):
            density.load_state_dict(kept)


def _mean_one(weights: Tensor) -> Tensor:
    """Divides weights ``(n,)`` or ``(n, in)`` by their mean per feature; ones if all are zero."""
    peak = weights.amax(0)
    scaled = torch.where(peak != 0, weights / torch.where(peak != 0, peak, 1.0), 1.0)
    return scaled / scaled.mean(0)
