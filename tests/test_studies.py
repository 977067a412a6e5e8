"""The commands behind the figures work; the figures themselves are measured, not tested."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from kanlit import kernel
from kanlit.benchmark.matrix import Matrix, build_matrix
from kanlit.kernel import library
from kanlit.nn import KAN, KANLayer
from running import trainer_for

STUDIES = Path(__file__).resolve().parents[1] / "studies"


# What was made for warnings of their own is as it is for a user here.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

Here = Callable[..., str]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Here]:
    """Runs a study as a script in this process, which has the imports; what it prints."""
    before, level = set(sys.modules), logging.getLogger("lightning.pytorch").level
    monkeypatch.chdir(STUDIES)
    monkeypatch.syspath_prepend(STUDIES)

    def run_here(script: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(script, run_name="__main__")
        return capsys.readouterr().out

    yield run_here
    logging.getLogger("lightning.pytorch").setLevel(level)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(STUDIES)):
            del sys.modules[name]


@pytest.fixture
def run(start: Callable[..., Any]) -> Here:
    """Runs a study that pins its process or starts others in a process of its own."""

    def run(script: str, *arguments: str) -> str:
        ended = start(str(STUDIES / script), *arguments, folder=STUDIES).ended()
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return str(ended.stdout)

    return run


class ForkedWorker:
    """Stands in for the process of a study's worker: it has the imports of this one."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], **_: Any) -> None:
        (read, requests), (answers, write) = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.dup2(write, 1)
                sys.stdin, sys.argv = os.fdopen(read), [*command[1:]]
                os.environ.update(env)
                library.load.cache_clear()  # a variable disables the kernel
                runpy.run_path(command[1], run_name="__main__")
            finally:
                os._exit(0)
        os.close(read)
        os.close(write)
        self.stdin, self.stdout = os.fdopen(requests, "w"), os.fdopen(answers)

    def terminate(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def communicate(self) -> None:
        os.waitpid(self._pid, 0)
        self.stdin.close()
        self.stdout.close()


@pytest.fixture
def workers_here(here: Here, monkeypatch: pytest.MonkeyPatch) -> Here:
    """``here`` for a study with workers, each round of which is a single call."""
    measuring = import_module("measuring")
    monkeypatch.setattr(measuring, "_ROUND", 0)
    monkeypatch.setattr(measuring.subprocess, "Popen", ForkedWorker)
    return here


def test_overhead_compares_the_same_cases(here: Here) -> None:
    printed = here("overhead.py", "--epochs", "8", "--rounds", "1")

    rows = re.findall(r"^\| .* \| (\d\S*) \| (\d\S*) \| (\S+) \|$", printed, re.MULTILINE)
    assert len(rows) == 3
    for loop, whole, more in rows:
        assert abs(float(whole) - float(loop) - float(more)) < 0.02


def test_exact_curvature_is_exact_and_differences_are_not(run: Here) -> None:
    printed = run("hessian.py", "--samples", "200", "--rounds", "1")

    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\S+) \| \S+ \| \d+ \|$", printed, re.MULTILINE)
    assert [int(inputs) for inputs, *_ in rows] == [2, 2, 16, 16, 64, 64]
    for _, method, error in rows:
        assert (float(error) < 1e-5) == (method == "exact")


def test_epsilon_must_be_large_to_matter_beside_a_front_and_small_on_a_line(here: Here) -> None:
    printed = here("epsilon_knots.py")

    found = re.findall(r"^\| (\S.*) \| (\S+) \| (\S+) \| (\d+)% \| (\S+) \|$", printed, re.M)
    widest = {(target, power, float(e)): float(w) for target, power, e, _, w in found}
    assert widest["tanh(50x)", "1", 1e-10] == widest["tanh(50x)", "1", 1e-2]
    assert widest["2x − 1", "1", 1e-10] > 1.5  # rounding is all the curvature that a line has
    assert widest["2x − 1", "1", 1e-1] < 1.05


def test_knots_wander_less_the_more_samples_place_them(here: Here) -> None:
    arguments = ["--functions", "f2", "--samples", "16", "1000", "--draws", "5"]
    printed = here("knot_jitter.py", *arguments)

    rows = re.findall(r"^\| f2 \| [\w ]+ \| (\S+) \| (\S+) \|$", printed, re.MULTILINE)
    assert len(rows) == 3
    assert all(float(few) > 2 * float(many) for few, many in rows)


