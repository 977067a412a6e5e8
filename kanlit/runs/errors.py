"""Turns a parser's error into one line: what is wrong, the value, what to do.

A parser often does not say where the error is. After it has refused, :func:`explain` checks the
user's settings one after another and reports the first that is wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from importlib import import_module
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import StrategyRegistry
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from kanlit.adaptation import ImportanceDensity, Trigger
from kanlit.data import TensorDataModule
from kanlit.errors import ConfigurationError
from kanlit.modules import KANModule
from kanlit.problems import Equation
from kanlit.runs.exceptions import one_line
from kanlit.runs.hints import hint
from kanlit.runs.settings import Setting, settings_of
from kanlit.runs.type_errors import explain_type
from kanlit.runs.user_classes import import_named, working_folder
from kanlit.signatures import constructor_parameters

__all__ = ["UsageError", "check_optimizers", "check_strategy", "explain", "members"]


class UsageError(ConfigurationError):
    """A parser's own message, which :func:`explain` rewrites."""


@dataclass(frozen=True)
class Kind:
    """The classes that a key accepts: concrete subclasses of ``base``."""

    word: str
    base: type
    given: Collection[str]  # arguments that kanlit fills in


KINDS = {
    "data": Kind("data class", TensorDataModule, ()),
    "data.equation": Kind("equation", Equation, ()),
    "model": Kind("model", KANModule, ("in_features", "out_features")),
    "adaptation.density": Kind("density", ImportanceDensity, ()),
    "adaptation.trigger": Kind("trigger", Trigger, ()),
    "model.optimizer": Kind("optimizer", Optimizer, ("params",)),
    "model.lr_scheduler": Kind("learning-rate scheduler", LRScheduler, ("optimizer",)),
    "trainer.callbacks": Kind("callback", Callback, ()),
    "trainer.logger": Kind("logger", Logger, ()),
}

# Keys at which a list of classes stands, and the kind of its members.
LISTS = {
    "adaptation.density.densities": "adaptation.density",
    "adaptation.trigger.triggers": "adaptation.trigger",
    "trainer.callbacks": "trainer.callbacks",
    "trainer.logger": "trainer.logger",
}

# Appended to an argument that a class needs.
_EXAMPLES = {"monitor": " val/loss"}


def explain(
    message: str,
    argv: Sequence[str],
    options: Mapping[str, Collection[str]],
    defaults: Mapping[str, str],
) -> str:
    """Explains in one line why a parser refused a command line.

    Args:
        message: The parser's own message.
        argv: The command line without the program's name.
        options: The dotted keys that the parser of each subcommand knows.
        defaults: Default class of a key.
    """
    subcommand = next((word for word in argv if word in options), None)
    if subcommand is None:
        return one_line(message)
    try:
        settings = settings_of(argv, subcommand)
        classes = _check_classes(settings, defaults)
        _check_members(settings)
        _check_keys(settings, classes, options[subcommand], subcommand)
        _check_required(settings, classes)
    except ConfigurationError as error:
        return str(error)
    if message.startswith("unrecognized arguments: "):
        return f"{message.replace('unrecognized', 'unexpected')}: options begin with --"
    return explain_type(message, settings) or one_line(message)


def check_optimizers(model: Mapping[str, Any]) -> None:
    """Refuses an optimizer or scheduler that is no class of these, such as any function.

    Args:
        model: The model's ``class_path`` and ``init_args``, as they have been parsed.

    Raises:
        ConfigurationError: One that is not.
    """
    for name in ("optimizer", "lr_scheduler"):
        value = (model.get("init_args") or {}).get(name)
        path = getattr(value, "class_path", None)
        default = constructor_parameters(import_named(model["class_path"])).get(name)
        if value is None or (default is not None and value is default.default):
            continue
        if path is None:
            path = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value)}"
        _resolve(Setting(f"model.{name}", path, f"model.{name}"), KINDS[f"model.{name}"])


