"""Pictures that a run on a differential equation draws, and ``kanlit plot`` after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from kanlit.callbacks.equation_figures import (
    _reference,
    _within,
    animated_solution,
    solution_picture,
)
from kanlit.callbacks.knot_plot import _is_drawn
from kanlit.data import EquationData
from kanlit.errors import ConfigurationError
from kanlit.modules import PDEModule
from kanlit.problems import BoundaryValueProblem, Burgers, Equation, Polygon

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

Words = Callable[[str], tuple[int, str, str]]
X = torch.rand(9, 2, dtype=torch.float64)
HERE = "kanlit.callbacks.equation_figures"
RUN = (
    "fit --data EquationData --data.equation {equation} --data.sampling residual --data.points 30 "
    "--data.condition_points 4 --data.redraw ResidualDraw --data.redraw.pool 60 "
    "--data.redraw.every 2 --model PDEModule --model.hidden '[2]' --model.spline_order 5 "
    "--trainer.max_epochs 5 --trainer.precision 64-true"
)


@pytest.fixture
def figures() -> Any:
    """The arguments of each picture of an equation, by its kind; functions by their values at X."""
    calls: dict[str, list[tuple[Any, ...]]] = {"points": [], "solution": []}

    def record(kind: str) -> Callable[..., Figure]:
        def draw(*arguments: Any) -> Figure:
            calls[kind].append(tuple(a(X) if callable(a) else a for a in arguments))
            return Figure()

        return draw

    with (
        patch(f"{HERE}.points_figure", record("points")),
        patch(f"{HERE}.solution_figure", record("solution")),
    ):
        yield calls


def checkpoint(folder: Path) -> dict[str, Any]:
    path = next(folder.glob("lightning_logs/*/checkpoints/last.ckpt"))
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("equation", ["Burgers", "Cavity"])
def test_points_are_drawn_at_each_redraw_and_with_the_solution_at_the_end_and_later(
    command_line: Words, tmp_path: Path, figures: Any, equation: str
) -> None:
    status, _, error = command_line(RUN.format(equation=equation))
    assert status == 0, error

    events = EventAccumulator(str(tmp_path / "lightning_logs" / "version_0"), {"images": 0})
    events.Reload()
    assert [image.step for image in events.Images("points")] == [2, 4]
    assert [image.step for image in events.Images("solution")] == [5]
    assert "error_map" not in events.Tags()["images"]
    last = checkpoint(tmp_path)["EquationData"]["train"]["collocation"]
    first, second = (arguments[2] for arguments in figures["points"])
    assert not torch.equal(first, last)
    assert torch.equal(second, last)
    assert torch.equal(figures["solution"][0][5], last)

    status, output, error = command_line("plot last")
    assert status == 0, error
    assert "solution: lightning_logs/version_0/plots/solution.png" in output
    during, after = figures["solution"]
    assert torch.equal(after[5], last)
    assert (after[7] is None) == (equation == "Cavity")
    for part in (3, 4):  # prediction and residual
        torch.testing.assert_close(after[part], during[part], rtol=0.0, atol=0.0)


def test_points_of_a_long_run_are_drawn_at_some_twenty_redraws() -> None:
    drawn = [n for n in range(101) if _is_drawn(n)]
    assert drawn[:8] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert 18 <= len(drawn) <= 22


def test_solution_of_a_run_with_windows_is_of_all_of_them(
    command_line: Words, figures: Any
) -> None:
    words = RUN.format(equation="Burgers").replace("'[2]'", "'[]'")
    status, _, error = command_line(
        f"{words} --trainer.callbacks TimeWindows --trainer.callbacks.windows '{{0: 0.5, 3: null}}'"
    )
    assert status == 0, error
    assert command_line("plot last")[0] == 0

    during, after = figures["solution"]
    assert during[0] == after[0] == ((-1.0, 1.0), (0.0, 1.0))
    for part in (3, 4):  # prediction and residual
        torch.testing.assert_close(after[part], during[part], rtol=0.0, atol=0.0)
    for knots in (during[6], after[6]):  # of the last window
        assert knots[1].name == "t (last window)"
        assert knots[1].places.min() >= 0.4


class Plate(Equation):
    """Two unknowns in a triangle over time, for a range of a speed."""

    coordinates = ("x", "y", "t")
    unknowns = ("u", "v")
    domain = Polygon("POLYGON ((0 0, 1 0, 0 1, 0 0))", axes=((0.0, 2.0),))
    parameters: ClassVar = {"speed": (1.0, 3.0)}

    def residual(self, u_t: Tensor, v_t: Tensor, u_xx: Tensor, speed: Tensor) -> dict[str, Tensor]:
        return {"a": u_t - speed * u_xx, "b": v_t}

    def solution(self, points: Tensor) -> Tensor:
        return torch.stack([points[:, 2], points[:, 3]], 1)


def solved(equation: Equation, **settings: Any) -> tuple[PDEModule, EquationData]:
    data = EquationData(equation, sampling="uniform", points=400, condition_points=4, **settings)
    names = equation.variables, equation.unknowns
    module = PDEModule(len(names[0]), len(names[1]), hidden=[], grid_size=3).double()
    module.problem = equation
    return module, data


def slices_of(draw: Callable[[], Any], name: str) -> tuple[Any, ...]:
    with patch(f"{HERE}.{name}", return_value=Figure()) as drawn:
        draw()
    return drawn.call_args.args


def test_slices_are_at_the_ends_and_the_middle_of_the_third_coordinate() -> None:
    module, data = solved(Plate())
    first = module.network.layers[0]
    arguments = slices_of(lambda: solution_picture(module, data, first), "slices_figure")

    bounds, names, _, slices, knots, title, equal = arguments
    assert (bounds, names, equal) == (((0.0, 1.0), (0.0, 1.0)), ("x", "y", "t"), True)
    assert title == "Plate, speed = 2"
    assert [knot.name for knot in knots] == ["x", "y"]
    x = torch.tensor([[0.2, 0.3], [0.9, 0.9]]).double()  # the second is outside
    for found, t in zip(slices, (0.0, 1.0, 2.0), strict=True):
        assert found.label == f"t = {t:g}"
        inside = torch.tensor([[0.2, 0.3, t, 2.0]]).double()
        torch.testing.assert_close(found.predict(x)[:1], module(inside))
        torch.testing.assert_close(found.reference(x)[:1], Plate().solution(inside))
        assert bool(found.predict(x)[1].isnan().all())
        assert bool(found.residual(x)[1].isnan())
        assert 10 < len(found.points) < 80


def test_an_animation_is_along_any_coordinate_that_leaves_one_or_two(tmp_path: Path) -> None:
    module, data = solved(Plate())
    path = tmp_path / "a.gif"
    arguments = slices_of(lambda: animated_solution(module, data, "t", path), "animate_solution")
    assert arguments[1] == ((0.0, 1.0), (0.0, 1.0))
    assert [each.label for each in arguments[4]][::20] == ["t = 0", "t = 1", "t = 2"]
    for name, words in (
        ("x", "cannot animate x: the pictures are of one or two coordinates"),
        ("speed", "cannot animate speed: the pictures are of one or two coordinates"),
        ("z", "cannot animate z, which is no coordinate or parameter of Plate"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            animated_solution(module, data, name, path)
    module, data = solved(Burgers())
    arguments = slices_of(lambda: animated_solution(module, data, "t", path), "animate_solution")
    assert (arguments[1], arguments[2]) == (((-1.0, 1.0),), ["x"])


def test_a_reference_table_is_shown_between_its_points(tmp_path: Path) -> None:
    """A linear function is met everywhere, but for unknowns without values."""
    generator = torch.Generator().manual_seed(0)
    points = Plate.domain.drawn(300, generator)
    rows = torch.cat([points, 1 + 2 * torch.rand(300, 1, generator=generator).double()], 1)
    table = pd.DataFrame(rows.numpy(), columns=["x", "y", "t", "speed"])
    path = tmp_path / "reference.csv"
    table.assign(v=1 + table["x"] - 2 * table["t"] + table["speed"]).to_csv(path, index=False)
    _, data = solved(Plate(), reference=str(path))
    known = _reference(data, BoundaryValueProblem(Plate()))
    assert known is not None
    x = torch.tensor([[0.3, 0.3, 1.0, 2.0], [0.3, 0.3, 1.5, 2.5]]).double()
    found = known(x)
    torch.testing.assert_close(found[:, 1], 1 + x[:, 0] - 2 * x[:, 2] + x[:, 3])
    assert bool(found[:, 0].isnan().all())


def test_a_run_without_an_equation_cannot_be_animated(command_line: Words) -> None:
    status, _, error = command_line(
        "fit --data FormulaData --data.formula x1 --data.bounds '{x1: [0, 1]}' --data.samples 20 "
        "--trainer.max_epochs 1"
    )
    assert status == 0, error
    status, _, error = command_line("plot last --animate t")
    assert status != 0
    assert "--animate t needs a run on an equation" in error
    status, _, error = command_line("plot last --mp4")
    assert status != 0
    assert "add --animate" in error


def test_a_field_has_no_values_outside_the_domain() -> None:
    triangle = Polygon("POLYGON ((0 0, 1 0, 0 1, 0 0))")
    x = torch.tensor([[0.2, 0.2], [0.9, 0.9], [0.7, 0.1]]).double()

    def reciprocal(points: torch.Tensor) -> torch.Tensor:
        assert bool((points.sum(1) <= 1).all())
        return 1 / points

    found = _within(triangle, reciprocal, x)
    torch.testing.assert_close(found[[0, 2]], 1 / x[[0, 2]])
    assert bool(found[1].isnan().all())