def test_a_residual_s_gradients_are_the_same_by_a_sweep_and_by_nested_autograd(here: Here) -> None:
    once = ["--repeats", "1", "--rounds", "1"]
    printed = here("residual.py", "--points", "256", "--grid-sizes", "4", *once)

    rows = re.findall(
        r"^\| 4 \| (\w+) \| (kernel|torch) \| (?:\S+ \| ){3}(\S+) \|$", printed, re.MULTILINE
    )
    assert [(kind, path) for kind, path, _ in rows] == [
        (kind, path) for kind in ("float32", "float64") for path in ("kernel", "torch")
    ]
    for kind, _, apart in rows:
        assert float(apart) < (1e-4 if kind == "float32" else 1e-11)


def test_orders_of_derivatives_are_compared_with_the_second(here: Here) -> None:
    printed = here("residual.py", "--orders", "--points", "64", "--repeats", "1", "--rounds", "1")

    rows = re.findall(r"^\| u, .* \| (kernel|torch) \| (\d) \| (.*) \|$", printed, re.MULTILINE)
    assert [order for _, order, _ in rows] == ["3", "4"] * 4
    assert all(0.2 < float(ratio) < 20 for *_, cells in rows for ratio in cells.split(" | "))


def test_every_optimizer_trains_the_same_network_and_the_error_falls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, not in one for each optimizer, which would import torch again."""
    study = load("optimizers")
    monkeypatch.setattr(study, "in_its_own_process", study.trained)
    words = ["--tasks", "f2", "--seeds", "101", "--seconds", "1"]
    monkeypatch.setattr(sys, "argv", ["optimizers.py", *words])
    try:
        study.main()
    finally:
        torch.set_default_dtype(torch.float32)
    printed = capsys.readouterr().out

    rows = re.findall(r"^\| f2 \| (\S+) \| .* \| ([^|]+) \|$", printed, re.MULTILINE)
    assert [name for name, _ in rows] == [
        "LevenbergMarquardt",
        "torch-levenberg-marquardt",
        "L-BFGS",
        "Adam",
    ]
    lowest = {name: words for name, words in rows if words != "not installed"}
    assert {"LevenbergMarquardt", "L-BFGS", "Adam"} <= set(lowest)
    for words in lowest.values():
        assert 0 < float(words) < 0.9


def test_a_real_table_is_learnt_beside_scikit_learn(here: Here) -> None:
    printed = here("diabetes.py", "--splits", "1")

    rows = re.findall(r"^\| (.+) \| (\S+) ± \S+ \| (\S+) \| \S+ \|$", printed, re.MULTILINE)
    errors = {name: float(mean) for name, mean, _ in rows}
    assert len(errors) == 5
    ours, nothing = errors["kanlit [10, 2, 1]"], errors["mean of the training rows"]
    assert 40 < ours < 0.9 * nothing


def test_two_recipes_come_to_the_papers_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = load("seconds_to_error")

    def shorter(tasks: Any, densities: Any, recipe: str, seeds: Any) -> Matrix:
        """The protocol of the paper, which trains beyond any error, for a few epochs."""
        matrix = build_matrix(tasks, densities, recipe, seeds)
        if recipe == "paper":
            (run,) = matrix.runs
            few = replace(run, layers=(*run.layers, "trainer:\n  max_epochs: 40\n"))
            return replace(matrix, runs=(few,))
        return matrix

    monkeypatch.setattr(study, "build_matrix", shorter)
    monkeypatch.setattr(sys, "argv", ["seconds_to_error.py", "--tasks", "f2", "--seeds", "101"])
    study.main()
    printed = capsys.readouterr().out

    (row,) = re.findall(r"^\| f2 \|(.*)\|$", printed, re.MULTILINE)
    error, best, fast, paper, *_ = map(float, row.split("|"))
    assert error == 1.0e-3
    assert 0 < best < float("inf")
    assert 0 < fast < float("inf")
    assert paper > 0


def test_digits_goes_on_where_it_stopped_and_compares_on_the_same_seeds(
    here: Here, tmp_path: Path
) -> None:
    methods = ["InputDensity", "CurvatureDensity, power 1"]
    arguments = ["digits.py", "--out", str(tmp_path / "rows.csv"), "--epochs", "2", "--methods"]
    here(*arguments, *methods, "--seeds", "1")
    first = (tmp_path / "rows.csv").read_text()
    printed = here(*arguments, *methods, "--seeds", "2")

    assert (tmp_path / "rows.csv").read_text().startswith(first)
    rows = re.findall(r"^\| (.*?) \| (\S+) ± \S+ \| (?:(\S+) ± \S+)? \|", printed, re.MULTILINE)
    accuracies = [(name, float(accuracy), gain) for name, accuracy, gain in rows]
    assert [
        name for name, *_ in accuracies
    ] == methods * 5  # the mean of the four networks, and each
    for (_, base, none), (_, other, gain) in zip(accuracies[::2], accuracies[1::2], strict=True):
        assert none == ""
        assert abs(other - base - float(gain)) < 0.011


def load(name: str) -> ModuleType:
    """A study as a module."""
    spec = spec_from_file_location(name, STUDIES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("degree", [1, 3, 5])
@pytest.mark.parametrize("grid_size", [3, 12, 100])
def test_dense_recursion_is_the_same_function_as_our_layer(grid_size: int, degree: int) -> None:
    layer = KANLayer(2, 4, grid_size=grid_size, spline_order=degree, dtype=torch.float64)
    widths = 0.5 + torch.rand(2, grid_size, dtype=torch.float64)
    ends = torch.cat([torch.zeros(2, 1, dtype=torch.float64), widths.cumsum(1)], dim=1)
    layer.set_grid(layer.knots_for(2 * ends / ends[:, -1:] - 1), layer.coefficients.detach())
    with torch.no_grad():
        layer.edge_scale.uniform_(0.5, 2)
        layer.bias.normal_()
    dense = load("dense_recursion").DenseLayer(layer.knots, 4, degree).double()
    dense.load_state_dict({name: layer.state_dict()[name] for name in dense.state_dict()})
    x = 2 * torch.rand(50, 2, dtype=torch.float64) - 1
    weights = torch.randn(50, 4, dtype=torch.float64)

    for module in (layer, dense):
        (module(x) * weights).sum().backward()

    torch.testing.assert_close(dense(x), layer(x))
    for name, parameter in dense.named_parameters():
        torch.testing.assert_close(parameter.grad, layer.get_parameter(name).grad)


def test_packages_compares_on_the_same_cases_and_says_what_is_not_installed(
    workers_here: Here, tmp_path: Path
) -> None:
    chosen = ["--contenders", "kanlit", "MLP", "inkan", "pykan"]
    out = ["--out", str(tmp_path / "rows.jsonl"), "--plot", str(tmp_path / "plot.png")]
    small = ["--cases", "small", "--batch", "50", "--rounds", "1"]
    printed = workers_here("packages.py", *chosen[:3], *out, *small)

    rows = re.findall(r"^\| (\[2, 10, 1\] batch 50 G \d+) \| (.*?) \| (\d\S*) \|", printed, re.M)
    assert len(rows) == 6 * 2
    assert len({case for case, *_ in rows}) == 6
    assert (tmp_path / "plot.png").stat().st_size > 1000

    again = workers_here("packages.py", *chosen, *out, "--cases", "none")
    for name in ("inkan", "pykan"):
        if f" {name} 0" not in again:
            assert again.count(f"| {name} | not installed |") == 6


def test_a_contender_that_needs_too_much_memory_is_a_row(run: Here, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "rows.jsonl"), "--cases", "small", "--rounds", "1"]
    printed = run("packages.py", *out, "--contenders", "MLP", "--batch", "10", "--limit", "0.001")

    assert len(re.findall(r"^\| .* \| MLP \| \w*Error: .* \|", printed, re.M)) == 6


def test_growth_ends_each_series_with_its_exponents(workers_here: Here) -> None:
    printed = workers_here("growth.py", "--rounds", "1", "--sizes", "2", "--series", "depth")

    number = r"-?\d+\.\d\d, -?\d+\.\d\d"
    found = re.findall(rf"^\| exponent of (\w+).*? \| {number} \| .* \| {number} \|", printed, re.M)
    assert found == ["depth"]


def test_adaptation_is_counted_in_steps(here: Here) -> None:
    printed = here("adaptation.py", "--rounds", "1", "--steps", "2")

    rows = re.findall(r"^\| .* \| (\S.*) \| (\S+) \| (\S+) \| (\S+) \|$", printed, re.MULTILINE)
    assert len(rows) == 10
    for _, step, adaptation, ratio in rows:
        assert abs(float(adaptation) / float(step) / float(ratio) - 1) < 0.1


def test_published_run_is_timed_from_start_to_end(run: Here) -> None:
    printed = run("published_run.py", "--rounds", "1", "--epochs", "20")

    assert re.search(r"^\| median \| \d\S* \| \d\S* \|$", printed, re.MULTILINE)


def test_memory_of_a_table_is_measured_in_every_format(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_here(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        """In this process, not in one for each format, which would import torch again."""
        with contextlib.redirect_stdout(io.StringIO()) as out, monkeypatch.context() as patch:
            patch.setattr(sys, "argv", command[1:])
            runpy.run_path(command[1], run_name="__main__")
        return subprocess.CompletedProcess(command, 0, out.getvalue())

    monkeypatch.setattr(subprocess, "run", read_here)
    printed = here("table_memory.py", "--rows", "3000", "--formats", "tsv", "parquet")

    rows = re.findall(r"^\| (tsv|parquet) \|(?: \d+ \|){5} \S+ \|$", printed, re.MULTILINE)
    assert rows == ["tsv", "parquet"]


def test_pruning_is_compared_with_a_network_that_is_not_pruned(here: Here) -> None:
    printed = here("pruning.py", "--epochs", "8", "--seeds", "1", "--rounds", "1")

    assert re.search(
        r"^\| 0 \| \[2, \d, 1\] \| \S+ \| \S+ \| \S+ \| \S+ \|$", printed, re.MULTILINE
    )
    assert len(re.findall(r"^\| \[2, .* \| \d+ \| \d\S* \|$", printed, re.MULTILINE)) == 6


def test_published_points_are_those_of_jax_and_scikit_learn() -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    draws = load("feynman_draws")

    # jax.random.uniform(jax.random.key(seed), (5000, dim), minval=-1 + 1e-6, maxval=1), jax 0.8.1
    assert draws.published_points(44, 5000, 2)[0].tolist() == [
        0.4237309396266937,
        0.9499643445014954,
    ]
    last = draws.published_points(46, 5000, 3)[-1].tolist()
    assert last == [-0.281270295381546, -0.465311735868454, -0.12668383121490479]
    data = draws.PublishedFeynmanData(equation=2, seed=44, standardize=False)
    train, _ = selection.train_test_split(
        draws.published_points(44, 5000, 2), test_size=0.2, random_state=44
    )
    assert torch.equal(data.points("train"), torch.as_tensor(train))
    assert data.points("validate").shape == (1000, 2)


def test_a_recipe_is_trained_on_the_published_points(run: Here, tmp_path: Path) -> None:
    (tmp_path / "short.yaml").write_text(
        "feynman: {adaptation: {schedule: [3]}, trainer: {max_epochs: 20}}"
    )
    arguments = ["--tasks", "feynman2", "--seeds", "44", "--density", "InputDensity"]
    printed = run("feynman_draws.py", *arguments, "--recipe", str(tmp_path / "short.yaml"))

    (row,) = re.findall(r"^\| feynman2 \|(.*)\|$", printed, re.MULTILINE)
    error, median, published, ratio = map(float, row.split("|"))
    assert error == median
    assert published == 3.17e-4
    assert abs(ratio * median / published - 1) < 0.01


def test_steps_are_equal_on_one_thread_and_on_two(here: Here) -> None:
    before = torch.get_num_threads()
    try:
        printed = here("threads.py", "--seconds", "0", "--only", "sweep")
    finally:
        torch.set_num_threads(before)

    rows = re.findall(r"^\| .* \| ([\d.]+) \| (yes|no) \|$", printed, re.MULTILINE)
    assert len(rows) == 1
    assert rows[0][1] == "yes" or not kernel.kernel_available()


def test_rivals_are_tabulated_and_drawn_from_rows(here: Here, tmp_path: Path) -> None:
    rows = ["problem,method,iteration,seconds,rel_l2"]
    rows += [f"burgers,kanlit,{i},{10 * i},1e-{i}" for i in range(1, 6)]
    rows += ["burgers,DeepXDE,100,20,0.5", "burgers,DeepXDE,900,200,0.006"]
    (tmp_path / "rows.csv").write_text("\n".join([*rows, ""]))
    written = ["--rows", str(tmp_path / "rows.csv"), "--plot", str(tmp_path / "rivals.png")]

    printed = here("rivals.py", "--problems", "burgers", *written)

    assert "| burgers | kanlit | 1.0e-05 | 1.0e-05 | 5 | 50 |  |" in printed
    assert "| burgers | DeepXDE | 6.0e-03 | 6.0e-03 | 900 | 200 | 30 s |" in printed
    assert (tmp_path / "rivals.png").stat().st_size > 5000


def test_errors_of_a_run_are_printed_against_its_seconds(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    from rivals import Watch

    from kanlit.data import EquationData
    from kanlit.modules import PDEModule
    from kanlit.problems import Burgers

    data = EquationData(Burgers(), points_per_axis=4, condition_points=4)
    trainer = trainer_for(2, Watch(), precision="64-true")
    module = PDEModule(2, 1, hidden=[])
    trainer.fit(module, data)

    lines = capsys.readouterr().out.splitlines()
    *_, last = [json.loads(line) for line in lines if line.startswith("{")]
    assert last["iteration"] == 2
    assert last["rel_l2"] == pytest.approx(trainer.test(module, data)[0]["test/rel_l2"])
    assert 0 < last["seconds"] <= time.process_time()


def test_knots_by_the_measured_error_find_what_uniform_knots_do_not() -> None:
    knots = load("free_knots")

    data = knots.SharpData("jump", seed=1000)
    errors = {
        name: knots.spline(data, knots.DENSITIES[name], 12)[1] for name in ("uniform", "error")
    }
    assert 0.1 < errors["uniform"] < 0.3
    assert errors["error"] < 1e-2 * errors["uniform"]


def test_learned_knots_fit_a_boundary_layer_better_than_those_they_start_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(STUDIES)
    study = load("learned_knots")
    x = np.linspace(0, 1, 400)
    y = np.exp(-x / 0.02)
    start = np.linspace(0, 1, 7)

    def loss(breakpoints: np.ndarray) -> float:
        return float(np.square(study.residual(breakpoints, x, y)).sum())

    found = study.learned(start, x, y)
    assert (np.diff(found) > 0).all()
    assert loss(found) < 1e-2 * loss(start)
    greedy = study.inserted(6, x, y, x, y)
    assert len(greedy) == 7
    assert loss(greedy) < 0.1 * loss(start)


def test_the_jacobian_by_learned_widths_is_that_of_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(STUDIES)
    study = load("learned_knots")
    torch.manual_seed(0)
    network = KAN([1, 3, 1], grid_size=5, dtype=torch.float64)
    layers = [study.Parameters.of(layer) for layer in network.layers]
    x = torch.linspace(-0.9, 0.9, 11, dtype=torch.float64).unsqueeze(1)
    sizes = [value.numel() for layer in layers for value in layer.values]
    found = study.jacobian(layers, x, learn=True)
    assert found.shape == (11, sum(sizes))
    torch.testing.assert_close(study.predicted(layers, x), network(x).detach())
    for column in range(0, sum(sizes), 7):
        ends = []
        for sign in (1e-6, -1e-6):
            step = torch.zeros(sum(sizes), dtype=torch.float64)
            step[column] = sign
            pieces = iter(step.split(sizes))
            ends.append(study.predicted([layer.moved(pieces, True) for layer in layers], x))
        expected = (ends[0] - ends[1])[:, 0].detach() / 2e-6
        torch.testing.assert_close(found[:, column].detach(), expected, rtol=1e-5, atol=1e-7)
