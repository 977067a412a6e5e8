"""Removes nodes and edges that hardly affect the outputs of a KAN."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from kanlit.errors import ConfigurationError
from kanlit.nn.importance import mean_edge_outputs
from kanlit.nn.kan import KAN
from kanlit.nn.layer import KANLayer

__all__ = ["Kept", "PruningReport", "check_prunable", "check_threshold", "prune", "select"]


@dataclass(frozen=True)
class Kept:
    """Nodes and edges of a layer that are kept.

    Attributes:
        outputs: Bool ``(out,)``.
        inputs: Bool ``(in,)``.
        edges: Bool ``(out, in)``, True only between kept nodes.
    """

    outputs: Tensor
    inputs: Tensor
    edges: Tensor


@dataclass(frozen=True)
class PruningReport:
    """Result of pruning a network.

    Attributes:
        kept: What was kept of each layer, in the shapes before.
        widths_before: Inputs, hidden widths, outputs before.
        widths: The same afterwards.
        edges_before: Number of edges before, without edges pruned earlier.
        edges: Number of edges afterwards.
        unused_inputs: Indices of network inputs without edges.
        seconds: Wall time.
        loss_before: Training loss before; ``None`` if no loss was passed.
        loss: Training loss afterwards, before the next step.
    """

    kept: tuple[Kept, ...]
    widths_before: tuple[int, ...]
    widths: tuple[int, ...]
    edges_before: int
    edges: int
    unused_inputs: tuple[int, ...]
    seconds: float
    loss_before: float | None = None
    loss: float | None = None

    @property
    def pruned(self) -> bool:
        """Whether anything was removed."""
        return self.edges < self.edges_before or self.widths != self.widths_before


def check_threshold(name: str, value: float) -> None:
    """Checks that a threshold is in [0, 1).

    Raises:
        ConfigurationError: If it is not.
    """
    if not 0 <= value < 1:
        raise ConfigurationError(
            f"{name} must be at least 0 and below 1, a fraction of the largest importance, got "
            f"{value}: try 0.03"
        )


def check_prunable(network: nn.Module) -> Sequence[KANLayer]:
    """The layers of a network that can be pruned.

    Raises:
        ConfigurationError: If the network is not a :class:`~kanlit.nn.KAN`.
    """
    if isinstance(network, KAN):
        return network.layers
    name = type(network).__name__
    if not any(isinstance(module, KANLayer) for module in network.modules()):
        raise ConfigurationError(f"{name} contains no KANLayer, so there is nothing to prune")
    raise ConfigurationError(
        f"{name} is not a kanlit.nn.KAN: pruning needs layers whose outputs are the inputs of the "
        f"next layer; use kanlit.nn.KAN as the network or do not prune"
    )


def select(
    importances: Sequence[Tensor], node_threshold: float, edge_threshold: float
) -> tuple[Kept, ...]:
    r"""Selects the nodes and edges to keep by their importance.

    Keeps a hidden node p if :math:`A_p > \tau_n \max_{p'} A_{p'}` over its layer, and an edge if
    :math:`I_{qp} > \tau_e \max I` over its layer. Then removes edges without both nodes, and
    hidden nodes without an incoming and an outgoing edge. Thresholds of 0 remove only what has
    zero importance. Inputs and outputs of the network are always kept.

    Args:
        importances: I ``(out, in)`` of each layer, see :func:`~kanlit.nn.edge_importance`; the
            importance A of a node is the sum over its outgoing edges.
        node_threshold: τ_n in [0, 1).
        edge_threshold: τ_e in [0, 1).

    Raises:
        ConfigurationError: If a threshold is out of range, or a layer would lose all its nodes.
        ValueError: If importances are not finite.
    """
    check_threshold("node_threshold", node_threshold)
    check_threshold("edge_threshold", edge_threshold)
    if not all(bool(torch.isfinite(each).all()) for each in importances):
        raise ValueError("importances contain NaN or infinite values: the network has diverged")
    edges = [each > edge_threshold * each.max() for each in importances]
    nodes = [torch.ones_like(edges[0][0])]
    for outgoing in importances[1:]:
        total = outgoing.sum(0)
        nodes.append(total > node_threshold * total.max())
    nodes.append(torch.ones_like(edges[-1][:, 0]))
    while True:
        edges = [e & after.unsqueeze(1) & before for e, (before, after) in _between(edges, nodes)]
        connected = [n & e.any(1) & f.any(0) for n, (e, f) in _between(nodes[1:-1], edges)]
        if all(torch.equal(old, new) for old, new in zip(nodes[1:-1], connected, strict=True)):
            break
        nodes[1:-1] = connected
    for number, hidden in enumerate(nodes[1:-1], 1):
        if not bool(hidden.any()):
            raise ConfigurationError(
                f"no node would be left in hidden layer {number} with node_threshold "
                f"{node_threshold:g} and edge_threshold {edge_threshold:g}: lower them"
            )
    return tuple(Kept(after, before, e) for e, (before, after) in _between(edges, nodes))


def _between(
    items: Sequence[Tensor], sides: Sequence[Tensor]
) -> list[tuple[Tensor, tuple[Tensor, Tensor]]]:
    """Each item with its two neighbors."""
    return list(zip(items, pairwise(sides), strict=True))


@torch.no_grad()
def prune(
    network: nn.Module,
    x: Tensor,
    kept: Sequence[Kept],
    *,
    loss: Callable[[], Tensor] | None = None,
    max_loss_growth: float = math.inf,
) -> PruningReport:
    r"""Removes everything except the selected nodes and edges, in place.

    Replaces each pruned edge by its mean output, which is added to the bias:

    .. math:: b_q \leftarrow b_q + \sum_{p\ \mathrm{pruned}} \mathrm{mean}_j\,\varphi_{qp}(x_{jp})

    This is exact for constant edges, and of all constants it has the smallest squared error for
    others. Layers lose the rows and columns of removed nodes, which makes them faster. A pruned
    edge between two kept nodes is masked (:meth:`KANLayer.retain`); it saves no compute.

    Args:
        network: A :class:`~kanlit.nn.KAN`. No autograd graph of an earlier evaluation may exist:
            detach outputs that you keep.
        x: Inputs of the network ``(n, in)`` for the means.
        kept: What to keep of each layer, see :func:`select`.
        loss: Returns the training loss; if given, it is measured before and after.
        max_loss_growth: Largest allowed factor by which the loss may grow.

    Raises:
        ConfigurationError: If the network is not a KAN.
        ValueError: If the loss grows too much or is no longer finite. The network is then rolled
            back.
    """
    start = time.perf_counter()
    layers = check_prunable(network)
    saved = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    widths, edges = _sizes(layers)
    try:
        loss_before = float(loss()) if loss else None
        means = []
        for layer in layers:
            means.append(mean_edge_outputs(layer, x))
            x = layer(x)
        for layer, part, mean in zip(layers, kept, means, strict=True):
            layer.bias.add_(torch.where(part.edges, 0.0, mean).sum(1).to(layer.bias))
            layer.retain(part.outputs, part.inputs, part.edges)
        loss_after = float(loss()) if loss else None
        _check_growth(loss_before, loss_after, max_loss_growth)
    except BaseException:
        # Roll back after any failure, including Ctrl-C.
        network.load_state_dict(saved)
        raise
    left = _sizes(layers)
    unused = (~kept[0].edges.any(0)).nonzero().flatten().tolist()
    return PruningReport(
        kept=tuple(kept),
        widths_before=widths,
        widths=left[0],
        edges_before=edges,
        edges=left[1],
        unused_inputs=tuple(unused),
        seconds=time.perf_counter() - start,
        loss_before=loss_before,
        loss=loss_after,
    )


def _sizes(layers: Sequence[KANLayer]) -> tuple[tuple[int, ...], int]:
    """Widths and number of edges."""
    edges = 0
    for layer in layers:
        mask = layer.edge_mask
        edges += layer.base_weight.numel() if mask is None else int(mask.sum())
    return (layers[0].in_features, *(layer.out_features for layer in layers)), edges


def _check_growth(before: float | None, after: float | None, most: float) -> None:
    if before is None or after is None or not math.isfinite(before):
        return
    if not math.isfinite(after) or (math.isfinite(most) and after > most * before):
        raise ValueError(
            f"the loss grew from {before:.2e} to {after:.2e}, more than {most:g} times"
        )
