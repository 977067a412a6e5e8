"""Takes settings and weights of a command from the checkpoint that it names."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.utilities import rank_zero_info

from kanlit.checkpoints import (
    find_checkpoint,
    folder_of,
    module_class,
    module_settings,
    read_checkpoint,
    restore_layers,
    restore_network,
)
from kanlit.errors import ConfigurationError
from kanlit.files import shown
from kanlit.modules import KANModule
from kanlit.runs.assembly import Assembly
from kanlit.runs.config_data import data_settings
from kanlit.runs.errors import UsageError
from kanlit.runs.exceptions import one_line
from kanlit.runs.resume import checkpoint_to_resume
from kanlit.runs.resumed_settings import merged_settings
from kanlit.runs.settings import Setting, settings_of
from kanlit.runs.user_classes import import_named
from kanlit.scaling import Columns

__all__ = ["FromCheckpoint"]


class FromCheckpoint(Assembly):
    """Creates data, model, callbacks and trainer, the model like that of a checkpoint."""

    def __init__(self, args: Sequence[str] | None = None, **kwargs: Any) -> None:
        self._sizes: dict[str, int] = {}  # in_features and out_features of the checkpoint
        self._resumed: Mapping[str, Any] = {}  # the checkpoint that is resumed
        self._weights: Mapping[str, Any] = {}  # the checkpoint whose weights initialize the run
        super().__init__(_with_data(sys.argv[1:] if args is None else args), **kwargs)

    def _parse_ckpt_path(self) -> None:
        """Checks the checkpoint and takes the model's settings from it."""
        config = self.config.get(self.config.get("subcommand"))
        name = config.get("ckpt_path") if config else None
        if not name:
            if self.config.subcommand == "fit":
                self._start_from_weights(config)
                return
            raise ConfigurationError(
                f"{self.config.subcommand} needs a checkpoint: give --ckpt_path last for the "
                f"newest, or the path of one that kanlit fit has written"
            )
        if self.config.subcommand == "fit":
            path, looked_at = checkpoint_to_resume(
                name, config.trainer, config.checkpoint.dirpath, config.name
            )
        else:
            path = find_checkpoint(name, Path(config.trainer.default_root_dir or "."))
        if path is None:
            rank_zero_info(f"no {name} checkpoint under {looked_at}: the run starts fresh")
            config.ckpt_path = None
            self._start_from_weights(config)
            return
        if name in ("last", "best"):
            rank_zero_info(f"{name} checkpoint: {shown(path)}")
        config.ckpt_path = str(path)
        content = read_checkpoint(path)
        self._resumed = content
        self._take_settings(content, path)

    def _start_from_weights(self, config: Any) -> None:
        """Loads the checkpoint named by ``init_from`` if no run is resumed."""
        if not config.init_from:
            return
        path = find_checkpoint(config.init_from, Path(config.trainer.default_root_dir or "."))
        rank_zero_info(f"weights of {shown(path)}")
        self._weights = read_checkpoint(path)
        self._take_settings(self._weights, path)
        if "adaptation.schedule" not in self._given() and self.config.fit.adaptation.schedule:
            # The default begins with fewer intervals than a trained network may have.
            layers = restore_layers(self._weights, path).values()
            finest = max(layer.grid_size for layer in layers)
            self.config.fit.adaptation.schedule = [finest]

    def _given(self) -> dict[str, Setting]:
        return {each.key: each for each in self._settings}

    def _take_settings(self, content: Mapping[str, Any], path: Path) -> None:
        cls = self._module_class(content, path)
        restore_network(content, path, cls)  # its weights fit its settings
        settings = module_settings(content, cls, path)
        for size in ("in_features", "out_features"):
            if size in settings:
                self._sizes[size] = settings.pop(size)
        own = self.config[self.config.subcommand].model.init_args
        resumes = content is self._resumed and self.config.subcommand == "fit"
        settings = merged_settings(content, settings, own, self._given(), path, resumes)
        model = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": settings}
        try:
            self.config = self.parser.parse_object(
                {self.config.subcommand: {"model": model}}, self.config
            )
        except UsageError as error:
            raise ConfigurationError(
                f"{path} has settings that {cls.__name__} does not take ({one_line(str(error))}): "
                f"give a checkpoint that kanlit fit has written"
            ) from None

    def _module_class(self, content: Mapping[str, Any], path: Path) -> type[KANModule]:
        """The module class, on which the checkpoint and the user must agree."""
        given = import_named(self.config[self.config.subcommand].model.class_path)
        kept = module_class(content, path, given)
        named = self._given().get("model")
        if named is not None and kept is not given:
            raise ConfigurationError(
                f"{path} is of {kept.__name__}, but {named.label} is {named.value}: leave it out, "
                f"or give a checkpoint of this class"
            )
        return kept

    def after_instantiate_classes(self) -> None:
        data = self.datamodule
        for size, kept in self._sizes.items():
            given = getattr(data, size)
            if given != kept:
                raise ConfigurationError(
                    f"the checkpoint has {size} {kept}, "
                    f"but {type(data).__name__} has {given}: give the data that it was "
                    f"trained on, or train a new network"
                )
        columns = (self._resumed or self._weights).get("kanlit", {}).get("columns")
        if columns is not None and hasattr(data, "input_names"):
            known = Columns.from_state_dict(columns)
            known.check(data.input_names, data.target_names, data.class_label)
        if self._weights:
            self.model.start_from(self._weights)


def _with_data(args: Sequence[str]) -> Sequence[str]:
    """The arguments of a command that evaluates a checkpoint, by default with its run's data."""
    command = args[0] if args else ""
    if command not in ("validate", "test"):
        return args
    given = {setting.key: setting.value for setting in settings_of(args, command)}
    if "data" in given or not isinstance(given.get("ckpt_path"), str):
        return args
    root = Path(given.get("trainer.default_root_dir") or ".")
    config = folder_of(find_checkpoint(given["ckpt_path"], root)) / "config.yaml"
    if not config.is_file():
        return args
    rank_zero_info(f"data of {shown(config)}")
    text = yaml.safe_dump({"data": data_settings(config, trusted=False)})
    return [command, "--config", text, *args[1:]]
