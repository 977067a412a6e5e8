"""Takes nodes and edges out of a KAN that its outputs hardly depend on."""

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
    """What of a layer stays.

    Attributes:
        outputs: Bool ``(out,)``.
        inputs: Bool ``(in,)``.
        edges: Bool ``(out, in)``, true only between nodes that stay.
    """

    outputs: Tensor
    inputs: Tensor
    edges: Tensor


@dataclass(frozen=True)
class PruningReport:
    """What a pruning did to a network.

    Attributes:
        kept: For each layer, in the sizes before.
        widths_before: Inputs, hidden widths, outputs.
        widths: The same afterwards.
        edges_before: How many edges there were, without those put out earlier.
        edges: How many there are.
        unused_inputs: Numbers, from 0, of the network's inputs that no edge is left of.
        seconds: Wall time.
        loss_before: Training loss before it; ``None`` where none was passed.
        loss: The same afterwards, before the next step.
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
        """Whether anything was taken out."""
        return self.edges < self.edges_before or self.widths != self.widths_before


def check_threshold(name: str, value: float) -> None:
    """Refuses what cannot be a threshold.

    Raises:
        ConfigurationError: It is not in [0, 1).
    """
    if not 0 <= value < 1:
        raise ConfigurationError(
            f"{name} must be at least 0 and under 1, a share of the most important, got {value}: "
            f"try 0.03"
        )


def check_prunable(network: nn.Module) -> list[KANLayer]:
    """The layers of a network that can be pruned.

    Raises:
        ConfigurationError: It is no :class:`~kanlit.nn.KAN`.
    """
    if isinstance(network, KAN):
        return [layer for layer in network.layers if isinstance(layer, KANLayer)]
    name = type(network).__name__
    if not any(isinstance(module, KANLayer) for module in network.modules()):
        raise ConfigurationError(f"{name} holds no KANLayer, so there is nothing to prune")
    raise ConfigurationError(
        f"{name} is no kanlit.nn.KAN: pruning has to know that each layer takes what the one "
        f"before it gives; build the network of KAN or leave pruning out"
    )


def select(
    importances: Sequence[Tensor], node_threshold: float, edge_threshold: float
) -> tuple[Kept, ...]:
    r"""Says by their importance which nodes and edges stay.

    A hidden node p stays if :math:`A_p > \tau_n \max_{p'} A_{p'}` over its layer, an edge if
    :math:`I_{qp} > \tau_e \max I` over its layer; but no edge without its nodes, and no hidden node
    without an edge that leads to it and one that leads from it. With thresholds of 0 goes what
    has no importance at all. Inputs and outputs of the network stay.

    Args:
        importances: I ``(out, in)`` of each layer, see :func:`~kanlit.nn.edge_importance`; the
            importance A of a node is the sum over its outgoing edges.
        node_threshold: τ_n in [0, 1).
        edge_threshold: τ_e in [0, 1).

    Raises:
        ConfigurationError: A threshold out of its range; a layer in which nothing would stay.
        ValueError: Importances that are not finite.
    """
    check_threshold("node_threshold", node_threshold)
    check_threshold("edge_threshold", edge_threshold)
    if not all(bool(torch.isfinite(each).all()) for each in importances):
        raise ValueError("the importances hold NaN or infinite values: the network has diverged")
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
    """Each item with what lies on both sides of it."""
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
    r"""Takes out all but what is to be kept; the network gets smaller in place.

    .. math:: b_q \leftarrow b_q + \sum_{p\ \mathrm{pruned}} \mathrm{mean}_j\,\varphi_{qp}(x_{jp})

    so that an edge whose output is constant goes without a trace, and any other at the least cost
    in squared error that a constant can have. Layers lose the rows and columns of nodes that go,
    which is what makes them faster; an edge that goes while its nodes stay is held at zero
    (:meth:`KANLayer.retain`), and costs what it did.

    Args:
        network: A :class:`~kanlit.nn.KAN`. No graph of an earlier evaluation may be held: detach
            outputs that are kept.
        x: Its inputs ``(n, in)``, over which the means are taken.
        kept: What stays of each layer, see :func:`select`.
        loss: Gives the training loss; measured before and after where it is passed.
        max_loss_growth: The loss may grow by this factor at most.

    Raises:
        ConfigurationError: A network that is no KAN.
        ValueError: The loss has grown too far, or is not finite any more. The network is then as
            it was before, whole.
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
        # Whatever went wrong, and Ctrl-C too: the network is handed back as it came.
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
    """Widths, and how many edges there are."""
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
