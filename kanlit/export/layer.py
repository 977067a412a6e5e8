"""A KAN layer in operations that ONNX and torch.export support."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn import functional as F

from kanlit.nn import KANLayer

__all__ = ["ExportableLayer", "exportable"]


class ExportableLayer(nn.Module):
    r"""The function of a :class:`~kanlit.nn.KANLayer`, without trainable parameters.

    .. math:: y_q = \sum_p \Big( r_{qp}\,\mathrm{silu}(x_p) + \sum_i c_{qpi} B_i(x_p) \Big) + b_q

    Args:
        layer: The layer, whose basis and weights are copied in their dtype.
    """

    base_weight: Tensor
    bias: Tensor

    def __init__(self, layer: KANLayer) -> None:
        super().__init__()
        scaled = (layer.edge_scale.unsqueeze(-1) * layer.coefficients).detach()
        self.curves = layer.exact_basis.exportable(scaled)
        self.register_buffer("base_weight", layer.base_weight.detach().T.clone())
        self.register_buffer("bias", layer.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in)`` to ``(n, out)``."""
        return self.curves(x) + F.silu(x) @ self.base_weight + self.bias


def exportable(module: nn.Module) -> nn.Module:
    """A copy of a module whose :class:`~kanlit.nn.KANLayer` modules are exportable."""
    twin = copy.deepcopy(module).eval()
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, KANLayer):
                setattr(parent, name, ExportableLayer(child))
    return ExportableLayer(twin) if isinstance(twin, KANLayer) else twin
