"""How sound an adaptation looks: measures of its weights and knots, and warnings by name.

The names are those of arXiv 2601.18672 for the ways in which grid adaptation fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kanlit.adaptation.report import AdaptationReport, LayerAdaptation
from kanlit.errors import ConfigurationError

__all__ = ["GridHealth", "HealthWatch", "grid_health"]

# What counts as a failure; far outside what the benchmarks of the paper show when they go well.
_FLAT_SHARE = 0.995
_BARE_STEPS, _EDGE_LOSS = 3.0, 4.0
_JITTER_STEPS, _JITTER_TIMES = 0.5, 4
_LEARNT_SHARE, _LEARNT_STEPS = 0.5, 200
_STAGE_STEPS = 100  # after fewer optimiser steps nothing can be said of what was learnt


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


class HealthWatch:
    """Looks at the adaptations of a run, one after another, and tells each failure once.

    What it remembers is its ``state_dict``: plain numbers and strings.

    Attributes:
        untrained: Loss before the first optimiser step; ``None`` where it was not measured.
    """

    def __init__(self) -> None:
        self._told: list[str] = []
        self.untrained: float | None = None
        self._adapted_at = 0
        self._moves: list[float] = []  # of the adaptations at this G, the latest few
        self._extended = False

    def look(
        self,
        report: AdaptationReport,
        step: int,
        sample_losses: Tensor | None = None,
        uniform_density: bool = False,
    ) -> list[str]:
        """What is wrong with an adaptation, by name and with the cure; empty if nothing is.

        Args:
            report: The adaptation.
            step: Optimiser steps so far.
            sample_losses: Loss of each sample of the first layer ``(n,)``, before it.
            uniform_density: Whether the density gives equal weights by intent.
        """
        trained = step - self._adapted_at >= _STAGE_STEPS
        self._adapted_at = step
        if step == 0:
            self.untrained = report.loss_before
        first = report.layers[0]
        if any(layer.extended for layer in report.layers) or not trained:
            self._moves.clear()
        else:
            self._moves = [*self._moves[1 - _JITTER_TIMES :], grid_health(first).displacement]
        found = {
            "flat grid": None if uniform_density else _flat(report),
            "boundary collapse": _bare_edge(first, sample_losses) if trained else None,
            "grid jitter": _jitter(self._moves),
            "first grid too coarse": self._coarse(report) if step >= _LEARNT_STEPS else None,
        }
        self._extended |= step > 0 and any(layer.extended for layer in report.layers)
        new = {n: text for n, text in found.items() if text is not None and n not in self._told}
        self._told += new
        return [f"{name}: {text}" for name, text in new.items()]

    def _coarse(self, report: AdaptationReport) -> str | None:
        """At the first extension the loss should have come down."""
        before, untrained = report.loss_before, self.untrained
        if self._extended or not any(layer.extended for layer in report.layers):
            return None
        if before is None or untrained is None or not before > _LEARNT_SHARE * untrained:
            return None
        return (
            f"before this extension the loss had only come from {untrained:.2e} to {before:.2e}: "
            f"begin with a larger G, or train longer"
        )

    def state_dict(self) -> dict[str, Any]:
        """What it remembers."""
        return {
            "told": list(self._told),
            "untrained": self.untrained,
            "adapted_at": self._adapted_at,
            "moves": list(self._moves),
            "extended": self._extended,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up where another left off.

        Raises:
            ConfigurationError: A state that is not one.
        """
        self._told, self._moves = list(state["told"]), list(state["moves"])
        if not all(type(move) is float for move in self._moves):
            raise ConfigurationError(f"moves of knots must be numbers, got {self._moves}")
        self.untrained, self._extended = state["untrained"], state["extended"]
        self._adapted_at = state["adapted_at"]


def _flat(report: AdaptationReport) -> str | None:
    flat = [n.name for n in report.layers if grid_health(n).effective_samples > _FLAT_SHARE]
    if not flat:
        return None
    return (
        f"the importance weights of {', '.join(flat)} are all but equal, so knots follow the "
        f"inputs alone: lower epsilon or raise power"
    )


def _jitter(moves: Sequence[float]) -> str | None:
    if len(moves) < _JITTER_TIMES or min(moves) < _JITTER_STEPS:
        return None
    return (
        f"knots moved by {min(moves):.1f} steps and more in each of the last {_JITTER_TIMES} "
        f"adaptations: use more samples (a larger batch or max_samples), adapt less often or "
        f"raise uniform_mix"
    )


def _bare_edge(layer: LayerAdaptation, sample_losses: Tensor | None) -> str | None:
    """The first input (from 1) with a wide end interval in which the loss is high."""
    if sample_losses is None or len(sample_losses) != len(layer.samples):
        return None
    b = layer.new_breakpoints
    step = (b[:, -1] - b[:, 0]) / layer.grid_size
    for place, x in enumerate(layer.samples.unbind(1)):
        left, right = b[place, 1], b[place, -2]
        for inside, width in ((x < left, left - b[place, 0]), (x > right, b[place, -1] - right)):
            if width < _BARE_STEPS * step[place] or not inside.any() or inside.all():
                continue
            if sample_losses[inside].mean() > _EDGE_LOSS * sample_losses[~inside].mean():
                return (
                    f"knots of input {place + 1} crowd away from an edge where the loss is "
                    f"{_EDGE_LOSS:g} times that of the rest and more: raise uniform_mix or "
                    f"lower power"
                )
    return None
