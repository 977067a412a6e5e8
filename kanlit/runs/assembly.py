"""Creates data, model, callbacks and trainer from a command line and its configs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import Any

import yaml
from jsonargparse import Namespace, set_loader
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import LightningEnum

import kanlit
from kanlit.adaptation import kan_layers
from kanlit.callbacks import (
    Checkpoint,
    CoefficientErrors,
    EpochProgressBar,
    GridAdaptationCallback,
    KnotPlotCallback,
)
from kanlit.checkpoints import AtomicCheckpointIO, ResumeCheck
from kanlit.compat import (
    forget_run,
    options_of,
    set_version,
    settings_under,
    subcommand_parsers,
)
from kanlit.data import TensorDataModule
from kanlit.errors import ConfigurationError
from kanlit.files import expanded
from kanlit.modules import KANModule
from kanlit.runs.defaults import ADAPTATION_DEFAULTS, DEFAULT_CLASSES, TRAINER_DEFAULTS
from kanlit.runs.errors import UsageError, explain
from kanlit.runs.exceptions import one_line, root_cause
from kanlit.runs.folder import Started, start_run
from kanlit.runs.kinds import KINDS, check_optimizers, check_strategy, import_settings
from kanlit.runs.lists import with_fresh_lists
from kanlit.runs.loggers import local_loggers
from kanlit.runs.profiler import NoProfiler
from kanlit.runs.recipes import recipe_of
from kanlit.runs.settings import Setting, load_yaml, settings_of
from kanlit.runs.user_classes import created

__all__ = ["Assembly"]

# Two classes have this name; Lightning needs the one with the key that it monitors.
_AMBIGUOUS = {"ReduceLROnPlateau": "lightning.pytorch.cli.ReduceLROnPlateau"}

# What setup_parser sets, by thread and command.
_parsers: dict[Any, dict[str, Any]] = {}

# Defaults of Lightning's classes, such as Timer's interval, that PyYAML cannot write.
yaml.SafeDumper.add_multi_representer(LightningEnum, lambda to, each: to.represent_str(each.value))


def _spelt_out(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spelt_out(inner) for key, inner in value.items()}
    return _AMBIGUOUS.get(value, value) if isinstance(value, str) else value


class KanlitParser(LightningArgumentParser):
    """Raises errors of the command line or a config as exceptions."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        raise UsageError(message)


