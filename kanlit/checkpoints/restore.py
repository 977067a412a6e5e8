"""Restores a trained network or module from its checkpoint alone."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kanlit.bases import basis_class
from kanlit.checkpoints.vet import layer_shapes
from kanlit.compat import COMPILED_PREFIX
from kanlit.errors import ConfigurationError
from kanlit.modules import ClassificationModule, KANModule, PDEModule, RegressionModule
from kanlit.nn import KANLayer
from kanlit.problems import Equation
from kanlit.problems.record import equation_of
from kanlit.scaling import Columns
from kanlit.signatures import constructor_parameters, simple_parameters

__all__ = [
    "module_class",
    "module_settings",
    "recorded_equation",
    "restore_equation",
    "restore_layers",
    "restore_module",
    "restore_network",
]

# The classes that a checkpoint may name; the user must name any other class.
_OWN: Mapping[str, type[KANModule]] = {
    path: cls
    for cls in (ClassificationModule, PDEModule, RegressionModule)
    for path in (f"kanlit.{cls.__name__}", f"{cls.__module__}.{cls.__name__}")
}
_NETWORK = "network.layers."
_EARLIER = "earlier."  # networks of earlier windows of time
_MOST_NUMBERS = 2**24  # always allowed, however few the weights are


def restore_module(
    content: Mapping[str, Any],
    path: Path,
    named: type[KANModule] | None = None,
    equation: Equation | None = None,
) -> KANModule:
    """Restores the module of a checkpoint on the CPU, in its dtype and in evaluation mode.

    Args:
        content: Content returned by :func:`~kanlit.checkpoints.read_checkpoint`.
        path: Path of the checkpoint, for messages.
        named: The module class named by the user; required if it is not one of kanlit's.
        equation: The equation of the run as the user has given it; required if its inputs or
            ansatz surround the network and it is not one of kanlit's.

    Raises:
        ConfigurationError: The class was not named, the weights do not fit it, or the equation is
            needed.
    """
    module = restore_network(content, path, named)
    if isinstance(module, PDEModule) and (record := recorded_equation(content)) is not None:
        module.problem = equation or restore_equation(record, path)
    module.restore_content(content)
    try:
        module.columns = _columns(content, module)
    except ValueError as error:
        raise _misfit(path, type(module), error) from None
    return module


def restore_network(
    content: Mapping[str, Any], path: Path, named: type[KANModule] | None = None
) -> KANModule:
    """:func:`restore_module` without the equation and the columns of the data.

    Raises:
        ConfigurationError: The class was not named, or the weights do not fit it.
    """
    cls = module_class(content, path, named)
    state = content["state_dict"]
    settings = module_settings(content, cls, path)
    try:
        with torch.random.fork_rng(devices=[]):  # the initial weights are discarded
            module = cls(**settings)
        if next(iter(layer_shapes(state, _order(content)).values())).dtype == torch.float64:
            module.double()  # before loading, which would round
        module.load_state_dict(state)
        for name, scale in module.named_buffers():
            if name.endswith("_std") and not bool((scale > 0).all()):
                raise ValueError(f"{name} is not above 0")
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise _misfit(path, cls, error) from None
    return module.eval().requires_grad_(False)


def _misfit(path: Path, cls: type[KANModule], error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the weights of {path} do not fit a {cls.__name__} of its settings "
        f"({' '.join(str(error).split())}): give a checkpoint that kanlit fit has written"
    )


def recorded_equation(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The record of the equation whose inputs or ansatz surround the network, if any."""
    record: Mapping[str, Any] | None = content.get("kanlit", {}).get("equation")
    return record


def restore_equation(record: Mapping[str, Any], path: Path) -> Equation:
    """The equation of a record, which must be one of kanlit's own: nothing is imported.

    Raises:
        ConfigurationError: It is not, or its arguments are malformed.
    """
    try:
        equation = equation_of(record)
    except (ConfigurationError, TypeError, OverflowError) as error:
        raise ConfigurationError(
            f"{path} has an equation that cannot be made ({' '.join(str(error).split())}): give a "
            f"checkpoint that kanlit fit has written"
        ) from None
    if equation is None:
        raise ConfigurationError(
            f"{path} is of the equation {record['class_path']}, which is not a class of kanlit's: "
            f"give the run's settings with --config if you trust them, for what they name is "
            f"imported then"
        )
    return equation


def restore_layers(content: Mapping[str, Any], path: Path) -> dict[str, KANLayer]:
    """Restores the KAN layers of a checkpoint of any module, by their names in the network.

    With windows of time, they are the layers of the last window's network.

    Raises:
        ConfigurationError: Shapes of a layer's tensors do not match, or the basis has not been
            imported.
    """
    state, settings = content["state_dict"], content.get("hyper_parameters", {})
    basis = settings.get("basis", "bspline")
    if isinstance(basis, str):
        _check_basis(basis, path)
    found = {}
    for prefix, shape in layer_shapes(state, _order(content)).items():
        if prefix.startswith(_EARLIER):
            continue
        try:
            with torch.random.fork_rng(devices=[]):
                layer = KANLayer(
                    shape.in_features,
                    shape.out_features,
                    grid_size=shape.grid_size,
                    spline_order=shape.spline_order,
                    outside=settings.get("outside", "linear"),
                    basis=basis,
                    dtype=shape.dtype,
                )
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            layer.load_state_dict(own)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigurationError(
                f"the layer {prefix[:-1]} of {path} is malformed ({' '.join(str(error).split())}): "
                f"give a checkpoint that kanlit fit has written"
            ) from None
        name = prefix.removesuffix(".").removeprefix("network.").removeprefix(COMPILED_PREFIX)
        found[name] = layer.requires_grad_(False)
    return found