def check_strategy(name: Any) -> None:
    """Raises if a strategy given by its short name is unknown.

    Args:
        name: The setting ``trainer.strategy``; all but short names are left to Lightning.

    Raises:
        ConfigurationError: Such a name.
    """
    known = ["auto", *StrategyRegistry.available_strategies()]
    if isinstance(name, str) and "." not in name and name.lower() not in known:
        raise ConfigurationError(f"trainer.strategy: unknown strategy {name}: {hint(name, known)}")


def _check_classes(settings: Sequence[Setting], defaults: Mapping[str, str]) -> dict[str, type]:
    """The class that each key finally has."""
    names = {place: Setting(place, name, place) for place, name in defaults.items()}
    names |= {s.key: s for s in settings if s.key in KINDS and isinstance(s.value, str)}
    if "data" not in names:
        known = ", ".join(members(TensorDataModule))
        raise ConfigurationError(
            f"no data: name them with --data, one of {known}, or a class of your own"
        )
    return {key: _resolve(setting, KINDS[key]) for key, setting in names.items()}


def _check_members(settings: Sequence[Setting]) -> None:
    """The classes in lists, and in lists inside these."""
    for setting in settings:
        if setting.key in LISTS and isinstance(setting.value, list):
            _check_list(setting, KINDS[LISTS[setting.key]])


def _check_list(setting: Setting, kind: Kind) -> None:
    inner_list = setting.key.rpartition(".")[2]
    for i, member in enumerate(setting.value):
        name = member.get("class_path") if isinstance(member, Mapping) else member
        label = f"{setting.label}[{i}]"
        if not isinstance(name, str):
            raise ConfigurationError(
                f"{label}: expected {_a(kind.word)} such as {{class_path: NAME}}, got {member!r}"
            )
        cls = _resolve(Setting(setting.key, name, label), kind)
        given = (member.get("init_args") if isinstance(member, Mapping) else None) or {}
        for argument, value in given.items():
            _check_argument(argument, f"{label}.{argument}", cls, kind)
            if argument == inner_list and isinstance(value, list):
                _check_list(Setting(setting.key, value, f"{label}.{argument}"), kind)
        if missing := [each for each in _needed(cls, kind) if each not in given]:
            give = ", ".join(f"{each}:{_EXAMPLES.get(each, ' …')}" for each in missing)
            raise ConfigurationError(
                f"{label}: {cls.__name__} needs {', '.join(missing)}: give "
                f"{{class_path: {name}, init_args: {{{give}}}}}"
            )


def _resolve(setting: Setting, kind: Kind) -> type:
    name, label = str(setting.value), setting.label
    known = members(kind.base)
    own = "or give the path of a class of your own, such as mymodule.MyClass"
    if "." not in name:
        if name in known:
            return known[name]
        other = next((k.word for k in KINDS.values() if name in members(k.base)), None)
        what = (
            f"{name} is {_a(other)}, not {_a(kind.word)}"
            if other
            else f"unknown {kind.word} {name}"
        )
        raise ConfigurationError(f"{label}: {what}: {hint(name, known)}, {own}")
    module, _, attribute = name.rpartition(".")
    try:
        with working_folder():
            found = getattr(import_module(module), attribute, None)
    except Exception as error:  # a user's module may fail in any way; all of it is theirs to mend
        raise ConfigurationError(
            f"{label}: cannot import {module} ({type(error).__name__}: {one_line(str(error))}): "
            f"check its name, and that it lies in this folder or is installed"
        ) from None
    if found is None:
        raise ConfigurationError(f"{label}: {module} has no {attribute}: {hint(attribute, known)}")
    if not inspect.isclass(found) or not issubclass(found, kind.base):
        raise ConfigurationError(
            f"{label}: {name} is not {_a(kind.word)}: it must be a subclass of "
            f"{kind.base.__name__}; {hint(attribute, known)}"
        )
    if inspect.isabstract(found):
        raise ConfigurationError(f"{label}: {name} is abstract: {hint(attribute, known)}")
    return found


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def members(base: type) -> dict[str, type]:
    """Concrete subclasses by short name; of two of one name the one defined last."""
    found: dict[str, type] = {}
    child: type
    for child in base.__subclasses__():
        if not child.__name__.startswith("_") and not inspect.isabstract(child):
            found[child.__name__] = child
        found |= members(child)
    return found


