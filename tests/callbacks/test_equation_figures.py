"""Pictures that a run on a differential equation draws, and ``kanlit plot`` after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kanlit.callbacks.equation_figures import _within
from kanlit.callbacks.knot_plot import _is_drawn
from kanlit.problems import Polygon

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


def test_a_field_has_no_values_outside_the_domain() -> None:
    triangle = Polygon("POLYGON ((0 0, 1 0, 0 1, 0 0))")
    x = torch.tensor([[0.2, 0.2], [0.9, 0.9], [0.7, 0.1]]).double()

    def reciprocal(points: torch.Tensor) -> torch.Tensor:
        assert bool((points.sum(1) <= 1).all())
        return 1 / points

    found = _within(triangle, reciprocal, x)
    torch.testing.assert_close(found[[0, 2]], 1 / x[[0, 2]])
    assert bool(found[1].isnan().all())
