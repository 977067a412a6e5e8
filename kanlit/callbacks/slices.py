"""Target and prediction along one input, in the units of the first layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from kanlit.adaptation import AdaptationReport
from kanlit.callbacks.training_samples import evaluating
from kanlit.plotting import TargetCurve
from kanlit.problems.functions.target import TargetFunction, uniform_points

__all__ = ["slice_curve", "to_user_units"]

POINTS = 513  # along a slice


def slice_curve(
    module: LightningModule,
    report: AdaptationReport,
    target: TargetFunction | None,
    names: Sequence[str],
) -> TargetCurve:
    """Target and prediction along the first input, in the units of the first layer.

    The other inputs are fixed. With a target, they are those of the point at the 99th percentile
    of ``|f − median f|`` over fixed random points of the box, so that the slice shows features of
    the function. (At the center of the box there may be none, and the maximum may be a pole.)
    Without a target, they are at the median of the first layer's samples.

    Args:
        module: Its ``forward`` maps ``(n, in)`` in the user's units to ``(n, out)``, of which the
            first output is drawn; its ``network_inputs``, if defined, maps the user's units to
            those of the first layer.
        report: Provides the first layer's samples.
        target: The target function, if known.
        names: One for each input.

    Raises:
        ValueError: The output of ``forward`` has another shape, or there is no target and
            ``network_inputs`` does not scale and shift each column independently.
    """
    parameter = next(p for p in module.parameters() if p.is_floating_point())
    to_network = getattr(module, "network_inputs", None) or _identity
    with evaluating(module):
        if target is not None:
            raw = _slice_of_box(target)
            inputs = raw.to(parameter)
            held = "held at " + ", ".join(
                f"{name} = {value:.3g}" for name, value in zip(names[1:], raw[0, 1:], strict=True)
            )
        else:
            inputs = to_user_units(module, _slice_of_samples(report).to(parameter))
            held = "other inputs at their median"
        x = to_network(inputs)[:, 0]
        prediction = module(inputs)
    if not isinstance(prediction, Tensor) or prediction.shape[:1] != (POINTS,):
        got = tuple(prediction.shape) if isinstance(prediction, Tensor) else type(prediction)
        raise ValueError(f"forward must map ({POINTS}, in) to ({POINTS}, out), got {got}")
    outputs = prediction.reshape(POINTS, -1)
    units = "" if torch.equal(x, inputs[:, 0]) else ", in network units"
    return TargetCurve(
        x=x,
        prediction=outputs[:, 0],
        target=None if target is None else target(raw)[:, 0],
        label=f"{names[0]}{units}" + (f" ({held})" if len(names) > 1 else ""),
        quantity="output" if outputs.shape[1] == 1 else f"first of {outputs.shape[1]} outputs",
    )


def _slice_of_box(target: TargetFunction) -> Tensor:
    """Points ``(m, in)`` in float64 along the first input; see :func:`slice_curve`."""
    points = uniform_points(target.bounds, 4096, torch.Generator().manual_seed(0))
    values = target(points)[:, 0]
    points, values = points[values.isfinite()], values[values.isfinite()]
    order = (values - values.median()).abs().argsort()
    held = points[order[int(0.99 * (len(order) - 1))]].repeat(POINTS, 1)
    held[:, 0] = torch.linspace(*target.bounds[0], POINTS, dtype=held.dtype)
    return held


def _slice_of_samples(report: AdaptationReport) -> Tensor:
    """Points ``(m, in)`` along the first input through the first layer's samples."""
    samples = report.layers[0].samples.detach()
    points = samples.median(dim=0).values.repeat(POINTS, 1)
    low, high = samples[:, 0].aminmax()
    points[:, 0] = torch.linspace(low.item(), high.item(), POINTS)
    return points


def to_user_units(module: LightningModule, points: Tensor) -> Tensor:
    """Maps network inputs ``(m, in)`` back to the user's units ``(m, in)``.

    ``network_inputs`` must scale and shift each column independently. Offset and slope are
    computed from the images of 0 and 1, in float64: with a large offset, such as that of Unix
    times, float32 would lose the slope. The iterations remove rounding errors.

    Raises:
        ValueError: ``network_inputs`` does not scale and shift each column independently.
    """
    to_network = getattr(module, "network_inputs", None) or _identity
    inputs = points.double()
    offset = to_network(torch.zeros_like(inputs[:1]))
    slope = to_network(torch.ones_like(inputs[:1])) - offset
    raw = (inputs - offset) / slope
    for _ in range(3):
        raw = raw + (inputs - to_network(raw)) / slope
    scale = inputs.abs().max().item() + 1e-12
    if not torch.allclose(to_network(raw), inputs, rtol=0.0, atol=1e-3 * scale):
        raise ValueError("network_inputs does not scale and shift each column independently")
    return raw.to(points.dtype)


def _identity(x: Tensor) -> Tensor:
    return x