def _check_keys(
    settings: Sequence[Setting],
    classes: Mapping[str, type],
    options: Collection[str],
    subcommand: str,
) -> None:
    known = {option.rsplit(".", n)[0] for option in options for n in range(option.count(".") + 1)}
    known |= {
        f"{place}.{name}"
        for place, cls in classes.items()
        for name in constructor_parameters(cls)
        if name not in KINDS[place].given
    }
    last = {s.key: place for place, s in enumerate(settings) if s.key in KINDS}
    for position, setting in enumerate(settings):
        place = max((p for p in KINDS if setting.key.startswith(f"{p}.")), key=len, default=None)
        if place is not None:
            if place not in classes or position < last.get(place, -1):
                continue  # what was set for a class goes when another is named
            key = setting.key[len(place) + 1 :].partition(".")[0]
            _check_argument(key, setting.label, classes[place], KINDS[place])
        elif not _is_known(setting.key, options):
            raise ConfigurationError(
                f"unknown key {setting.label}: {_closest_key(setting.key, known)}"
                f"kanlit {subcommand} --help shows all"
            )


def _check_argument(name: str, label: str, cls: type, kind: Kind) -> None:
    known = [parameter for parameter in constructor_parameters(cls) if parameter not in kind.given]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigurationError(
            f"unknown key {label}: {meant}{cls.__name__} takes {', '.join(known) or 'no settings'}"
        )


def _is_known(key: str, options: Collection[str]) -> bool:
    """An option, the name of a group of them, or a place inside the value of one."""
    if key in options or _is_group(key, options):
        return True
    above = [key.rsplit(".", n)[0] for n in range(1, key.count(".") + 1)]
    return any(k in options and not _is_group(k, options) for k in above)


def _is_group(key: str, options: Collection[str]) -> bool:
    return any(option.startswith(f"{key}.") for option in options)


def _closest_key(key: str, known: Collection[str]) -> str:
    """``did you mean …?`` if one is close: ``--optimizer.lr`` is most like model.optimizer.lr."""
    depth, leaf = key.count(".") + 1, key.rpartition(".")[2]

    def likeness(other: str) -> float:
        parts = other.split(".")
        ends = (other, ".".join(parts[-depth:]))
        same_name = 0.2 * (parts[-1] == leaf)
        return same_name + max(SequenceMatcher(None, key, end).ratio() for end in ends)

    nearest = max(sorted(known, key=lambda other: (other.count("."), other)), key=likeness)
    return f"did you mean {nearest}? " if likeness(nearest) > 0.6 else ""


def _needed(cls: type, kind: Kind) -> list[str]:
    """The arguments of a constructor that have no default and that the user has to give."""
    return [
        name
        for name, parameter in constructor_parameters(cls).items()
        if parameter.default is parameter.empty and name not in kind.given
    ]


def _check_required(settings: Sequence[Setting], classes: Mapping[str, type]) -> None:
    given = {setting.key for setting in settings}
    # With those above them: a value that is a mapping has been taken apart.
    keys = {key.rsplit(".", n)[0] for key in given for n in range(key.count(".") + 1)}
    for place, cls in classes.items():
        missing = [n for n in _needed(cls, KINDS[place]) if f"{place}.{n}" not in keys]
        if missing:
            give = ", ".join(f"--{place}.{name}{_EXAMPLES.get(name, '')}" for name in missing)
            raise ConfigurationError(
                f"{place}: {cls.__name__} needs {', '.join(missing)}: give {give}"
            )
