"""Networks of successive windows of one input, such as time, as one network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanlit.nn.jets import Jet
from kanlit.nn.kan import KAN

__all__ = ["Windows"]


class Windows:
    r"""One network per window of an input t, which it sees scaled to its window.

    .. math:: u(x, t) = N_k\Big(x, \frac{2 (t - e_k)}{e_{k+1} - e_k} - 1\Big),
              \qquad e_k \le t < e_{k+1}

    The first window also has all earlier t, and the last all later ones.

    Args:
        networks: N of each window, ``(n, in)`` to ``(n, out)``.
        edges: e ``(windows + 1,)``, increasing.
        column: Index of t among the inputs.
    """

    def __init__(self, networks: Sequence[KAN], edges: Tensor, column: int) -> None:
        self._networks = networks
        self._edges = edges
        self._column = column

    def __call__(self, x: Tensor) -> Tensor:
        """Values ``(n, out)``."""
        found = self._networks[0](self.local(x, 0))
        for k in range(1, len(self._networks)):
            found = torch.where(self._begun(x, k), self._networks[k](self.local(x, k)), found)
        return found

    def jet(self, inputs: Jet) -> Jet:
        """Values with derivatives, ``(n, out)``, for inputs ``(n, in)`` with derivatives."""
        found = self._networks[0].jet(self._local_jet(inputs, 0))
        for k in range(1, len(self._networks)):
            begun = self._begun(inputs.value, k)
            own = self._networks[k].jet(self._local_jet(inputs, k))
            streams = {
                along: torch.where(begun, own.stream(along), found.stream(along))
                for along in found.alongs
            }
            found = Jet(streams, found.alongs)
        return found

    def local(self, x: Tensor, k: int) -> Tensor:
        """What the network of window k sees of inputs ``(n, in)``."""
        return self._with_t((self._t(x) - self._edges[k]) * self._scale(k) - 1, x)

    def _local_jet(self, inputs: Jet, k: int) -> Jet:
        streams = {}
        for along, t in inputs.streams.items():
            if along:
                same = t.stride(0) == 0 and len(t) > 0  # at all points, see KAN.jet
                rows = t[:1] if same else t
                scaled = self._with_t(self._t(rows) * self._scale(k), rows)
                streams[along] = scaled.expand(t.shape)
        return Jet({(): self.local(inputs.value, k), **streams}, inputs.alongs)

    def _t(self, x: Tensor) -> Tensor:
        return x[:, self._column : self._column + 1]

    def _with_t(self, t: Tensor, x: Tensor) -> Tensor:
        return torch.cat([x[:, : self._column], t, x[:, self._column + 1 :]], 1)

    def _scale(self, k: int) -> Tensor:
        return 2 / (self._edges[k + 1] - self._edges[k])

    def _begun(self, x: Tensor, k: int) -> Tensor:
        return self._t(x) >= self._edges[k]
