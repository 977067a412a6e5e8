"""A network with the inputs and the ansatz of an equation around it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kanlit.nn import Jet
from kanlit.problems.form import SolutionForm
from kanlit.problems.names import Network

__all__ = ["Solution"]


class Solution:
    """Maps coordinates to unknowns: ``A(N(E(x)), x)``, see :class:`SolutionForm`.

    Args:
        network: N, with as many inputs and outputs as the form says.
        form: E and A.
    """

    def __init__(self, network: Network, form: SolutionForm) -> None:
        self._network = network
        self._form = form

    def __call__(self, x: Tensor) -> Tensor:
        """Unknowns ``(n, out)`` at points ``(n, d)``."""
        columns = x.split(1, 1)
        raw = self._network(torch.cat(self._form.embedded(columns), 1))
        return torch.cat(self._form.completed(raw.split(1, 1), columns), 1)

    def jet(self, x: Jet) -> Jet:
        """Unknowns with derivatives, ``(n, out)``, for coordinates ``(n, d)`` with derivatives."""
        columns = [x[:, axis : axis + 1] for axis in range(x.shape[1])]
        inputs: Any = torch.cat(self._form.embedded(columns), 1)  # a jet, as its parts are
        raw = self._network.jet(inputs)
        outputs = [raw[:, number : number + 1] for number in range(raw.shape[1])]
        found: Any = torch.cat(self._form.completed(outputs, columns), 1)
        return found
