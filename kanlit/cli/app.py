"""The command line: ``kanlit fit|validate|test|predict|plot|formula|export|benchmark``."""

from __future__ import annotations

import gc
import os
import sys
import time
from argparse import Action
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_info

from kanlit.callbacks.distributed import gather_rows
from kanlit.checkpoints import (
    find_checkpoint,
    module_class,
    module_settings,
    read_checkpoint,
    restore_layers,
    restore_network,
)
from kanlit.cli import predict_table
from kanlit.cli.commands import (
    APART,
    COMMANDS,
    DESCRIPTION,
    GROUPS,
    HELP,
    HOMES,
    INTERRUPTED,
    MORE,
)
from kanlit.compat import command_list, options_of, subcommand_parsers
from kanlit.data.predictions import predicted_rows, prediction_table
from kanlit.data.tables.writer import write_table
from kanlit.errors import ConfigurationError, DivergenceError
from kanlit.files import shown
from kanlit.modules import KANModule
from kanlit.runs.assembly import Assembly
from kanlit.runs.console import clean_console
from kanlit.runs.errors import UsageError
from kanlit.runs.exceptions import one_line, refusal, root_cause
from kanlit.runs.folder import Started
from kanlit.runs.resume import checkpoint_to_resume
from kanlit.runs.resumed_settings import merged_settings
from kanlit.runs.settings import Setting
from kanlit.runs.summary import best_checkpoint, checkpoint_lines, last_checkpoint, score
from kanlit.runs.threads import chosen_threads
from kanlit.runs.user_classes import import_named
from kanlit.scaling import Columns

__all__ = ["KanlitCLI", "main"]