def _order(content: Mapping[str, Any]) -> Any:
    return content.get("hyper_parameters", {}).get("spline_order")


def module_class(
    content: Mapping[str, Any], path: Path, named: type[KANModule] | None = None
) -> type[KANModule]:
    """The class of a checkpoint's module: one of kanlit's, or the one named by the user.

    Nothing is imported.

    Raises:
        ConfigurationError: The checkpoint names another class or none.
    """
    name = content.get("kanlit", {}).get("class_path")
    if not isinstance(name, str):
        raise ConfigurationError(
            f"{path} does not name its module (another program wrote it): resume from it with "
            f"kanlit fit, which writes a new one"
        )
    if named is not None and name in (f"{named.__module__}.{named.__qualname__}", _path_of(named)):
        return named
    if name not in _OWN:
        raise ConfigurationError(
            f"{path} has a module of the class {name}, which is not part of kanlit: if you trust "
            f"it, set model to {name}, which imports it"
        )
    return _OWN[name]


def module_settings(content: Mapping[str, Any], cls: type[KANModule], path: Path) -> dict[str, Any]:
    """The settings of a checkpoint's module: numbers, strings and lists of them.

    Settings of other types, such as an optimizer, are never read from a checkpoint.

    Raises:
        ConfigurationError: A setting has another type, or implies a network far larger than the
            weights.
    """
    given = content.get("hyper_parameters", {})
    taken = {}
    for name, kinds in simple_parameters(cls).items():
        if name not in given:
            continue
        items = given[name] if isinstance(given[name], list | tuple) else [given[name]]
        # An int is accepted for a float.
        if any(type(i) not in kinds and not (type(i) is int and float in kinds) for i in items):
            raise ConfigurationError(
                f"{path} has {name} {given[name]!r}"[:200] + ", which is no such setting: give a "
                "checkpoint that kanlit fit has written"
            )
        taken[name] = given[name]
    _check_basis(taken.get("basis", "bspline"), path)
    if cls in _OWN.values():
        _check_sizes(taken, cls, content, path)
    return taken


def _check_basis(name: str, path: Path) -> None:
    """Raises if the checkpoint's basis has not been imported: a checkpoint imports nothing."""
    try:
        basis_class(name)
    except ValueError:
        raise ConfigurationError(
            f"{path} has a network with the basis {name!r}, which is not part of kanlit: if you "
            f"trust it, set model.basis to {name}; in Python, import it before you restore"
        ) from None


def _check_sizes(
    settings: Mapping[str, Any], cls: type[KANModule], content: Mapping[str, Any], path: Path
) -> None:
    """Raises if the settings imply a network far larger than the weights."""
    state = content["state_dict"]
    parameters = constructor_parameters(cls)
    hidden, grid_size, degree = (
        settings.get(name, parameters[name].default)
        for name in ("hidden", "grid_size", "spline_order")
    )
    shapes = [
        s for name, s in layer_shapes(state, _order(content)).items() if name.startswith(_NETWORK)
    ]
    whole = isinstance(hidden, list | tuple) and all(
        type(n) is int and n > 0 for n in (*hidden, grid_size, degree)
    )
    if not whole or len(shapes) != len(hidden) + 1:
        raise ConfigurationError(
            f"{path} has {len(shapes)} layers, but its settings are hidden {hidden!r}, grid_size "
            f"{grid_size!r}, spline_order {degree!r}"[:300]
            + ": give a checkpoint that kanlit fit has written"
        )
    widths = [shapes[0].in_features, *hidden, shapes[-1].out_features]
    numbers = sum(a * b for a, b in pairwise(widths)) * (grid_size + degree)
    kept = sum(tensor.numel() for tensor in state.values() if isinstance(tensor, Tensor))
    if numbers > max(_MOST_NUMBERS, 8 * kept):
        raise ConfigurationError(
            f"{path} holds {kept} numbers, but its settings, hidden {list(hidden)} and grid_size "
            f"{grid_size}, make a network of {numbers}: give a checkpoint that kanlit fit has "
            f"written"
        )


def _path_of(cls: type) -> str:
    """The path of a class as kanlit exports it."""
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def _columns(content: Mapping[str, Any], module: KANModule) -> Columns | None:
    kept = content.get("kanlit", {}).get("columns")
    if kept is None:
        return None
    columns = Columns.from_state_dict(kept)
    sizes = [module.spanning_points().shape[1], module.network.widths[-1]]
    if [len(columns.inputs), len(columns.targets)] != sizes:
        raise ValueError(
            f"it names {len(columns.inputs)} inputs and {len(columns.targets)} targets"
        )
    return columns
