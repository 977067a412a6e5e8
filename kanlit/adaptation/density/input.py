"""The density of the inputs."""

from __future__ import annotations

from torch import Tensor

from kanlit.adaptation.density.base import ImportanceContext, ImportanceDensity

__all__ = ["InputDensity"]


class InputDensity(ImportanceDensity):
    r"""Weighs all samples equally, :math:`w_j = 1`: knots follow the distribution of the inputs."""

    uniform = True

    def __call__(self, context: ImportanceContext) -> Tensor:
        return context.layer_input.new_ones(context.layer_input.shape[0])