class KanlitCLI(Assembly):
    """The commands that train, evaluate or apply a network.

    Args:
        args: Words of the command line; by default those of this process.
    """

    def __init__(self, args: Sequence[str] | None = None) -> None:
        self._seconds = 0.0
        self._started: Started | None = None
        self._sizes: dict[str, int] = {}  # in_features and out_features of the checkpoint
        self._resumed: Mapping[str, Any] = {}  # the checkpoint that is resumed
        self._weights: Mapping[str, Any] = {}  # the checkpoint whose weights initialize the run
        self._named = "".join((sys.argv[1:] if args is None else args)[:1])
        own = {
            name: {
                "description": COMMANDS[name] + MORE.get(name, ""),
                "usage": f"kanlit {name} [options]",
            }
            for name in self.subcommands()
        }
        super().__init__(args, parser_settings={"description": DESCRIPTION, **own})

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # there it is static
        """The command that comes first alone: its parser takes a quarter second to build."""
        every = super().subcommands()
        return {self._named: every[self._named]} if self._named in every else every

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        super()._add_subcommands(parser, **kwargs)
        commands = command_list(parser)
        for command in commands:
            command.help = COMMANDS[command.dest]
        # :func:`main` calls these before this parser sees them.
        commands += [Action([], name, help=text) for name, text in APART.items()]
        for subparser in (subcommand_parsers(self) or {}).values():
            for name, group in (subparser.groups or {}).items():
                group.title = GROUPS.get(name, group.title)
            for action in options_of(subparser):
                action.help = HELP.get(action.dest, action.help)

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
            path, looked_at = checkpoint_to_resume(name, config.trainer, config.checkpoint.dirpath)
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
        if "adaptation.schedule" not in self._given():
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
                f"or give a checkpoint of one"
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
                    f"trained on, or train anew"
                )
        columns = (self._resumed or self._weights).get("kanlit", {}).get("columns")
        if columns is not None and hasattr(data, "input_names"):
            known = Columns.from_state_dict(columns)
            known.check(data.input_names, data.target_names, data.class_label)
        if self._weights:
            self.model.start_from(self._weights)

    def _run_subcommand(self, subcommand: str) -> None:
        path = self.config[subcommand].get("ckpt_path")
        self._started = self.start(subcommand, Path(path) if path else None)
        try:
            with chosen_threads(self.trainer, self.model):
                super()._run_subcommand(subcommand)
        except SystemExit:  # how Lightning ends a run that the user interrupts
            if not self.trainer.interrupted:
                raise
            if self.trainer.is_global_zero:
                print(self._interruption(), file=sys.stderr)
            sys.exit(INTERRUPTED)
        except BaseException as error:
            if self._started is not None:
                self._started.discard()
            kept = last_checkpoint(self.trainer)
            known = isinstance(error, ConfigurationError | DivergenceError)
            if not (known and kept and self._started is not None and self._started.training):
                raise
            raise type(error)(f"{error}; the last good checkpoint: {kept}") from None
        finally:
            if self._started is not None:
                self._started.release()

    # -- subcommands ------------------------------------------------------------------------

    def before_fit(self) -> None:
        # Objects created by imports live to the end: without this the garbage collector
        # traverses them again and again while training creates new objects.
        gc.freeze()
        self._seconds = time.perf_counter()

    def after_fit(self) -> None:
        self._seconds = time.perf_counter() - self._seconds
        if self.trainer.interrupted:
            return
        if self._resumed.get("global_step") == self.trainer.global_step:
            rank_zero_info(self._untrained())
        last = self.trainer.test(self.model, self.datamodule, verbose=False)[0]
        summary = self._summary(last)
        path = best_checkpoint(self.trainer)
        if path:
            # The best network on validation data may have been an earlier one.
            best = self.trainer.test(self.model, self.datamodule, ckpt_path=path, verbose=False)[0]
            name, value = score(best)
            summary += f"\nbest on validation: {name} {value}, {path}"
        if self.trainer.is_global_zero:
            print("\n".join([summary, *self._next()]))

    def _untrained(self) -> str:
        trainer = self.trainer
        return (
            f"nothing was trained: the run in {trainer.ckpt_path} has ended, at epoch "
            f"{trainer.current_epoch} and step {trainer.global_step} (max_epochs "
            f"{trainer.max_epochs}, max_steps {trainer.max_steps}); raise the limit to go on"
        )

    def _interruption(self) -> str:
        checkpoint = last_checkpoint(self.trainer)
        if not checkpoint:
            return "kanlit: interrupted before a checkpoint was kept"
        return f"kanlit: interrupted; checkpoint: {checkpoint}; go on with --ckpt_path last"

    def _next(self) -> list[str]:
        run = None if self._started is None else self._started.run
        if run is not None and run.logs is not None:
            return [f"next: tensorboard --logdir {shown(run.logs)}"]
        last = last_checkpoint(self.trainer)
        return [f"next: kanlit plot {last}"] if last else []

    def _summary(self, tested: Mapping[str, float]) -> str:
        name, value = score(tested)
        lines = [
            f"{name}: {value}",
            f"grid size: G = {self.grid_size}",
            f"parameters: {self.parameters}",
            f"seconds: {self._seconds:.1f}",
            *checkpoint_lines(self.trainer),
        ]
        return "\n".join(lines)

    def predict(self, **kwargs: Any) -> None:
        """Writes inputs and predictions to a CSV file."""
        predictions = self.trainer.predict(**kwargs)
        if not predictions:
            return
        data = self.datamodule
        rows = predicted_rows(data, predictions, lambda own: gather_rows(self.model, own))
        names = data.input_names, data.target_names, data.class_label
        table = prediction_table(*rows, *names, self.model.columns)
        run = None if self._started is None else self._started.run
        if not self.trainer.is_global_zero:
            return
        if run is None:
            print(f"predictions: {len(table)} rows, not written")
            return
        path = run.record.folder / "predictions.csv"
        write_table(table, path)
        print(f"predictions: {shown(path)} ({len(table)} rows)")


def _speaks() -> bool:
    """Whether this process prints errors: one process per machine does."""
    rank = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
    return rank == "0"


def main() -> None:
    """Runs the command line of this process.

    An error that the user can correct is printed in one line, with exit status 2.
    """
    try:
        with clean_console():
            command, words = "".join(sys.argv[1:2]), sys.argv[2:]
            if command in HOMES:
                sys.exit(import_module(HOMES[command]).main(words))
            if command == "predict" and predict_table.takes(words):
                predict_table.main(words)
                return
            KanlitCLI()
    except Exception as error:
        cause = root_cause(error, (ConfigurationError, DivergenceError, MisconfigurationException))
        message = refusal(error) if cause is None else str(cause)
        if message is None:
            raise
        if _speaks():
            print(f"kanlit: error: {one_line(message)}", file=sys.stderr)
        sys.exit(1 if isinstance(cause, DivergenceError) else 2)
