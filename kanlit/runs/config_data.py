"""Creates the data module of a run from its config."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

import kanlit.data
import kanlit.problems
from kanlit.checkpoints import recorded_equation
from kanlit.data import PointDraw, TensorDataModule
from kanlit.errors import ConfigurationError
from kanlit.problems import Equation
from kanlit.runs.exceptions import one_line
from kanlit.runs.kinds import import_settings
from kanlit.runs.settings import read_mapping, settings_of

__all__ = ["data_of", "data_settings", "equation_in"]

_PARTS = {"data.equation": Equation, "data.redraw": PointDraw}  # parts that are classes
_MOST = 10**6  # largest number in an untrusted config, except for a seed


def data_settings(path: Path, trusted: bool) -> dict[str, Any]:
    """The settings of the data in a config, ``class_path`` and ``init_args``.

    Args:
        path: The config of a run.
        trusted: Whether the user gave the path of the file. Only then are custom classes imported.

    Raises:
        ConfigurationError: If the config has no data, or an untrusted config names a custom class.
    """
    needs = "it needs the key data of a run"
    settings = read_mapping(str(path), "config", "check its path", needs)
    settings = settings["fit"] if isinstance(settings.get("fit"), dict) else settings
    data = settings.get("data")
    if isinstance(data, str):
        data = {"class_path": data}
    if not isinstance(data, dict):
        raise ConfigurationError(f"config {path} has no data of a run: give another config")
    if trusted:
        import_settings(settings_of(["--config", str(path)], "fit"))
    else:
        _check_untrusted(data, path)
    return data


def data_of(path: Path, trusted: bool) -> TensorDataModule:
    """Creates the data module of a config and nothing else.

    Args:
        path: The config of a run.
        trusted: Whether the user gave the path of the file. Only then are custom classes imported.

    Raises:
        ConfigurationError: If the config has no data, their settings are invalid, or an untrusted
            config names a custom class.
    """
    data = data_settings(path, trusted)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(TensorDataModule, "data")
    try:
        made = parser.instantiate_classes(parser.parse_object({"data": data})).data
    except ConfigurationError:
        raise
    except (ArgumentError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise ConfigurationError(
            f"config {path} has data that cannot be created ({one_line(str(error))}): give another "
            f"config"
        ) from None
    assert isinstance(made, TensorDataModule)
    return made


def equation_in(path: Path | None, content: Mapping[str, Any]) -> Equation | None:
    """The equation in a config that the user has named, if a checkpoint needs one.

    Args:
        path: The config; None if the user has named none.
        content: The checkpoint.

    Raises:
        ConfigurationError: The data of the config are of another equation, or cannot be made.
    """
    record = recorded_equation(content)
    if path is None or record is None:
        return None
    equation = getattr(data_of(path, trusted=True), "problem", None)
    own, given = record["class_path"], type(equation)
    if not isinstance(equation, Equation) or _path_of(given) != own:
        raise ConfigurationError(
            f"config {path} is not of the equation {own}, on which the network was trained: give "
            f"the config of its run"
        )
    return equation


def _check_untrusted(data: Mapping[Any, Any], path: Path) -> None:
    """Raises unless the data are a kanlit class with plain settings."""
    cure = f"if you trust it, give --config {path}, which imports the classes it names"
    for key, value in data.items():
        if key == "class_path":
            _check_class(value, TensorDataModule, "data", cure)
        elif key != "init_args" or not isinstance(value, Mapping):
            raise ConfigurationError(f"data.{key} in {path} is refused: {cure}")
    for key, value in _walk(data.get("init_args") or {}, "data"):
        owner = key.removesuffix(".class_path")
        if owner in _PARTS and (key != owner or isinstance(value, str)):
            _check_class(value, _PARTS[owner], key, cure)
        elif key.endswith((".class_path", ".dict_kwargs")):
            raise ConfigurationError(f"{key} in {path} is refused: {cure}")
        elif type(value) is int and abs(value) > _MOST and key != "data.seed":
            raise ConfigurationError(f"{key} in {path} is {value}, above {_MOST}: {cure}")


def _walk(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """All values inside, by their dotted keys."""
    yield key, value
    if isinstance(value, Mapping):
        for part, inner in value.items():
            yield from _walk(inner, f"{key}.{part}")
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, key)


def _check_class(name: Any, base: type, key: str, cure: str) -> None:
    home = kanlit.problems if base is Equation else kanlit.data
    for short in home.__all__:
        cls = getattr(home, short)
        if inspect.isclass(cls) and issubclass(cls, base):
            paths = (short, f"kanlit.{short}", f"{home.__name__}.{short}", _path_of(cls))
            if name in paths:
                return
    raise ConfigurationError(f"{key} names {name}, which is not part of kanlit: {cure}")


def _path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
