"""Pictures of a trained network, from its module and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from lightning.pytorch import LightningModule
from matplotlib.figure import Figure
from torch import Tensor

from kanlit.adaptation import KnotRecord
from kanlit.callbacks.equation_figures import has_map, solution_picture
from kanlit.callbacks.slices import to_user_units
from kanlit.callbacks.training_samples import evaluating
from kanlit.data import EquationData, TensorDataModule
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.nn import KANLayer, edge_importance, grid_samples
from kanlit.plotting import (
    curve_figure,
    error_map_figure,
    migration_figure,
    network_figure,
    scatter_figure,
)
from kanlit.problems.functions.target import TargetFunction, uniform_points
from kanlit.scaling import default_names

__all__ = [
    "embedded_columns",
    "error_picture",
    "knot_migration_picture",
    "layer_pictures",
    "names_of",
    "result_picture",
]

_ROWS = 8192  # rows per evaluation
_SCATTERED = 4000  # points of the scatter plot of a function of more than two inputs


def layer_pictures(
    layers: Sequence[KANLayer], input_names: Sequence[str], target_names: Sequence[str]
) -> dict[str, Figure]:
    """``network`` and ``curves``: the network as a graph, and its edge functions by feature.

    Args:
        layers: The layers in order; the outputs of one are the inputs of the next.
        input_names: One for each input.
        target_names: One for each output.

    Raises:
        ValueError: Widths of successive layers differ, or the number of names is wrong.
    """
    importances = edge_importance(layers, grid_samples(layers[0]))
    return {
        "network": network_figure(layers, importances, input_names, target_names, "network"),
        "curves": curve_figure(layers, importances, input_names, "edge functions"),
    }


def knot_migration_picture(
    records: Sequence[KnotRecord],
    layers: Mapping[str, KANLayer],
    epoch: int,
    input_names: Sequence[str],
) -> Figure:
    """The breakpoints of a run against the epoch.

    Args:
        records: Records of its adaptations, at least one.
        layers: The current layers by name, with the names used in the records.
        epoch: The current epoch.
        input_names: One for each input of the first layer.
    """
    last = {name: layer.breakpoints for name, layer in layers.items()}
    return migration_figure(records, last, epoch, input_names, "breakpoints over the run")


def result_picture(
    module: LightningModule,
    data: object,
    first: KANLayer,
    input_names: Sequence[str],
    target_names: Sequence[str],
    points: Tensor | None = None,
) -> dict[str, Figure]:
    """``solution`` of an equation in two coordinates, otherwise ``error_map``.

    Args:
        module: The trained module.
        data: Its data module.
        first: The network's first layer.
        input_names: One for each input of the network.
        target_names: One for each output.
        points: Collocation points of an equation; those that the data have by default.

    Raises:
        ConfigurationError: The data have nothing to compare with, see :func:`error_picture`.
    """
    if has_map(data) and isinstance(module, PDEModule):
        assert isinstance(data, EquationData)
        return {"solution": solution_picture(module, data, first, points)}
    return {"error_map": error_picture(module, data, first, input_names, target_names)}


def error_picture(
    module: LightningModule,
    data: object,
    first: KANLayer,
    input_names: Sequence[str],
    target_names: Sequence[str],
) -> Figure:
    """Errors of a network: an error map in 1-D and 2-D, otherwise a scatter plot.

    The scatter plot uses 4000 uniform points if the target function is known and has more inputs,
    and the test set if no function is known.

    Args:
        module: Its ``forward`` takes ``(n, in)`` in the user's units and gives ``(n, out)``.
        data: Its data module.
        first: The network's first layer.
        input_names: One for each input of the network.
        target_names: One for each output.

    Raises:
        ConfigurationError: The data have neither a known function nor a test set of inputs and
            targets, or a table cannot be read.
    """
    target = getattr(data, "target", None)
    if isinstance(target, TargetFunction):
        if target.dim <= 2:
            columns, breakpoints = _axes(module, data, first, input_names)

            def predict(x: Tensor) -> Tensor:
                return _predict(module, x)

            return error_map_figure(target, predict, breakpoints, columns, target.name)
        x = uniform_points(target.bounds, _SCATTERED, torch.Generator().manual_seed(0))
        return scatter_figure(
            target(x), _predict(module, x), target_names, f"{target.name}, uniform points"
        )
    test = data.build("test") if isinstance(data, TensorDataModule) else ()
    if not isinstance(test, tuple) or len(test) != 2:
        raise ConfigurationError(
            f"{type(data).__name__} has neither a known function nor a test set of inputs and "
            f"targets to compare the network with: use data such as SyntheticData or TableData"
        )
    x, y = test
    return scatter_figure(y, _predict(module, x), target_names, f"test set, {len(x)} rows")


def _axes(
    module: LightningModule, data: object, first: KANLayer, input_names: Sequence[str]
) -> tuple[Sequence[str], list[Tensor]]:
    """Names of the data's columns, and the breakpoints along each.

    There are none along a column of which the network sees functions only.
    """
    columns = embedded_columns(data)
    if not columns:
        return input_names, list(to_user_units(module, first.breakpoints.T).T)
    along = dict(zip(input_names, first.breakpoints, strict=True))
    return columns, [along.get(name, first.breakpoints.new_empty(0)) for name in columns]


def embedded_columns(data: object) -> Sequence[str]:
    """Names of the data's columns if the network sees functions of them, else none."""
    columns: Sequence[str] = getattr(data, "input_names", ())
    return columns if getattr(data, "network_names", columns) != columns else ()


def names_of(data: object, in_features: int, out_features: int) -> tuple[list[str], list[str]]:
    """Names of the network's inputs and targets: the data module's, or x1, x2, … and y, or y1, ….

    Args:
        data: The data module.
        in_features: Number of the network's inputs.
        out_features: Number of targets.
    """
    inputs, targets = default_names(in_features, out_features)
    return (
        _names(data, "network_names", in_features)
        or _names(data, "input_names", in_features)
        or inputs,
        _names(data, "target_names", out_features) or targets,
    )


def _names(data: object, attribute: str, count: int) -> list[str]:
    names = getattr(data, attribute, None)
    if not isinstance(names, (list, tuple)) or len(names) != count:
        return []
    return [str(name) for name in names]


def _predict(module: LightningModule, x: Tensor) -> Tensor:
    """Predictions ``(n, out)`` for ``(n, in)``, in float64 on the CPU."""
    like = next(p for p in module.parameters() if p.is_floating_point())
    with evaluating(module):
        return torch.cat([module(rows.to(like)).double().cpu() for rows in x.split(_ROWS)])