class Assembly(LightningCLI):
    """Parses settings and creates data, model, callbacks and trainer.

    Args:
        args: Arguments of a command line; by default those of this process. A config is given as
            a path or as YAML text.
        run: Whether the arguments begin with a subcommand, which is then run. Otherwise they are
            only settings, and ``trainer``, ``model`` and ``datamodule`` are ready to use.
        records: Whether a run writes logs, knot plots and checkpoints.
        parser_settings: Settings of the parser; those of a subcommand under its name.
        data: Data that exist already, instead of a data class among the settings.

    Raises:
        ConfigurationError: If a setting is unknown, of the wrong type or out of range.
    """

    def __init__(
        self,
        args: Sequence[str] | None = None,
        run: bool = True,
        records: bool = True,
        parser_settings: Mapping[str, Any] | None = None,
        data: TensorDataModule | None = None,
    ) -> None:
        set_loader("yaml", lambda text: _spelt_out(load_yaml(text)), exceptions=(yaml.YAMLError,))
        self._argv = [_spelt_out(word) for word in (sys.argv[1:] if args is None else args)]
        command = next((word for word in self._argv if word in self.subcommands()), "fit")
        self._settings = settings_of(self._argv, command)
        self._data = data
        if data is not None:
            self._argv += [
                f"--model.{size}={getattr(data, size)}" for size in ("in_features", "out_features")
            ]
        self._data_class = _data_class(self._settings) if data is None else type(data)
        self._default_model = f"kanlit.{self._data_class.default_module}"
        self._records = records
        super().__init__(
            KANModule,
            TensorDataModule if data is None else None,
            save_config_callback=None,  # saved in the folder of the run, see start
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=42,
            trainer_defaults=TRAINER_DEFAULTS,
            parser_kwargs={
                "version": kanlit.__version__,
                "allow_abbrev": False,
                **(parser_settings or {}),
            },
            parser_class=KanlitParser,
            run=run,
        )

    def setup_parser(self, *settings: Any) -> None:
        """Builds the parser of a command once per thread: it takes a third of a short command."""
        kind = type(self), self._default_model, self._data is None, *self.subcommands()
        key = get_ident(), settings[0], kind
        if key not in _parsers:
            earlier = set(vars(self))
            super().setup_parser(*settings)
            _parsers[key] = {name: vars(self)[name] for name in vars(self).keys() - earlier}
        vars(self).update(_parsers[key])
        for parser in (self.parser, *(subcommand_parsers(self) or {}).values()):
            forget_run(parser)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(GridAdaptationCallback, "adaptation")
        parser.add_lightning_class_args(Checkpoint, "checkpoint")
        parser.set_defaults(ADAPTATION_DEFAULTS)
        parser.add_argument("--init_from", type=str | None, default=None)
        parser.add_argument("--name", type=str | None, default=None)
        parser.set_defaults({"model": {"class_path": self._default_model}})
        for size in ("in_features", "out_features") if self._data is None else ():
            parser.link_arguments(f"data.{size}", f"model.init_args.{size}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        import_settings(self._settings)
        try:
            self.config = _expanded(parser.parse_args(with_fresh_lists(self._with_recipe(parser))))
        except (UsageError, UnicodeDecodeError) as error:
            message = str(root_cause(error, (UsageError,)) or error)
            raise ConfigurationError(self._explained(message)) from None
        except RecursionError:
            raise ConfigurationError("a setting is nested too deeply: simplify it") from None
        config = self.config.get(str(self.config.get("subcommand")), self.config)
        check_optimizers(config.model)
        check_strategy(config.trainer.strategy)

    def _with_recipe(self, parser: LightningArgumentParser) -> list[str]:
        """The arguments, with the recipe of the data below the user's settings."""
        recipe, given = recipe_of(self._data_class), {setting.key for setting in self._settings}
        if recipe is None or any(recipe.leaves(key) for key in given):
            return self._argv

        def parse() -> Namespace:
            words = [word for word in self._argv if not word.startswith("--print_config")]
            config = parser.parse_args(words)
            return config.get(str(config.get("subcommand")), config)

        settings = recipe.settings(parse, given)
        if settings is None:
            return self._argv
        first = next((i + 1 for i, w in enumerate(self._argv) if w in self.subcommands()), 0)
        return [*self._argv[:first], "--config", yaml.safe_dump(settings), *self._argv[first:]]

    def _explained(self, message: str) -> str:
        """Explains in one line why the parser refused the command line with ``message``."""
        parsers = subcommand_parsers(self) or {"fit": self.parser}
        command = next((word for word in self._argv if word in parsers), "fit")
        options = {action.dest for action in options_of(parsers[command])}
        defaults = {**DEFAULT_CLASSES, "model": self._default_model}
        if self._data is not None:
            cls = self._data_class
            defaults["data"] = f"{cls.__module__}.{cls.__qualname__}"
        return explain(message, self._settings, options, defaults, f"kanlit {command} --help")

    def instantiate_classes(self) -> None:
        refused: list[ConfigurationError] = []
        self.parser.add_instantiator(partial(created, refused), object)
        try:
            super().instantiate_classes()
        except ValueError as error:  # in which the parser may wrap the reason, or only quote it
            cause = root_cause(error, (ConfigurationError,))
            if cause is None and not refused:
                raise
            raise cause or refused[-1] from None
        forget_run(self.parser)  # which would keep the network and the trainer alive
        if self._data is not None:
            self.datamodule = self._data

    def before_instantiate_classes(self) -> None:
        trainer = settings_under(self, "trainer")
        every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
        if every and epochs and 0 < epochs < every:
            trainer.check_val_every_n_epoch = epochs  # validate a short run once, at its end
        config = self.config.get(str(self.subcommand), self.config).clone()
        config.pop("name", None)  # another run with this config has another folder
        if config.get("ckpt_path") is None:
            config.pop("ckpt_path", None)  # would undo a --ckpt_path given before the config
        # One text for config.yaml and the hyperparameters; the parser has validated it. Without
        # config_dump, Lightning would validate and dump the settings again.
        self._config_text = self._parser(self.subcommand).dump(
            config,
            skip_unset=False,
            skip_validation=True,
        )
        self.config_dump = yaml.safe_load(self._config_text)

    def _set_seed(self) -> None:
        try:
            super()._set_seed()
        except ValueError as error:
            raise ConfigurationError(f"seed_everything: {error}") from None

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        if config.get("profiler") is None:
            config["profiler"] = NoProfiler()
        callbacks = [*callbacks, CoefficientErrors()]
        if self._records:
            callbacks = [*callbacks, KnotPlotCallback(), ResumeCheck()]
            config["plugins"] = [*_listed(config.get("plugins")), AtomicCheckpointIO()]
        else:
            config |= {"logger": False, "enable_checkpointing": False}
        if config.get("enable_checkpointing") is False:
            callbacks = [each for each in callbacks if not isinstance(each, Checkpoint)]
            if any(isinstance(each, ModelCheckpoint) for each in _listed(config["callbacks"])):
                raise ConfigurationError(
                    "trainer.enable_checkpointing is false, but trainer.callbacks has a "
                    "ModelCheckpoint: take one of the two out"
                )
        if config.get("enable_progress_bar") is not False:
            callbacks = [*callbacks, EpochProgressBar()]
        try:
            trainer = super()._instantiate_trainer(config, callbacks)
        except (ValueError, MisconfigurationException) as error:
            chosen = {key: config.get(key) for key in ("accelerator", "devices", "strategy")}
            given = ", ".join(f"{key} {value}" for key, value in chosen.items())
            raise ConfigurationError(f"trainer ({given}): {one_line(str(error))}") from None
        if config.get("logger") in (None, True):
            for logger in local_loggers(trainer):
                # Under SLURM, the version would be the number of the job, which can have many runs.
                set_version(logger, None)
        return trainer

    def start(self, command: str, resumed: Path | None = None) -> Started | None:
        """Claims the folder of a run; see :func:`~kanlit.runs.folder.start_run`."""
        name = self.config.get(command, self.config).name
        return start_run(self.trainer, command, resumed, self._config_text, name)

    @property
    def grid_size(self) -> int:
        """Current G of the layer with the finest grid."""
        return max(layer.grid_size for layer in kan_layers(self.model).values())

    @property
    def spline_order(self) -> int:
        """Current degree of the layer with the highest."""
        return max(layer.spline_order for layer in kan_layers(self.model).values())

    @property
    def parameters(self) -> int:
        """Current number of trained parameters."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)


def _expanded(value: Any, key: str = "") -> Any:
    """Replaces ``~`` in all settings that name a file or a folder."""
    if isinstance(value, Namespace):
        for inner, kept in vars(value).items():
            value[inner] = _expanded(kept, inner)
    elif isinstance(value, dict):
        return {inner: _expanded(kept, str(inner)) for inner, kept in value.items()}
    elif isinstance(value, list):
        return [_expanded(kept, key) for kept in value]
    elif isinstance(value, str) and key.endswith(("path", "dir")):
        return str(expanded(value))
    return value


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def _data_class(settings: Sequence[Setting]) -> type[TensorDataModule]:
    """The last data class given, which determines the default settings."""
    named = [s.value for s in settings if s.key == "data" and isinstance(s.value, str)]
    try:
        found = KINDS["data"].resolve(named[-1] if named else "", "data")
    except ConfigurationError:  # reported by the parser
        return TensorDataModule
    return found
