"""What the command line can do: configs, overrides, short names, and each of its commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import kanlit
from kanlit import cli
from kanlit.cli import main
from kanlit.cli.app import main as parse_and_run
from kanlit.cli.commands import APART

# Runs of two epochs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

Run = Callable[[str], str]

SHORT = "--data SyntheticData --data.samples 30 --model.hidden '[3]' --trainer.max_epochs 2"
TABLE = "--data TableData --data.path t.csv --data.inputs '[a, b]' --data.targets '[y]'"


@pytest.fixture
def run(command_line: Callable[[str], tuple[int, str, str]], tmp_path: Path) -> Run:
    """Runs a command line in a scratch folder with a table and returns its stdout."""
    rows = [f"{i},{(i * 7) % 11},{i + (i * 7) % 11}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *rows, ""]))

    def run(command: str) -> str:
        status, output, error = command_line(command)
        if status:
            pytest.fail(f"kanlit {command} ended with {status}: {error}")
        return output

    return run


@pytest.fixture
def printed(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Any]:
    """What a command line with --print_config prints, parsed."""

    def printed(command: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["kanlit", *shlex.split(command), "--print_config"])
        with pytest.raises(SystemExit) as exit_info:
            main()
        output = capsys.readouterr()
        assert exit_info.value.code in (0, None), output.err
        return yaml.safe_load(output.out)

    return printed


# -- settings -------------------------------------------------------------------------------


def test_defaults_are_shown_as_what_they_are(printed: Callable[[str], Any]) -> None:
    config = printed("fit --data SyntheticData")

    assert config["adaptation"]["density"] == {
        "class_path": "kanlit.BlendedDensity",
        "init_args": {"densities": None, "shares": None},
    }
    assert config["adaptation"]["schedule"] == [3, 6, 9, 12]


@pytest.mark.parametrize(
    ("words", "place", "value"),
    [
        ("--data.function f3", "data.init_args.function", "f3"),
        ("--model.hidden '[4, 5]'", "model.init_args.hidden", [4, 5]),
        ("--adaptation.density InputDensity", "adaptation.density.class_path", "InputDensity"),
        (
            "--adaptation.density CurvatureDensity --adaptation.density.power 1.0",
            "adaptation.density.init_args.power",
            1.0,
        ),
        ("--adaptation.schedule '{0: 3, 100: 6}'", "adaptation.schedule", {"0": 3, "100": 6}),
        ("--adaptation.schedule '[3, 6]'", "adaptation.schedule", [3, 6]),
        ("--model.optimizer SGD", "model.init_args.optimizer.class_path", "torch.optim.SGD"),
        (
            "--model.optimizer SGD --model.optimizer.lr 0.1",
            "model.init_args.optimizer.init_args.lr",
            0.1,
        ),
        (
            "--model.lr_scheduler CosineAnnealingLR --model.lr_scheduler.T_max 9",
            "model.init_args.lr_scheduler.init_args.T_max",
            9,
        ),
        (
            "--model.lr_scheduler ReduceLROnPlateau --model.lr_scheduler.monitor val/loss",
            "model.init_args.lr_scheduler.class_path",
            "lightning.pytorch.cli.ReduceLROnPlateau",
        ),
    ],
)
def test_an_option_on_the_command_line_lands_in_the_config(
    words: str, place: str, value: object, printed: Callable[[str], Any]
) -> None:
    found = printed(f"fit --data SyntheticData {words}")
    for key in place.split("."):
        found = found[key]

    assert found == value or (isinstance(value, str) and found.endswith(f".{value}"))


@pytest.mark.parametrize(
    ("text", "module"),
    [
        ("data: HelmholtzData\nmodel: {hidden: [4]}", "PDEModule"),
        ("data: {class_path: kanlit.data.HelmholtzData}\nmodel: {hidden: [4]}", "PDEModule"),
        ("data: SyntheticData\nmodel: {hidden: [4]}", "RegressionModule"),
        ("data: {class_path: ScikitData}\nmodel: {hidden: [4]}", "ClassificationModule"),
        ("model: {hidden: [4]}\ndata: {class_path: FeynmanData}", "RegressionModule"),
    ],
)
def test_the_module_follows_from_the_data(
    text: str, module: str, printed: Callable[[str], Any], tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(text)

    model = printed("fit --config c.yaml")["model"]

    assert model["class_path"].endswith(module)
    assert model["init_args"]["hidden"] == [4]


def test_a_config_of_all_subcommands_names_data_under_each(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(
        "fit:\n  data: {class_path: HelmholtzData, init_args: {points_per_axis: 5}}\n"
        "  model: {hidden: [2]}\n  adaptation: {schedule: [3]}\n  trainer: {max_epochs: 1}"
    )

    assert "relative L2" in run("--config c.yaml fit")


def test_a_density_of_ones_own_is_found_in_the_working_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "density_of_mine.py").write_text(
        "from kanlit.adaptation import InputDensity\n"
        "class Mine(InputDensity):\n"
        "    def __init__(self, strength: float = 1.0) -> None:\n"
        "        print('strength', strength)\n"
    )

    output = run(
        f"fit {SHORT} --adaptation.density density_of_mine.Mine --adaptation.density.strength 3"
    )

    assert "strength 3.0" in output


def test_data_of_ones_own_are_found_in_the_working_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data_of_mine.py").write_text(
        "from kanlit.data import SyntheticData\nclass MyData(SyntheticData): pass\n"
    )

    assert "relative L2" in run(f"fit {SHORT} --data data_of_mine.MyData --data.samples 20")


@pytest.mark.parametrize(
    "model",
    [
        "optimizer: {class_path: LBFGS, init_args: {lr: 0.5, max_iter: 2}}",
        "lr_scheduler: {class_path: CosineAnnealingLR, init_args: {T_max: 10}}",
        "lr_scheduler: {class_path: ReduceLROnPlateau, init_args: {monitor: val/loss}}",
    ],
)
def test_optimizers_and_schedulers_come_from_yaml(model: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"data: SyntheticData\nmodel:\n  hidden: [2]\n  {model}\n")

    assert "relative L2" in run("fit --config c.yaml --data.samples 20 --trainer.max_epochs 2")


def test_a_terminal_shows_a_line_before_the_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    said: list[str] = []
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(sys, "argv", ["kanlit", "fit"])
    monkeypatch.delitem(sys.modules, "kanlit.cli.app")
    monkeypatch.setattr(cli, "_import_app", lambda: lambda: said.append(terminal.getvalue()))
    cli.main()
    assert said == ["kanlit fit: loading torch and Lightning\n"]


# -- commands -------------------------------------------------------------------------------


def test_fit_ends_with_its_summary(run: Run, tmp_path: Path) -> None:
    lines = run(f"fit {SHORT} --adaptation.schedule '[3, 5]'").splitlines()[-10:]

    patterns = [
        r"relative L2: \d\.\d{3}e[+-]\d\d",
        r"errors of y: R² (1 - |> )?\S+, RMSE \S+, MAE \S+",
        r"rows: \d+ training, \d+ validation, \d+ test",
        r"grid size: G = 5, degree 3",
        r"parameters: \d+",
        r"seconds: \d+\.\d",
        r"checkpoint: lightning_logs/version_0/checkpoints/last\.ckpt",
        r"stopped: max_epochs, \d+",
        r"kept weights: those of the last epoch",
        r"next: tensorboard --logdir lightning_logs",
    ]
    for pattern, line in zip(patterns, lines, strict=True):
        assert re.fullmatch(pattern, line)
    assert (tmp_path / lines[6].partition(": ")[2]).is_file()


def test_a_table_is_fitted_tested_and_predicted_under_its_own_names(
    run: Run, tmp_path: Path
) -> None:
    assert "relative L2" in run(f"fit {TABLE} --trainer.max_epochs 5")
    assert "test/rel_l2" in run(f"test {TABLE} --ckpt_path last")
    assert "val/rel_l2" in run(f"validate {TABLE} --ckpt_path best")
    line = run(f"predict {TABLE} --ckpt_path last").splitlines()[-1]

    found = re.fullmatch(r"predictions: (\S+predictions\.csv) \(60 rows\)", line)
    assert found
    table, given = pd.read_csv(tmp_path / found[1]), pd.read_csv(tmp_path / "t.csv")
    assert list(table.columns[:2]) == ["a", "b"]
    assert any("y" in name for name in table.columns[2:])
    assert table["a"].tolist() == given["a"].tolist()


def test_a_formula_is_fitted_tested_and_predicted_under_its_own_names(
    run: Run, tmp_path: Path
) -> None:
    short = "--model.hidden '[3]' --trainer.max_epochs 2"
    formula = "--data FormulaData --data.formula 'y = sin(3*x)*exp(-z)'"
    bounds = "--data.bounds '{x: [-1, 1], z: [0, 2]}' --data.test_points 50"
    assert "relative L2" in run(f"fit {formula} {bounds} {short}")
    config = {
        "data": {
            "class_path": "FormulaData",
            "init_args": {
                "formula": "y = sin(3*x)*exp(-z)",
                "bounds": {"x": [-1, 1], "z": [0, 2]},
                "test_points": 50,
            },
        }
    }
    (tmp_path / "formula.yaml").write_text(yaml.safe_dump(config))
    run("test --config formula.yaml --ckpt_path last")
    output = run("predict --config formula.yaml --ckpt_path last")

    path = re.search(r"predictions: (\S+) \(50 rows\)", output)
    assert path is not None
    assert list(pd.read_csv(tmp_path / path[1]).columns) == ["x", "z", "y_predicted", "outside"]


def test_a_run_goes_on_from_its_last_checkpoint(run: Run, tmp_path: Path) -> None:
    run(f"fit {SHORT}")
    output = run(f"fit {SHORT} --trainer.max_epochs 4 --ckpt_path last")

    assert "epoch 0: grids adapted" not in output
    assert "version_1" in output


def test_fit_from_last_starts_fresh_where_there_is_none(
    run: Run, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    output = run(f"fit {SHORT} --ckpt_path last")

    assert "relative L2" in output
    assert "no last checkpoint" in caplog.text
    assert "starts fresh" in caplog.text


def test_a_saved_config_runs_again(run: Run) -> None:
    first = run(f"fit {SHORT} --data.function f4 --adaptation.schedule '{{0: 3, 1: 4}}'")
    second = run("fit --config lightning_logs/version_0/config.yaml")

    same = [line for line in first.splitlines() if "seconds" not in line and "version" not in line]
    assert any(line.startswith("relative L2") for line in same)
    assert set(same) <= set(second.splitlines())
    assert "test/rel_l2" in run(
        "test --config lightning_logs/version_0/config.yaml --ckpt_path last"
    )


def test_print_config_comes_before_looking_for_a_checkpoint(
    printed: Callable[[str], Any],
) -> None:
    assert printed("test --data SyntheticData --ckpt_path last")["ckpt_path"] == "last"


# -- what is shown --------------------------------------------------------------------------


def test_version_names_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kanlit", "--version"])
    with pytest.raises(SystemExit) as exit_info:
        main()

    assert exit_info.value.code == 0
    assert capsys.readouterr().out == f"kanlit {kanlit.__version__}\n"


@pytest.mark.parametrize(
    "words", [[], ["-h"], ["--help"], ["--version"], ["--config", "c.yaml", "--help"]]
)
def test_what_kanlit_is_needs_neither_torch_nor_lightning(words: list[str]) -> None:
    code = (
        "import sys\n"
        "from kanlit.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    slow = {'torch', 'lightning', 'jsonargparse', 'matplotlib', 'numpy'}\n"
        "    assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)

    assert done.returncode == (0 if words else 2), done.stderr
    assert "Traceback" not in done.stderr
    if not words:
        assert done.stderr.count("\n") == 1
        assert "kanlit --help" in done.stderr


def test_help_names_the_commands_and_options_that_the_real_parser_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed(entry: Callable[[], None]) -> tuple[dict[str, str], set[str]]:
        monkeypatch.setattr(sys, "argv", ["kanlit", "--help"])
        with pytest.raises(SystemExit) as exit_info:
            entry()
        assert exit_info.value.code == 0
        text = capsys.readouterr().out
        found = re.findall(r"^    (\w+) +(\w.*(?:\n {10,}.*)*)", text, re.MULTILINE)
        options = re.findall(r"^  (-.*?)(?:  |$)", text, re.MULTILINE)
        names = {name for option in options for name in re.findall(r"--?\w+", option)}
        return {command: " ".join(said.split()) for command, said in found}, names

    commands, options = listed(main)

    trains, same_options = listed(parse_and_run)
    assert "fit" in trains
    assert (set(commands), options) == ({*trains, *APART}, same_options)
    assert {name: commands[name] for name in APART} == APART


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        ("fit --help", "--(model|data|adaptation|ckpt_path)"),
        ("fit --model.help RegressionModule", "--model"),
        ("fit --model.help PDEModule", "--model"),
        ("fit --model.help ClassificationModule", "--model"),
        ("fit --data.help SyntheticData", "--data"),
        ("fit --data.help FeynmanData", "--data"),
        ("fit --data.help HelmholtzData", "--data"),
        ("fit --data.help TableData", "--data"),
        ("fit --data.help FormulaData", "--data"),
        ("fit --adaptation.density.help CurvatureDensity", "--adaptation"),
    ],
)
def test_help_explains_every_option_of_kanlit_in_words(
    words: str, ours: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kanlit", *words.split()])
    with pytest.raises(SystemExit):
        main()

    text = capsys.readouterr().out
    options = re.findall(rf"^  ({ours}\S*)(.*(?:\n {{10,}}.*)*)", text, re.MULTILINE)
    assert options
    for option in options:
        explained = re.sub(r"\s+", " ", option[-1]).replace(" (type", "(type").split("(type")[0]
        assert re.search(r"[a-z]+ [a-z]+", explained), option


def test_warnings_that_say_something_are_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kanlit.runs.console import clean_console

    with clean_console():
        warnings.simplefilter("always", append=True)
        warnings.warn("knots were lost", stacklevel=1)
        warnings.warn("The dirpath has changed from a to b", stacklevel=1)

    error = capsys.readouterr().err
    assert "UserWarning: knots were lost" in error
    assert "dirpath" not in error
