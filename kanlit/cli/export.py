"""``kanlit export``: writes a checkpoint's network as a file for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

import kanlit
from kanlit.adaptation import kan_layers
from kanlit.checkpoints import find_checkpoint, read_checkpoint, restore_module
from kanlit.cli.command_parser import CommandParser, named_equation, named_module
from kanlit.export.check import check
from kanlit.export.program import SUFFIXES, check_packages, make, run
from kanlit.files import check_output, written_whole
from kanlit.modules import KANModule
from kanlit.scaling import Columns, default_names

__all__ = ["main"]

_DESCRIPTION = """\
Writes a checkpoint's network, including its scales, as a file that runs without kanlit:

  kanlit export last --output model.onnx     ONNX, for onnxruntime and others
  kanlit export last --output model.pt2      torch.export, for torch

The file maps the matrix inputs (rows, inputs) to the matrix predictions (rows, targets), in your
units and for any number of rows. Its dtype is that of the training: float32, or float64 with
--trainer.precision 64-true. Column names and the training range are in the metadata of the file
(ONNX) or in its kanlit.json (.pt2).

Before the file is written, its outputs are compared with those of the checkpoint: inside the grids,
at the breakpoints and around the grids."""


def main(argv: Sequence[str]) -> None:
    """Runs the command with these arguments.

    Raises:
        ConfigurationError: The user can correct the error; nothing has been written.
    """
    options = _parser().parse_args(argv)
    output = options.output.expanduser()
    check_output(output, SUFFIXES)
    suffix = output.suffix.lower()
    check_packages(suffix)
    path = find_checkpoint(options.checkpoint, options.root)
    content = read_checkpoint(path)
    equation = named_equation(options.config, content)
    module = restore_module(content, path, named_module(options.model), equation)
    exported = make(module, metadata_of(module), suffix)
    difference = check(run(exported, suffix), module)
    with written_whole(output) as unfinished:
        unfinished.write_bytes(exported)
    inputs, targets = _names(module)
    kind = str(next(module.parameters()).dtype).removeprefix("torch.")
    print(
        f"exported: {output} ({', '.join(inputs)} -> {', '.join(targets)}; {kind}; largest "
        f"difference from {path}: {difference:.1e})"
    )


def metadata_of(module: KANModule) -> dict[str, str]:
    """Metadata of the file; all values except the version are JSON.

    Returns:
        ``kanlit_version``; ``input_names`` and ``target_names``, lists in the order of the columns;
        ``training_range``, a list with [lowest, highest] of each input, or null if the checkpoint
        has none.
    """
    inputs, targets = _names(module)
    columns = module.columns
    ends = None if columns is None else torch.stack([columns.low, columns.high], 1).tolist()
    return {
        "kanlit_version": kanlit.__version__,
        "input_names": json.dumps(inputs, ensure_ascii=False),
        "target_names": json.dumps(targets, ensure_ascii=False),
        "training_range": json.dumps(ends),
    }


def _names(module: KANModule) -> tuple[list[str], list[str]]:
    columns: Columns | None = module.columns
    if columns is None:
        layers = list(kan_layers(module).values())
        return default_names(layers[0].in_features, layers[-1].out_features)
    return list(columns.inputs), list(columns.targets)


def _parser() -> CommandParser:
    parser = CommandParser("export", "CHECKPOINT --output FILE", description=_DESCRIPTION)
    add = parser.add_argument
    parser.add_checkpoint()
    parser.add_model()
    parser.add_config("of the run, for an equation of your own with inputs or an ansatz")
    add(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="output file; its suffix sets the format: .onnx or .pt2",
    )
    return parser
