"""The classes that settings can name, by kind."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning.fabric.plugins import ClusterEnvironment
from lightning.pytorch import Callback, callbacks, loggers, plugins, profilers, strategies
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy, StrategyRegistry
from torch import optim
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

import kanlit
from kanlit import adaptation, data, problems
from kanlit.adaptation import ImportanceDensity, Trigger
from kanlit.data import PointDraw, TensorDataModule
from kanlit.errors import ConfigurationError
from kanlit.hints import hint
from kanlit.modules import KANModule
from kanlit.problems import Equation
from kanlit.runs.settings import Setting
from kanlit.runs.user_classes import import_named
from kanlit.signatures import constructor_parameters

__all__ = ["KINDS", "Kind", "check_optimizers", "check_strategy", "import_settings", "members"]


@dataclass(frozen=True)
class Kind:
    """The classes that a key accepts: concrete subclasses of ``base``."""

    word: str
    base: type | tuple[type, ...]
    given: Collection[str] = ()  # arguments that kanlit sets
    names: Collection[str] = ()  # values that Lightning accepts instead of a class

    @property
    def a_word(self) -> str:
        return f"{'an' if self.word[0] in 'aeiou' else 'a'} {self.word}"

    def hint(self, name: str) -> str:
        """Suggests the closest of the classes for users."""
        public = {each for package in _PUBLIC for each in package.__all__}
        known = members(self.base)
        return hint(name, [n for n in known if n in public or not _is_shipped(known[n])])

    def resolve(self, name: str, label: str) -> type:
        """Finds a class by its short name or path.

        Args:
            name: Short name or path.
            label: Key of the setting, for messages.

        Raises:
            ConfigurationError: If the class is unknown, of another kind, or abstract.
        """
        known = members(self.base)
        if "." not in name:
            if name in known:
                return known[name]
            other = next((k.a_word for k in KINDS.values() if name in members(k.base)), None)
            what = f"{name} is {other}, not {self.a_word}"
            raise ConfigurationError(
                f"{label}: {what if other else f'unknown {self.word} {name}'}: {self.hint(name)}, "
                f"or give the path of a class of your own, such as mymodule.MyClass"
            )
        nearest = self.hint(name.rpartition(".")[2])
        try:
            found = import_named(name)
        except ConfigurationError as error:
            raise ConfigurationError(f"{label}: {error}; {nearest}") from None
        if not inspect.isclass(found) or not issubclass(found, self.base):
            raise ConfigurationError(
                f"{label}: {name} is not {self.a_word}: it must be a subclass of "
                f"{' or '.join(base.__name__ for base in _listed(self.base))}; {nearest}"
            )
        if inspect.isabstract(found):
            raise ConfigurationError(f"{label}: {name} is abstract: {nearest}")
        return found


KINDS = {
    "data": Kind("data class", TensorDataModule),
    "data.equation": Kind("equation", Equation),
    "data.redraw": Kind("drawing of points", PointDraw),
    "model": Kind("model", KANModule, ("in_features", "out_features")),
    "adaptation.density": Kind("density", ImportanceDensity),
    "adaptation.trigger": Kind("trigger", Trigger),
    "model.optimizer": Kind("optimizer", Optimizer, ("params",)),
    "model.lr_scheduler": Kind("learning-rate scheduler", LRScheduler, ("optimizer",)),
    "trainer.callbacks": Kind("callback", Callback),
    "trainer.logger": Kind("logger", Logger),
    "trainer.profiler": Kind("profiler", Profiler, names=("simple", "advanced", "pytorch", "xla")),
    "trainer.plugins": Kind(
        "plugin",
        (plugins.Precision, ClusterEnvironment, plugins.CheckpointIO, plugins.LayerSync),
    ),
    "trainer.strategy": Kind(
        "strategy", Strategy, names=("auto", *StrategyRegistry.available_strategies())
    ),
}

# Other classes of these modules are not for users.
_PUBLIC = (
    kanlit,
    adaptation,
    data,
    problems,
    callbacks,
    loggers,
    plugins,
    profilers,
    strategies,
    optim,
    lr_scheduler,
)

# Keys whose string value names a class; others need the key class_path.
_PLACES = {*KINDS, "model.basis"}
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def import_settings(settings: Sequence[Setting]) -> None:
    """Imports the modules of the classes that the user has named, so that a parser finds them.

    Import errors are left to the parser, which reports them.
    """
    for each in settings:
        if (each.names_class or each.place in _PLACES) and _PATH.fullmatch(str(each.value)):
            try:
                import_named(each.value)
            except ConfigurationError:
                continue


def check_optimizers(model: Mapping[str, Any]) -> None:
    """Refuses optimizers and schedulers that are not such classes, for example functions.

    Args:
        model: The parsed ``class_path`` and ``init_args`` of the model.

    Raises:
        ConfigurationError: If one is of another kind.
    """
    parameters = constructor_parameters(import_named(model["class_path"]))
    for name in ("optimizer", "lr_scheduler"):
        value = (model.get("init_args") or {}).get(name)
        if value is None or (name in parameters and value is parameters[name].default):
            continue
        path = getattr(value, "class_path", None)
        if path is None:
            path = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value)}"
        KINDS[f"model.{name}"].resolve(path, f"model.{name}")


def check_strategy(name: Any) -> None:
    """Raises if a strategy given by its short name is unknown.

    Args:
        name: The setting ``trainer.strategy``; Lightning handles all but short names.

    Raises:
        ConfigurationError: If the name is unknown.
    """
    known = KINDS["trainer.strategy"].names
    if isinstance(name, str) and "." not in name and name.lower() not in known:
        raise ConfigurationError(f"trainer.strategy: unknown strategy {name}: {hint(name, known)}")


def members(base: type | tuple[type, ...]) -> dict[str, type]:
    """Concrete subclasses by short name; of two with the same name, the one defined last."""
    found: dict[str, type] = {}
    child: type
    for each in _listed(base):
        for child in each.__subclasses__():
            if not child.__name__.startswith("_") and not inspect.isabstract(child):
                found[child.__name__] = child
            found |= members(child)
    return found


def _listed(base: type | tuple[type, ...]) -> tuple[type, ...]:
    return base if isinstance(base, tuple) else (base,)


def _is_shipped(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in ("kanlit", "lightning", "torch")
