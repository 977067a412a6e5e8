"""Health of grid adaptations: measures of weights and knots, and warnings.

The warnings have the names that arXiv 2601.18672 gives to failure modes of grid adaptation.
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

# Thresholds of failures, far outside the values in successful benchmarks of the paper.
_FLAT_FRACTION = 0.995
_BARE_STEPS, _EDGE_LOSS = 3.0, 4.0
_JITTER_STEPS, _JITTER_TIMES = 0.5, 4
_LEARNED_FRACTION, _LEARNED_STEPS = 0.5, 200
_STAGE_STEPS = 100  # with fewer optimizer steps since the last adaptation, there is no verdict


@dataclass(frozen=True)
class GridHealth:
    r"""Measures of the adaptation of one layer, each for its worst input feature.

    Attributes:
        effective_samples: :math:`(\sum w)^2 / (n \sum w^2)`, the effective fraction of samples: 1
            for equal weights, 1/n if a single sample has all the weight. The minimum.
        edge_coverage: Uniform interval width over the wider of the two end intervals, at most 1:
            how well the ends of the range are covered. The minimum.
        displacement: Mean displacement of the breakpoints since the previous adaptation, in units
            of the new uniform interval width; old ones are interpolated if G changed. The maximum.
    """

    effective_samples: float
    edge_coverage: float
    displacement: float


def grid_health(layer: LayerAdaptation) -> GridHealth:
    """The health of the adaptation of one layer."""
    weights = layer.weights.double()
    weights = weights if weights.ndim == 2 else weights.unsqueeze(1)
    peak = weights.amax(0)
    scaled = weights / torch.where(peak > 0, peak, 1.0)
    square = scaled.square().sum(0)
    fraction = torch.where(square > 0, scaled.sum(0).square() / (len(weights) * square), 1.0)
    new = layer.new_breakpoints.double()
    step = (new[:, -1] - new[:, 0]) / layer.grid_size
    ends = torch.maximum(new[:, 1] - new[:, 0], new[:, -1] - new[:, -2])
    move = (new - _resampled(layer.old_breakpoints.double(), layer.grid_size)).abs().mean(1)
    return GridHealth(
        effective_samples=float(fraction.min()),
        edge_coverage=float((step / ends).clamp(max=1.0).min()),
        displacement=float((move / step).max()),
    )


def _resampled(breakpoints: Tensor, grid_size: int) -> Tensor:
    """Interpolates breakpoints to another G, ``(in, G+1)``."""
    count = breakpoints.shape[1] - 1
    place = torch.linspace(0, count, grid_size + 1, dtype=torch.float64, device=breakpoints.device)
    left = place.floor().long().clamp(max=count - 1)
    return torch.lerp(breakpoints[:, left], breakpoints[:, left + 1], place - left)


class HealthWatch:
    """Checks the successive adaptations of a run and reports each kind of failure once.

    Its ``state_dict`` contains plain numbers and strings.

    Attributes:
        untrained: Loss before the first optimizer step; ``None`` if it was not measured.
    """

    def __init__(self) -> None:
        self._reported: list[str] = []
        self.untrained: float | None = None
        self._adapted_at = 0
        self._moves: list[float] = []  # displacements of the latest adaptations at this G
        self._extended = False

    def check(
        self,
        report: AdaptationReport,
        step: int,
        sample_losses: Tensor | None = None,
        uniform_density: bool = False,
    ) -> list[str]:
        """Returns the failures of an adaptation, each with its name and remedy.

        Args:
            report: The adaptation.
            step: Optimizer steps so far.
            sample_losses: Loss of each sample of the first layer ``(n,)`` before the adaptation.
            uniform_density: Whether the density gives equal weights by design.
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
        failures = {
            "flat grid": None if uniform_density else _flat(report),
            "boundary collapse": _bare_edge(first, sample_losses) if trained else None,
            "grid jitter": _jitter(self._moves),
            "first grid too coarse": self._coarse(report) if step >= _LEARNED_STEPS else None,
        }
        self._extended |= step > 0 and any(layer.extended for layer in report.layers)
        new = {
            name: text
            for name, text in failures.items()
            if text is not None and name not in self._reported
        }
        self._reported += new
        return [f"{name}: {text}" for name, text in new.items()]

    def _coarse(self, report: AdaptationReport) -> str | None:
        """Checks that the loss has decreased before the first extension."""
        before, untrained = report.loss_before, self.untrained
        if self._extended or not any(layer.extended for layer in report.layers):
            return None
        if before is None or untrained is None or not before > _LEARNED_FRACTION * untrained:
            return None
        return (
            f"before this extension the loss had only decreased from {untrained:.2e} to "
            f"{before:.2e}: start with a larger G, or train longer"
        )

    def state_dict(self) -> dict[str, Any]:
        """The state, for checkpoints."""
        return {
            "reported": list(self._reported),
            "untrained": self.untrained,
            "adapted_at": self._adapted_at,
            "moves": list(self._moves),
            "extended": self._extended,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a state from :meth:`state_dict`.

        Raises:
            ConfigurationError: If the state is invalid.
        """
        self._reported, self._moves = list(state["reported"]), list(state["moves"])
        if not all(type(move) is float for move in self._moves):
            raise ConfigurationError(f"displacements of knots must be floats, got {self._moves}")
        self.untrained, self._extended = state["untrained"], state["extended"]
        self._adapted_at = state["adapted_at"]


def _flat(report: AdaptationReport) -> str | None:
    flat = [n.name for n in report.layers if grid_health(n).effective_samples > _FLAT_FRACTION]
    if not flat:
        return None
    return (
        f"the importance weights of {', '.join(flat)} are almost equal, so knots follow only the "
        f"distribution of the inputs: lower epsilon or raise power"
    )


def _jitter(moves: Sequence[float]) -> str | None:
    if len(moves) < _JITTER_TIMES or min(moves) < _JITTER_STEPS:
        return None
    return (
        f"knots moved by at least {min(moves):.1f} interval widths in each of the last "
        f"{_JITTER_TIMES} adaptations: use more samples (a larger batch or max_samples), adapt "
        f"less often or raise uniform_mix"
    )


def _bare_edge(layer: LayerAdaptation, sample_losses: Tensor | None) -> str | None:
    """Finds the first input (numbered from 1) with a wide end interval and a high loss there."""
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
                    f"input {place + 1} has few knots near an end of its range, where the loss is "
                    f"more than {_EDGE_LOSS:g} times that elsewhere: raise uniform_mix or lower "
                    f"power"
                )
    return None
