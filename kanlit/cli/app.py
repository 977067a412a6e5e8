"""The commands of ``kanlit``: ``fit``, ``test``, ``predict``, ``plot``, ``compare`` and so on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_info

from kanlit.callbacks.distributed import gather_rows
from kanlit.callbacks.notices import log_scalars
from kanlit.cli import predict_table
from kanlit.cli.coefficients import write_coefficients
from kanlit.cli.commands import (
    APART,
    COMMANDS,
    DESCRIPTION,
    GROUPS,
    HELP,
    INTERRUPTED,
    MORE,
)
from kanlit.cli.from_checkpoint import FromCheckpoint
from kanlit.compat import options_of, subcommand_parsers
from kanlit.data.predictions import predicted_rows, prediction_table
from kanlit.errors import ConfigurationError, DivergenceError
from kanlit.files import shown
from kanlit.runs.console import clean_console
from kanlit.runs.exceptions import one_line, refusal, root_cause, users_place, with_name
from kanlit.runs.folder import Started
from kanlit.runs.outcome import end_of, outcome_lines
from kanlit.runs.results import RunResults
from kanlit.runs.summary import (
    best_checkpoint,
    checkpoint_lines,
    last_checkpoint,
    score,
    test_lines,
)
from kanlit.runs.threads import chosen_threads
from kanlit.tables.writer import write_table

__all__ = ["KanlitCLI", "main"]


class KanlitCLI(FromCheckpoint):
    """The commands that train, evaluate or apply a network.

    Args:
        args: Arguments of the command line; by default those of this process.
    """

    def __init__(self, args: Sequence[str] | None = None) -> None:
        self._seconds = 0.0
        self._started: Started | None = None
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
        for subparser in (subcommand_parsers(self) or {}).values():
            for name, group in (subparser.groups or {}).items():
                group.title = GROUPS.get(name, group.title)
            for action in options_of(subparser):
                action.help = HELP.get(action.dest, action.help)

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
        self._seconds = time.perf_counter()

    def after_fit(self) -> None:
        self._seconds = time.perf_counter() - self._seconds
        if self.trainer.interrupted:
            return
        lines: list[str] = []
        if self._resumed.get("global_step") == self.trainer.global_step:
            rank_zero_info(self._untrained())
        else:
            lines += outcome_lines(self.trainer, self.model)
        last = self.trainer.test(self.model, self.datamodule, verbose=False)[0]
        summary = "\n".join([self._summary(last), *lines])
        results = self._results(last)
        path = best_checkpoint(self.trainer)
        if path:
            # The best network on validation data may have been an earlier one.
            best = self._test_best(path)
            results = replace(results, best=best)
            name, value = score(best)
            summary += f"\nbest on validation: {name} {value}, {path}"
        if self.trainer.is_global_zero:
            if self._started is not None and self._started.run is not None:
                results.write(self._started.run.record.folder)
            print("\n".join([summary, *self._next()]))

    def _test_best(self, path: str) -> Mapping[str, float]:
        """Tests a checkpoint; logs its metrics as ``best/NAME``, not over those of the end."""
        loggers = self.trainer.loggers
        self.trainer.loggers = []
        best = self.trainer.test(self.model, self.datamodule, ckpt_path=path, verbose=False)[0]
        self.trainer.loggers = loggers
        log_scalars(self.trainer, {f"best/{k.removeprefix('test/')}": v for k, v in best.items()})
        return best

    def _results(self, last: Mapping[str, float]) -> RunResults:
        """The results of the network at the end, before another checkpoint is loaded."""
        epochs, seconds = self.trainer.current_epoch, round(self._seconds, 1)
        return RunResults(
            last, {}, self.grid_size, self.parameters, epochs, seconds, end_of(self.trainer)
        )

    def _untrained(self) -> str:
        trainer = self.trainer
        return (
            f"nothing was trained: the run in {trainer.ckpt_path} has ended, at epoch "
            f"{trainer.current_epoch} and step {trainer.global_step} (max_epochs "
            f"{trainer.max_epochs}, max_steps {trainer.max_steps}); raise the limit to continue"
        )

    def _interruption(self) -> str:
        checkpoint = last_checkpoint(self.trainer)
        if not checkpoint:
            return "kanlit: interrupted before a checkpoint was written"
        return f"kanlit: interrupted; checkpoint: {checkpoint}; resume with --ckpt_path last"

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
            *test_lines(tested, self.datamodule.row_counts),
            f"grid size: G = {self.grid_size}, degree {self.spline_order}",
            f"parameters: {self.parameters}",
            *self._windows(),
            f"seconds: {self._seconds:.1f}",
            *checkpoint_lines(self.trainer),
        ]
        return "\n".join(lines)

    def _windows(self) -> list[str]:
        windows = getattr(self.model, "window_edges", None)
        if windows is None:
            return []
        return [f"windows of t: {len(windows) - 1}, with a network each (the above is of the last)"]

    def predict(self, **kwargs: Any) -> None:
        """Writes inputs and predictions to a CSV file."""
        predictions = self.trainer.predict(**kwargs)
        if not predictions:
            return
        data = self.datamodule
        rows = predicted_rows(data, predictions, lambda own: gather_rows(self.model, own))
        names = data.input_names, data.target_names, data.class_label
        outside = self.model.is_outside(rows[0].to(rows[1].dtype))
        table = prediction_table(*rows, *names, outside)
        run = None if self._started is None else self._started.run
        if not self.trainer.is_global_zero:
            return
        if run is None:
            print(f"predictions: {len(table)} rows, not written")
            return
        path = run.record.folder / "predictions.csv"
        write_table(table, path)
        print(f"predictions: {shown(path)} ({len(table)} rows)")
        write_coefficients(self.model, path)


def _speaks() -> bool:
    """Whether this process prints errors: one process per machine does."""
    rank = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
    return rank == "0"


def main() -> None:
    """Runs the command line of this process.

    An error that the user can correct is printed in one line, with exit status 2; one in the user's
    own code with its line and status 1. Python's development mode shows the traceback of any.
    """
    try:
        with clean_console():
            command, words = "".join(sys.argv[1:2]), sys.argv[2:]
            if command in APART:
                sys.exit(import_module(f"kanlit.cli.{command}").main(words))
            if command == "predict" and predict_table.takes(words):
                predict_table.main(words)
                return
            KanlitCLI()
    except Exception as error:
        message, status = _message(error)
        if message is None or sys.flags.dev_mode:
            raise
        if _speaks():
            print(f"kanlit: error: {one_line(message)}", file=sys.stderr)
        sys.exit(status)


def _message(error: Exception) -> tuple[str | None, int]:
    """What to print for an exception, ``None`` for a fault of kanlit, and the exit status."""
    cause = root_cause(error, (ConfigurationError, DivergenceError, MisconfigurationException))
    if cause is not None:
        return str(cause), 1 if isinstance(cause, DivergenceError) else 2
    if (message := refusal(error)) is not None:
        return message, 2
    if (own := users_place(error)) is not None:
        return f"{own[1]}: {with_name(own[0])} (PYTHONDEVMODE=1 shows the traceback)", 1
    return None, 1
