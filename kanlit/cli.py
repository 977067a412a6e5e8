"""The command line: ``kanlit fit|validate|test|predict``, everything from YAML."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info

from kanlit.adaptation import kan_layers
from kanlit.callbacks import EpochProgressBar, GridAdaptationCallback, KnotPlotCallback
from kanlit.checkpoints import read_checkpoint, resolve_checkpoint
from kanlit.cli_errors import one_line, root_cause
from kanlit.data import HelmholtzData, TensorDataModule
from kanlit.data.predictions import write_predictions
from kanlit.errors import ConfigurationError
from kanlit.modules import KANModule

__all__ = ["KanlitCLI", "main"]

# Equations are solved by the PDE module; everything else is regression.
_PDE_DATA = {HelmholtzData.__name__}

_TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 2000,
    "devices": 1,
    # An epoch of a full batch is one step of milliseconds: looking at it costs as much.
    "check_val_every_n_epoch": 50,
    "log_every_n_steps": 50,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
}

_CHECKPOINT_DEFAULTS = {
    "checkpoint.filename": "best",
    "checkpoint.monitor": "val/loss",
    "checkpoint.save_last": True,
    "checkpoint.auto_insert_metric_name": False,
    "checkpoint.enable_version_counter": False,
}


class KanlitParser(LightningArgumentParser):
    """Says what is wrong on the command line or in a config in one line."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        raise ConfigurationError(one_line(message, ex))


class KanlitCLI(LightningCLI):
    """Wires data, model, adaptation and trainer together."""

    def __init__(self) -> None:
        self._seconds = 0.0
        super().__init__(
            KANModule,
            TensorDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=42,
            trainer_defaults=_TRAINER_DEFAULTS,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={
                "description": "Trains Kolmogorov-Arnold networks whose grids adapt.",
                **{name: {"usage": f"kanlit {name} [options]"} for name in self.subcommands()},
            },
            parser_class=KanlitParser,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(GridAdaptationCallback, "adaptation")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults(_CHECKPOINT_DEFAULTS)
        module = "PDEModule" if _named_data(sys.argv[1:]) in _PDE_DATA else "RegressionModule"
        parser.set_defaults({"model": {"class_path": f"kanlit.modules.{module}"}})
        for size in ("in_features", "out_features"):
            parser.link_arguments(f"data.{size}", f"model.init_args.{size}", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Vets the checkpoint and takes the model's settings from it."""
        config = self.config.get(self.config.get("subcommand"))
        name = config.get("ckpt_path") if config else None
        if not name:
            return
        root = Path(config.trainer.default_root_dir or ".")
        path = resolve_checkpoint(name, root)
        if path is None:
            where = f"no {name} checkpoint under {root / 'lightning_logs'}"
            if self.config.subcommand != "fit":
                raise ConfigurationError(f"{where}: train one first with kanlit fit")
            rank_zero_info(f"{where}: the run starts fresh")
            config.ckpt_path = None
            return
        if name in ("last", "best"):
            rank_zero_info(f"{name} checkpoint: {path}")
        config.ckpt_path = str(path)
        settings = dict(read_checkpoint(path).get("hyper_parameters", {}))
        made_by = settings.pop("_class_path", None)
        for key in ("_instantiator", "in_features", "out_features"):
            settings.pop(key, None)
        if made_by:
            model = {"model": {"class_path": made_by, "init_args": settings}}
            self.config = self.parser.parse_object({self.config.subcommand: model}, self.config)

    def before_instantiate_classes(self) -> None:
        config = self.config[self.config.subcommand]
        if not config.get("data"):
            raise ConfigurationError(
                "no data: name them with --data, one of SyntheticData, FeynmanData, "
                "HelmholtzData, TableData, or a class of your own"
            )
        trainer = config.trainer
        every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
        if every and epochs and 0 < epochs < every:
            trainer.check_val_every_n_epoch = epochs  # a short run is validated once, at its end

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        extra: list[Callback] = [KnotPlotCallback()]
        if config.get("enable_progress_bar") is not False:
            extra.append(EpochProgressBar())
        return super()._instantiate_trainer(config, [*callbacks, *extra])

    # -- subcommands ------------------------------------------------------------------------

    def before_fit(self) -> None:
        self._seconds = time.perf_counter()

    def after_fit(self) -> None:
        self._seconds = time.perf_counter() - self._seconds
        if self.trainer.interrupted:
            return
        results = self.trainer.test(self.model, self.datamodule, verbose=False)
        if self.trainer.is_global_zero:
            print(self._summary(results[0]))

    def _summary(self, results: Any) -> str:
        trainer = self.trainer
        callback = trainer.checkpoint_callback
        checkpoint = callback.last_model_path if isinstance(callback, ModelCheckpoint) else ""
        grid_size = max(layer.grid_size for layer in kan_layers(self.model).values())
        parameters = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        logs = _relative(Path(trainer.default_root_dir) / "lightning_logs")
        lines = [
            f"relative L2: {results['test/rel_l2']:.3e}",
            f"grid size: G = {grid_size}",
            f"parameters: {parameters}",
            f"seconds: {self._seconds:.1f}",
            f"checkpoint: {_relative(Path(checkpoint)) if checkpoint else 'none kept'}",
            f"next: tensorboard --logdir {logs}",
        ]
        return "\n".join(lines)

    def predict(self, **kwargs: Any) -> None:
        """Predicts and writes what came of it, beside the inputs, as a CSV."""
        predictions = self.trainer.predict(**kwargs)
        if self.trainer.is_global_zero and predictions:
            path = Path(self.trainer.log_dir or self.trainer.default_root_dir) / "predictions.csv"
            count = write_predictions(self.datamodule, predictions, path)
            print(f"predictions: {_relative(path)} ({count} rows)")


def _named_data(argv: list[str]) -> str | None:
    """The data class that a command line names, itself or through its configs; the last wins."""
    named = None
    for place, argument in enumerate(argv):
        option, _, value = argument.partition("=")
        value = value or next(iter(argv[place + 1 :]), "")
        if option in ("--data", "--data.class_path"):
            named = value
        elif option in ("--config", "-c", "--data.config") and Path(value).is_file():
            try:
                content = yaml.safe_load(Path(value).read_text())
            except (yaml.YAMLError, UnicodeDecodeError):
                continue  # the parser says it better
            data = content.get("data") if isinstance(content, dict) else None
            data = data.get("class_path") if isinstance(data, dict) else data
            named = data if isinstance(data, str) else named
    return named.rsplit(".", 1)[-1] if named else None


def _relative(path: Path) -> str:
    """The path from here, if it lies below."""
    path = path.resolve()
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def main() -> None:
    """Entry point of ``kanlit``: what a user can mend is one line and exit status 2."""
    try:
        KanlitCLI()
    except Exception as error:
        cause = root_cause(error, (ConfigurationError, MisconfigurationException))
        if cause is None:
            raise
        print(f"kanlit: error: {one_line(str(cause))}", file=sys.stderr)
        sys.exit(2)
