"""What kanlit chooses for an equation, and what it leaves to the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console

# Two epochs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

CommandLine = Callable[[str], tuple[int, str, str]]
HEAT = "kanlit.problems.Heat"  # the pages' equation, which other tests import, is a Heat, too


def chosen(*words: str, equation: str = HEAT) -> dict[str, Any]:
    """All settings of a run on an equation."""
    given = ["--data", "EquationData", "--data.equation", equation, *words]
    with quiet_console():
        return Assembly(given, run=False, records=False).config.as_dict()


def callbacks(settings: dict[str, Any]) -> list[str]:
    return [each["class_path"].rpartition(".")[2] for each in settings["trainer"]["callbacks"]]


def test_equation_is_trained_by_least_squares_on_points_that_follow_the_residual() -> None:
    found = chosen()
    data, model = found["data"]["init_args"], found["model"]["init_args"]

    assert model["optimizer"]["class_path"] == "kanlit.LevenbergMarquardt"
    assert model["spline_order"] == 5
    assert (data["sampling"], data["points"]) == ("residual", 2500)
    assert found["trainer"]["precision"] == "64-true"


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        (HEAT, ["Horizon", "KeepBest"]),
        ("SineGordon", ["Horizon", "KeepBest"]),  # of the second order in time
        ("Advection", ["TimeWindows", "KeepBest"]),  # whose solution is only carried along
        ("Poisson", ["KeepBest"]),  # without time
    ],
)
def test_time_grows_where_the_solution_spreads_from_its_start(
    equation: str, expected: list[str]
) -> None:
    assert callbacks(chosen(equation=equation)) == expected


def test_conditions_on_a_polygon_weigh_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "holed.py").write_text(
        "from kanlit import Equation, Polygon, dirichlet\n"
        "class Holed(Equation):\n"
        "    coordinates = ('x', 'y')\n"
        "    domain = Polygon('POLYGON ((0 0, 9 0, 0 9, 0 0), (2 2, 3 2, 2 3, 2 2))')\n"
        "    def residual(self, u_xx, u_yy):\n"
        "        return u_xx + u_yy\n"
        "    def conditions(self):\n"
        "        return [dirichlet('walls', 'boundary')]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = [chosen(equation=name)["model"]["init_args"] for name in ("holed.Holed", HEAT)]
    assert [each["boundary_weight"] for each in found] == [1000, 100]


def test_what_the_user_sets_stays() -> None:
    words = ("--model.boundary_weight", "7", "--adaptation.schedule", "[3, 5]")
    found = chosen(*words, "--data.points_per_axis", "9", "--trainer.max_epochs", "12")
    data = found["data"]["init_args"]

    assert found["model"]["init_args"]["boundary_weight"] == 7
    assert found["model"]["init_args"]["grid_size"] == 3
    assert found["adaptation"]["schedule"] == [3, 5]
    assert (data["points_per_axis"], data["sampling"], data["points"]) == (9, "grid", None)
    assert found["trainer"]["max_epochs"] == 12
    assert callbacks(found) == ["KeepBest"]  # too short for stages of time


def test_another_optimizer_leaves_everything_to_the_user() -> None:
    found = chosen("--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.1")

    assert found["trainer"]["max_epochs"] == 2000
    assert found["data"]["init_args"]["sampling"] == "grid"
    assert callbacks({"trainer": {"callbacks": found["trainer"]["callbacks"] or []}}) == []


def test_a_minimal_config_trains_and_shows_what_was_chosen(
    command_line: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "data: {class_path: EquationData, init_args: {equation: kanlit.problems.Heat}}"
    )
    _, printed, _ = command_line("fit --config mine.yaml --print_config")
    shown = yaml.safe_load(printed)
    assert shown["model"]["init_args"]["optimizer"]["class_path"] == "kanlit.LevenbergMarquardt"

    status, printed, error = command_line(
        "fit --config mine.yaml --trainer.max_epochs 2 --adaptation.schedule [3] --model.hidden [3]"
    )
    assert status == 0, error
    status, printed, error = command_line("test --config mine.yaml --ckpt_path last")
    assert status == 0, error
    assert "test/rel_l2" in printed


def test_a_run_on_a_system_says_the_error_of_each_unknown(command_line: CommandLine) -> None:
    words = "--trainer.max_epochs 1 --adaptation.schedule [3] --model.hidden [3] --data.points 50"
    status, printed, error = command_line(
        f"fit --data EquationData --data.equation GrayScott {words}"
    )

    assert status == 0, error
    names = [line.split(":")[0] for line in printed.splitlines() if line.startswith("relative L2")]
    assert names == ["relative L2", "relative L2 of u", "relative L2 of v"]
    (residuals,) = [line for line in printed.splitlines() if line.startswith("residuals on")]
    blocks = [part.split()[0] for part in residuals.split(": ")[1].split(", ")]
    (run,) = Path("lightning_logs").iterdir()
    kept = EventAccumulator(str(run)).Reload().Tags()["scalars"]
    assert {f"val/{name}" for name in blocks} < set(kept)
