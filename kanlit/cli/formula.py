"""``kanlit formula``: extracts a closed formula from the network of a checkpoint."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from torch import Tensor

from kanlit.callbacks.progress import FILE_SECONDS, TERMINAL_SECONDS
from kanlit.cli.command_parser import CommandParser, chosen_checkpoint, named_module
from kanlit.cli.formula_report import FormulaReport, FormulaSamples, latex_of
from kanlit.errors import ConfigurationError
from kanlit.files import expanded, write_text
from kanlit.modules import KANModule
from kanlit.nn import KAN
from kanlit.problems import BoundaryValueProblem, uniform_points
from kanlit.runs.console import quiet_console
from kanlit.runs.trained import TrainedRun
from kanlit.scaling import default_names
from kanlit.symbolic import find_formula
from kanlit.symbolic.formula import steps
from kanlit.symbolic.surround import surrounded

__all__ = ["main"]

_DESCRIPTION = """\
Extracts a closed formula from a trained network. Each edge is fitted by c f(a x + b) + d with the
functions f of a library, on its inputs at the samples, and replaced by the simplest function that
fits. Then all constants are fitted to the training data together and replaced by simple numbers
where possible. Edges that no function fits remain splines, and the output lists them.

  kanlit formula last
  kanlit formula best --latex --output formula.json"""

Predict = Callable[[Tensor], Tensor]

_SAMPLES = 2000  # if there are no data
_SEED = 0
_SUFFIXES = (".txt", ".tex", ".json")


def main(argv: Sequence[str]) -> int:
    """Runs the command with these arguments and returns its exit status.

    Raises:
        ConfigurationError: The user can correct the error.
    """
    options = _parser().parse_args(argv)
    _check(options)
    path = chosen_checkpoint(options.checkpoint, options.root)
    run = TrainedRun(path)
    if run.windows > 1:
        raise ConfigurationError(
            f"{path} has a network for each of {run.windows} windows of time, which have no common "
            f"formula: train without TimeWindows"
        )
    module = run.module(named_module(options.model), options.config).double()
    network: KAN = module.network
    edges = sum(layer.in_features * layer.out_features for layer in network.layers)
    if edges > options.max_edges:
        raise ConfigurationError(
            f"the network has {edges} edges, more than --max_edges {options.max_edges}: train a "
            f"smaller one or prune it, or raise --max_edges"
        )
    problem = run.problem(options.config)
    logits = getattr(module, "logits", None)
    solve: Predict = module if logits is None else logits
    predict = solve if problem is None else network
    if not options.uniform:
        data = _of_run(run, options.config, solve, logits is not None)
    elif problem is None:
        data = _uniform(module, solve, run)
    else:
        data = _in_domain(problem, solve)
    seen = data if problem is None else _seen_by_network(data, problem, predict)
    with _bar(steps(edges, seen.y.shape[1], options.trials)) as bar, quiet_console():
        formula = find_formula(
            network,
            seen.x,
            seen.y,
            module.scales(),
            seen.inputs,
            threshold=options.r2,
            negligible=options.negligible,
            trials=options.trials,
            noise=run.noise if data.exact else 0.0,
            advance=bar.update,
        )
    if problem is not None:
        whole = surrounded(formula, problem.form, data.inputs)
        if whole is None:
            print(
                f"the formula is of the network alone, without the inputs and the ansatz of "
                f"{problem.name}: they have an operation that has no formula"
            )
            data = seen
        formula = whole or formula
    predicted = (predict if data is seen else solve)(data.test_x)
    report = FormulaReport(formula, data, predicted, options.r2)
    print(report.text(options.latex))
    if logits is not None:
        print("the probabilities of the classes are the softmax of their logits")
    if options.output is not None:
        _write(options.output, report)
        print(f"formula: {options.output}")
    return 0


def _bar(total: int) -> Tqdm:
    """A progress bar with the time left, on stderr."""
    seconds = TERMINAL_SECONDS if sys.stderr.isatty() else FILE_SECONDS
    return Tqdm(
        total=total,
        desc="formula",
        unit="step",
        mininterval=seconds,
        dynamic_ncols=True,
        leave=False,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit}s "
        "[{elapsed}<{remaining}]",
    )


def _write(path: Path, report: FormulaReport) -> None:
    pairs = zip(report.data.targets, report.formula.outputs, strict=True)
    if path.suffix == ".json":
        text = json.dumps(report.json(), indent=2)
    elif path.suffix == ".tex":
        text = "\n".join(f"\\[ {latex_of(name, o.expression)} \\]" for name, o in pairs)
    else:
        text = report.text(latex=False)
    write_text(path, text + "\n")


def _check(options: argparse.Namespace) -> None:
    if not 0 < options.r2 <= 1:
        raise ConfigurationError(f"--r2 must be above 0 and at most 1, got {options.r2}: try 0.99")
    if not 0 <= options.negligible < 1:
        raise ConfigurationError(
            f"--negligible must be at least 0 and below 1, got {options.negligible}: try 0.001"
        )
    if options.trials < 1:
        raise ConfigurationError(f"--trials must be at least 1, got {options.trials}: try 100")
    if options.output is not None and options.output.suffix not in _SUFFIXES:
        raise ConfigurationError(
            f"--output {options.output} must end in {', '.join(_SUFFIXES)}: change its suffix"
        )


def _of_run(run: TrainedRun, config: Path | None, predict: Predict, logits: bool) -> FormulaSamples:
    """Training and test data of the run; outputs of the network if there are no targets."""
    try:
        data = run.data(config)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error}; or use --uniform for points of the first layer's grid instead of data"
        ) from None
    names = list(data.input_names), list(data.target_names)
    train, test = data.build("train"), data.build("test")
    if logits and isinstance(test, tuple) and isinstance(train, tuple):
        x, test_x = train[0], test[0]
        classes = [f"logit of {name}" for name in data.target_names]
        return FormulaSamples(
            x, predict(x), test_x, predict(test_x), names[0], classes, exact=False
        )
    if isinstance(test, tuple) and len(test) == 2 and isinstance(train, tuple):
        return FormulaSamples(train[0], train[1], test[0], test[1], *names, exact=True)
    if data.target is None:
        raise ConfigurationError(
            f"{type(data).__name__} has no targets and no known solution: use --uniform for "
            f"points of the first layer's grid and the network's outputs there"
        )
    x = uniform_points(data.target.bounds, _SAMPLES, torch.Generator().manual_seed(_SEED))
    y = predict(x)
    if isinstance(test, tuple) and len(test) == 2:
        return FormulaSamples(x, y, test[0], test[1], *names, exact=True)
    return FormulaSamples(x, y, x, y, *names, exact=False)


def _uniform(module: KANModule, predict: Predict, run: TrainedRun) -> FormulaSamples:
    """Uniform points of the first layer's grid, and the network's outputs there."""
    ends = module.network.layers[0].breakpoints[:, [0, -1]].tolist()
    draw = torch.Generator().manual_seed(_SEED)
    x = module.user_inputs(uniform_points(tuple(map(tuple, ends)), _SAMPLES, draw))
    y, names = predict(x), run.names
    inputs, targets = default_names(x.shape[1], y.shape[1])
    inputs, targets = names.get("inputs") or inputs, names.get("targets") or targets
    if hasattr(module, "logits"):
        targets = [f"logit of {name}" for name in targets]
    return FormulaSamples(x, y, x, y, inputs, targets, exact=False)


def _in_domain(problem: BoundaryValueProblem, solve: Predict) -> FormulaSamples:
    """Points uniform over the domain of an equation, and the unknowns there."""
    equation = problem.equation
    x = problem.domain.drawn(_SAMPLES, torch.Generator().manual_seed(_SEED))
    y = solve(x)
    names = list(equation.variables), list(equation.unknowns)
    return FormulaSamples(x, y, x, y, *names, exact=False)


def _seen_by_network(
    data: FormulaSamples, problem: BoundaryValueProblem, predict: Predict
) -> FormulaSamples:
    """The same points as the inputs of the network inside an equation, and its outputs."""
    form = problem.form
    x, test_x = (torch.cat(form.embedded(p.split(1, 1)), 1) for p in (data.x, data.test_x))
    y, test_y = predict(x), predict(test_x)
    return FormulaSamples(x, y, test_x, test_y, list(form.inputs), data.targets, exact=False)


def _parser() -> CommandParser:
    parser = CommandParser("formula", "CHECKPOINT [options]", description=_DESCRIPTION)
    add = parser.add_argument
    parser.add_checkpoint()
    add("--latex", action="store_true", help="also print LaTeX")
    add(
        "--output",
        type=expanded,
        metavar="FILE",
        help="also write the formula: text to .txt, LaTeX to .tex, all details to .json",
    )
    add(
        "--r2",
        type=float,
        default=0.99,
        help="smallest R² at which a function replaces an edge (default: 0.99)",
    )
    add(
        "--negligible",
        type=float,
        default=1e-3,
        metavar="FRACTION",
        help="an edge is a constant if its standard deviation is below this fraction of the "
        "largest one at its node (default: 0.001)",
    )
    add(
        "--trials",
        type=int,
        default=100,
        metavar="N",
        help="number of formulas tried per output (default: 100)",
    )
    add(
        "--max_edges",
        type=int,
        default=200,
        metavar="N",
        help="largest number of edges of the network (default: 200)",
    )
    add(
        "--uniform",
        action="store_true",
        help="use uniform points of the first layer's grid and the network's outputs there instead "
        "of the data of the run",
    )
    parser.add_config()
    parser.add_model()
    return parser
