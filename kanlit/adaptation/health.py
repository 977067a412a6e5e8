"""How sound an adaptation looks: measures of its weights and knots, and warnings by name.

The names are those of arXiv 2601.18672 for the ways in which grid adaptation fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kanlit.adaptation.report import AdaptationReport, LayerAdaptation

__all__ = ["GridHealth", "grid_health", "health_warnings"]

# What counts as a failure; far outside what the benchmarks of the paper show when they go well.
_FLAT_SHARE = 0.995
_BARE_EDGE, _EDGE_LOSS = 1 / 3, 5.0
_JITTER_STEPS, _JITTER_TIMES = 0.5, 3
_LEARNT_SHARE, _STAGE_STEPS = 0.5, 100


@dataclass(frozen=True)
class GridHealth:
    r"""Measures of one layer's adaptation; each is the worst among its input features.

    Attributes:
        effective_samples: :math:`(\sum w)^2 / (n \sum w^2)`, the share of the samples that count:
            1 for equal weights, 1/n for one that takes all. The smallest.
        edge_coverage: Uniform step over the wider of the two end intervals, at most 1: how well
            the edges are covered. The smallest.
        displacement: Mean move of the breakpoints since the adaptation before, in units of the
            new uniform step; the old ones are interpolated where G changed. The largest.
    """

    effective_samples: float
    edge_coverage: float
    displacement: float


def grid_health(layer: LayerAdaptation) -> GridHealth:
    """The health of one layer's adaptation."""
    weights = layer.weights.double()
    weights = weights if weights.ndim == 2 else weights.unsqueeze(1)
    peak = weights.amax(0)
    scaled = weights / torch.where(peak > 0, peak, 1.0)
    square = scaled.square().sum(0)
    share = torch.where(square > 0, scaled.sum(0).square() / (len(weights) * square), 1.0)
    new = layer.new_breakpoints.double()
    step = (new[:, -1] - new[:, 0]) / layer.grid_size
    ends = torch.maximum(new[:, 1] - new[:, 0], new[:, -1] - new[:, -2])
    move = (new - _resampled(layer.old_breakpoints.double(), layer.grid_size)).abs().mean(1)
    return GridHealth(
        effective_samples=float(share.min()),
        edge_coverage=float((step / ends).clamp(max=1.0).min()),
        displacement=float((move / step).max()),
    )


def _resampled(breakpoints: Tensor, grid_size: int) -> Tensor:
    """Breakpoints of another G at the same shares along the old ones, ``(in, G+1)``."""
    count = breakpoints.shape[1] - 1
    place = torch.linspace(0, count, grid_size + 1, dtype=torch.float64, device=breakpoints.device)
    left = place.floor().long().clamp(max=count - 1)
    return torch.lerp(breakpoints[:, left], breakpoints[:, left + 1], place - left)


def health_warnings(
    report: AdaptationReport,
    displacements: Sequence[float],
    first_loss: float | None,
    stage_steps: int,
    sample_losses: Tensor | None = None,
    uniform_density: bool = False,
) -> list[str]:
    """What is wrong with an adaptation, by name and with the cure; empty if nothing is.

    Args:
        report: The adaptation.
        displacements: Largest displacement of each adaptation at this G so far, this one last.
        first_loss: Loss before the first adaptation, on the untrained network.
        stage_steps: Optimiser steps since the adaptation before; after a few nothing is learnt.
        sample_losses: Loss of each sample of the first layer ``(n,)``.
        uniform_density: Whether the density gives equal weights by intent.
    """
    found = []
    healths = {layer.name: grid_health(layer) for layer in report.layers}
    flat = [n for n, h in healths.items() if h.effective_samples > _FLAT_SHARE]
    if flat and not uniform_density:
        found.append(
            f"flat grid: the importance weights of {', '.join(flat)} are all but equal, so knots "
            f"follow the inputs alone: lower epsilon or raise power"
        )
    bare = _bare_edges(report.layers[0], sample_losses)
    if bare:
        found.append(
            f"boundary collapse: knots of input {bare} crowd away from an edge where the loss is "
            f"{_EDGE_LOSS:g} times the mean and more: raise uniform_mix or lower power"
        )
    recent = displacements[-_JITTER_TIMES:]
    if len(recent) == _JITTER_TIMES and min(recent) > _JITTER_STEPS and stage_steps >= _STAGE_STEPS:
        found.append(
            f"grid jitter: knots moved by {min(recent):.1f} steps and more in each of the last "
            f"{_JITTER_TIMES} adaptations: use more samples (a larger batch or max_samples), "
            f"adapt less often or raise uniform_mix"
        )
    grew = any(layer.grid_size > layer.old_breakpoints.shape[1] - 1 for layer in report.layers)
    if (
        grew
        and stage_steps >= _STAGE_STEPS
        and first_loss is not None
        and report.loss_before is not None
        and report.loss_before > _LEARNT_SHARE * first_loss
    ):
        found.append(
            f"first grid too coarse: before this extension the loss had only come from "
            f"{first_loss:.2e} to {report.loss_before:.2e}: begin with a larger G, or train longer"
        )
    return found


def _bare_edges(layer: LayerAdaptation, sample_losses: Tensor | None) -> int | None:
    """The first input (from 1) with a wide end interval in which the loss is high."""
    if sample_losses is None or len(sample_losses) != len(layer.samples):
        return None
    breakpoints = layer.new_breakpoints
    step = (breakpoints[:, -1] - breakpoints[:, 0]) / layer.grid_size
    mean = sample_losses.mean()
    for place in range(breakpoints.shape[0]):
        x = layer.samples[:, place]
        b = breakpoints[place]
        for inside, width in ((x < b[1], b[1] - b[0]), (x > b[-2], b[-1] - b[-2])):
            wide = width * _BARE_EDGE > step[place]
            if wide and inside.any() and sample_losses[inside].mean() > _EDGE_LOSS * mean:
                return place + 1
    return None
