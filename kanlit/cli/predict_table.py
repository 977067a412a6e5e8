"""``kanlit predict --input``: predictions for a table, from only a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pandas as pd
from torch import Tensor

from kanlit.checkpoints import find_checkpoint, read_checkpoint, restore_module
from kanlit.cli.coefficients import write_coefficients
from kanlit.cli.command_parser import CommandParser, named_equation, named_module
from kanlit.data.predictions import predict_rows, prediction_table
from kanlit.errors import ConfigurationError
from kanlit.metrics import TargetErrors
from kanlit.modules import KANModule
from kanlit.runs.summary import error_lines
from kanlit.scaling import Columns
from kanlit.tables import (
    data_columns,
    read_as_it_stands,
    read_columns,
    read_table,
    read_texts,
)
from kanlit.tables.writer import check_table_output, write_table

__all__ = ["main", "parser", "takes"]

_DESCRIPTION = """\
Predicts every row of a table from only a checkpoint, which has the column names, the scales and the
training range.

  kanlit predict --ckpt_path last --input new.csv --output predictions.csv

The output has the columns of the table, NAME_predicted for each target, and the column outside,
which is true if an input of the row is outside its training range. If the table has the targets,
their errors are printed. Unknown coefficients of an equation, with their standard errors, are
written to a .json file of the same name."""


# Options of predict with a data class, which the parser of the trainer handles.
_OF_DATA = ("--config", "-c", "--data", "--print_config", "--help", "-h")


class _Parser(CommandParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(
            f"{message}: predict --input takes all other settings from the checkpoint; kanlit "
            f"predict --input --help shows its options"
        )


def takes(words: Sequence[str]) -> bool:
    """Whether the arguments of ``predict`` are for a table instead of a data class."""
    options = {word.partition("=")[0].partition(".")[0] for word in words}
    return bool(options & {"--input", "--output"}) or not options & set(_OF_DATA)


def main(argv: Sequence[str]) -> None:
    """Runs the command with these arguments.

    Raises:
        ConfigurationError: The user can correct the error; nothing has been written.
    """
    words = parser()
    if {"-h", "--help"} & set(argv):
        words.parse_args(["--help"])
    options = words.parse_args(argv)
    if options.input is None:
        raise ConfigurationError(
            "predict needs --input TABLE, or --config or --data for a data class"
        )
    if options.ckpt_path is None:
        raise ConfigurationError(
            "predict needs a checkpoint: give --ckpt_path last for the newest, or the path of one "
            "that kanlit fit has written"
        )
    output = Path(options.output).expanduser()
    source = Path(options.input).expanduser()
    if not source.exists():
        raise ConfigurationError(f"there is no file {options.input}: check --input")
    if output.exists() and output.samefile(source):
        raise ConfigurationError(f"--output {output} is the input file itself: name another file")
    check_table_output(output)
    path = find_checkpoint(options.ckpt_path, options.root)
    content = read_checkpoint(path)
    equation = named_equation(options.config, content)
    module = restore_module(content, path, named_module(options.model), equation)
    columns = module.columns
    if columns is None:
        raise ConfigurationError(
            f"{path} has no column names (it is from an older version of kanlit, or from data "
            f"without names): predict with --config or --data, or train a new network"
        )
    inputs = read_columns(options.input, columns.inputs)
    dtype = next(module.parameters()).dtype
    predictions = predict_rows(module, inputs, dtype)
    names = columns.inputs, columns.targets, columns.label
    deviations = _deviations(module, inputs.to(dtype), path)
    outside = module.is_outside(inputs.to(dtype))
    table = prediction_table(inputs, predictions, *names, outside, deviations)
    table = _with_other_columns(table, options.input, columns.inputs)
    write_table(table, output)
    if options.ckpt_path in ("last", "best"):
        print(f"{options.ckpt_path} checkpoint: {path}")
    count = int(table.iloc[:, -1].sum())
    print(f"predictions: {output} ({len(table)} rows, {count} outside the training range)")
    for line in _errors(options.input, columns, predictions):
        print(line)
    write_coefficients(module, output)


def _with_other_columns(table: pd.DataFrame, path: str, inputs: Sequence[str]) -> pd.DataFrame:
    """The predictions beside all columns of the table that was predicted, in its order."""
    if Path(path).suffix.lower() == ".npz":  # its arrays need not be columns of one table
        return table
    columns = [name for name in data_columns(path) if name in inputs or name not in table]
    others = [name for name in columns if name not in inputs]
    if others:
        table = pd.concat([table, read_as_it_stands(path, others)], axis=1)
    return table[[*columns, *(name for name in table if name not in columns)]]


def _errors(path: str, columns: Columns, predictions: Tensor) -> Iterator[str]:
    """Errors of the predictions, if the table has the targets; of its rows that have all."""
    known = data_columns(path)
    if columns.label is not None and columns.label in known:
        labels = read_texts(path, columns.label, gaps=True)
        found = [columns.targets[i] for i in predictions.argmax(1).tolist()]
        right = [a == b for a, b in zip(labels, found, strict=True) if a.strip()]
        if right:
            fraction = sum(right) / len(right)
            yield f"accuracy: {fraction:.4f} ({len(right)} rows with {columns.label})"
    elif columns.label is None and set(columns.targets) <= set(known):
        try:
            true = read_table(path, [columns.targets], gaps=columns.targets).groups[0]
        except ConfigurationError as error:
            yield f"errors: none, {error}"
            return
        rows = true.isfinite().all(1)
        if bool(rows.any()):
            errors = TargetErrors(columns.targets)
            errors.update(predictions[rows], true[rows])
            yield from error_lines({k: float(v) for k, v in errors.compute().items()})
            yield f"rows with targets: {int(rows.sum())} of {len(rows)}"


def _deviations(module: KANModule, inputs: Tensor, path: Path) -> Tensor | None:
    """Standard deviations of the targets, if the checkpoint knows them."""
    try:
        return module.standard_deviation(inputs)
    except ValueError as error:
        raise ConfigurationError(
            f"{path} has a malformed uncertainty ({error}): give a checkpoint that kanlit fit has "
            f"written"
        ) from None


def parser() -> CommandParser:
    """The parser of ``kanlit predict --input``."""
    made = _Parser(
        "predict",
        "--ckpt_path FILE --input TABLE [--output TABLE]",
        description=_DESCRIPTION,
    )
    add = made.add_argument
    add(
        "--ckpt_path",
        metavar="FILE",
        help="checkpoint that kanlit fit has written, or last or best for the newest one",
    )
    add(
        "--input",
        metavar="TABLE",
        help="table with a column for each input, named as in the training data",
    )
    add(
        "--output",
        default="predictions.csv",
        metavar="TABLE",
        help="output file: .csv, .tsv or .parquet (default: predictions.csv in this folder)",
    )
    made.add_root()
    made.add_model()
    made.add_config("of the run, for an equation of your own with inputs or an ansatz")
    made.add_basis()
    return made
