"""Pictures of a trained network, from its module and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

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
from kanlit.metrics import RelativeL2Error
from kanlit.modules import ClassificationModule, KANModule, PDEModule
from kanlit.nn import KANLayer, edge_importance, grid_samples
from kanlit.plotting import (
    FittedCurve,
    class_figure,
    curve_figure,
    error_map_figure,
    migration_figure,
    network_figure,
    scatter_figure,
)
from kanlit.problems.functions.target import TargetFunction, uniform_points
from kanlit.scaling import default_names

__all__ = [
    "DataView",
    "embedded_columns",
    "error_picture",
    "knot_migration_picture",
    "layer_pictures",
    "names_of",
    "permutation_shares",
    "result_picture",
]

_ROWS = 8192  # rows per evaluation
_VIEWED = 4096  # rows that importances are measured on
_CURVE = 501  # points of the curve of a table with one input
_MARGIN = 0.05  # around the rows of a decision map
_SCATTERED = 4000  # points of the scatter plot of a function of more than two inputs


@dataclass(frozen=True)
class DataView:
    """What pictures of a network take from its data.

    Attributes:
        samples: Inputs of the network ``(n, in)``, within the 1st and 99th percentile of each, so
            that outliers do not decide what is important.
        shares: For each input, the mean squared change of the predictions if its values are
            permuted, over twice their variance: 0 for an unused input, 1 if no other counts. None
            for one input, or if the network sees functions of the columns. Source: the estimator of
            the total index of Jansen, Comput. Phys. Commun. 117 (1999).
        units: Maps inputs of the network to the user's units; None if it sees functions of them.
    """

    samples: Tensor
    shares: Tensor | None = None
    units: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(cls, module: LightningModule, data: object, first: KANLayer) -> DataView:
        """Of the training data; of points over the grids if there are none."""
        units = None if embedded_columns(data) else partial(to_user_units, module)
        built = data.build("train") if isinstance(data, TensorDataModule) else ()
        x = built.get("collocation") if isinstance(built, dict) else built[0] if built else None
        if x is None:
            return cls(grid_samples(first), None, units)
        rows = x[torch.linspace(0, len(x) - 1, min(len(x), _VIEWED)).long()]
        to_network = getattr(module, "network_inputs", lambda points: points)
        with evaluating(module):
            z = to_network(rows.to(next(module.parameters())))
        if z.shape[1:] != (first.in_features,):
            return cls(grid_samples(first), None, units)
        samples = z.clamp(*z.quantile(z.new_tensor([0.01, 0.99]), dim=0))
        permuted = isinstance(built, tuple) and x.shape[1] == first.in_features > 1
        return cls(samples, permutation_shares(module, rows) if permuted else None, units)

    def importances(self, layers: Sequence[KANLayer]) -> list[Tensor]:
        """Importance of each edge ``(out, in)`` of successive layers.

        That of :func:`kanlit.nn.edge_importance`, which also counts edges that cancel each other;
        therefore the sum over the edges of an input is in proportion to its share, if it is known.

        Raises:
            ValueError: Widths of successive layers differ.
        """
        found = edge_importance(layers, self.samples)
        if self.shares is not None and bool(self.shares.any()):
            by_input = found[0].sum(0).clamp(min=torch.finfo(torch.float64).tiny)
            shares = self.shares.to(by_input)
            found[0] = found[0] * (shares / shares.sum() * by_input.sum() / by_input)
        return found


def permutation_shares(module: LightningModule, x: Tensor) -> Tensor:
    """How much the predictions depend on each input, see :class:`DataView`.

    Args:
        module: Its ``forward`` maps ``(n, in)`` to ``(n, out)``.
        x: Inputs ``(n, in)``.

    Returns:
        ``(in,)``, the mean over the outputs.
    """
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    known = _predict(module, x)
    variance = known.var(0, correction=0).clamp(min=torch.finfo(known.dtype).tiny)
    shares = []
    for column in range(x.shape[1]):
        mixed = x.clone()
        mixed[:, column] = x[order, column]
        change = (_predict(module, mixed) - known).square().mean(0)
        shares.append((change / (2 * variance)).mean())
    return torch.stack(shares)


def layer_pictures(
    layers: Sequence[KANLayer],
    input_names: Sequence[str],
    target_names: Sequence[str],
    view: DataView | None = None,
) -> dict[str, Figure]:
    """``network`` and ``curves``: the network as a graph, and its edge functions by feature.

    Args:
        layers: The layers in order; the outputs of one are the inputs of the next.
        input_names: One for each input.
        target_names: One for each output.
        view: The data; by default points over the grids.

    Raises:
        ValueError: Widths of successive layers differ, or the number of names is wrong.
    """
    view = view or DataView(grid_samples(layers[0]))
    importances = view.importances(layers)
    shares = None if view.shares is None else view.shares.tolist()
    network = network_figure(layers, importances, input_names, target_names, "network", shares)
    curves = curve_figure(layers, importances, input_names, "edge functions", view.units)
    return {"network": network, "curves": curves}


def knot_migration_picture(
    records: Sequence[KnotRecord],
    layers: Mapping[str, KANLayer],
    epoch: int,
    input_names: Sequence[str],
    view: DataView | None = None,
) -> Figure:
    """The breakpoints of a run against the epoch.

    Args:
        records: Records of its adaptations, at least one.
        layers: The current layers by name, with the names used in the records.
        epoch: The current epoch.
        input_names: One for each input of the first layer.
        view: The data; by default points over the grids.
    """
    last = {name: layer.breakpoints for name, layer in layers.items()}
    named = list(layers.values())
    view = view or DataView(grid_samples(named[0]))
    try:
        importances = view.importances(named)
    except ValueError:  # layers of the user's own module may branch
        importances = None
    title = "breakpoints over the run"
    return migration_figure(records, last, epoch, input_names, title, importances, view.units)


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

            error = _test_error(module, data)
            return error_map_figure(target, predict, breakpoints, columns, target.name, error)
        x = uniform_points(target.bounds, _SCATTERED, torch.Generator().manual_seed(0))
        across = _most_important(module, x, input_names)
        return scatter_figure(
            target(x), _predict(module, x), target_names, f"{target.name}, uniform points", across
        )
    test = data.build("test") if isinstance(data, TensorDataModule) else ()
    if not isinstance(test, tuple) or len(test) != 2:
        raise ConfigurationError(
            f"{type(data).__name__} has neither a known function nor a test set of inputs and "
            f"targets to compare the network with: use data such as SyntheticData or TableData"
        )
    x, y = test
    found, title = _predict(module, x), f"test set, {len(x)} rows"
    if isinstance(module, ClassificationModule):
        true = y.argmax(1) if y.ndim == 2 else y
        accuracy = float((found.argmax(1) == true).double().mean())
        plane = None
        if x.shape[1] == 2:
            low, high = x.amin(0), x.amax(0)
            ends = torch.lerp(low, high, -_MARGIN), torch.lerp(low, high, 1 + _MARGIN)
            bounds = tuple(zip(*(end.tolist() for end in ends), strict=True))
            plane = bounds, input_names, lambda points: _predict(module, points), x
        return class_figure(true, found, target_names, f"{title}: accuracy {accuracy:.4f}", plane)
    curve = None
    if x.shape[1] == 1 and not embedded_columns(data):
        curve = _fitted_curve(module, x, to_user_units(module, first.breakpoints.T)[:, 0])
    across = _most_important(module, x, input_names)
    return scatter_figure(y, found, target_names, title, across, curve)


def _fitted_curve(module: LightningModule, x: Tensor, breakpoints: Tensor) -> FittedCurve:
    """Predictions over the range of a table's only input ``(n, 1)``."""
    along = torch.linspace(float(x.min()), float(x.max()), _CURVE, dtype=x.dtype).unsqueeze(1)
    deviation = None
    if isinstance(module, KANModule):
        with evaluating(module):
            deviation = module.standard_deviation(along.to(next(module.parameters())))
    return FittedCurve(along[:, 0], _predict(module, along), deviation, breakpoints)


def _test_error(module: LightningModule, data: object) -> float | None:
    """Relative L2 error on the test data, as in the summary; None if they are not rows."""
    test = data.build("test") if isinstance(data, TensorDataModule) else ()
    if not isinstance(test, tuple) or len(test) != 2:
        return None
    x, y = test
    return float(RelativeL2Error(y.shape[1])(_predict(module, x), y.double()))


def _most_important(
    module: LightningModule, x: Tensor, names: Sequence[str]
) -> tuple[str, Tensor] | None:
    """Name and values of the input on which the predictions depend most."""
    if len(names) != x.shape[1]:
        return None
    column = int(permutation_shares(module, x).argmax())
    return names[column], x[:, column]


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
