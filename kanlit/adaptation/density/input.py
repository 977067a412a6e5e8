"""The density of the inputs themselves."""

from __future__ import annotations

from torch import Tensor

from kanlit.adaptation.density.base import ImportanceContext, ImportanceDensity

__all__ = ["InputDensity"]


class InputDensity(ImportanceDensity):
    r"""Every sample counts alike, :math:`w_j = 1`: knots follow the input's own density."""

    uniform = True

    def __call__(self, context: ImportanceContext) -> Tensor:
        return context.layer_input.new_ones(context.layer_input.shape[0])
