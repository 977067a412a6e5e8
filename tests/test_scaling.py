"""Names and training range of a network's columns, as a checkpoint keeps them."""

from __future__ import annotations

import pytest
import torch

from kanlit.errors import ConfigurationError
from kanlit.scaling import Columns, default_names


def columns() -> Columns:
    points = torch.tensor([[0.1, 5.0], [0.3, -5.0], [0.2, 0.0]], dtype=torch.float64)
    return Columns.from_points(["a", "b"], ["y"], points)


def test_the_range_is_that_of_the_points_and_its_ends_are_inside() -> None:
    ends = torch.tensor([[0.1, -5.0], [0.3, 5.0]], dtype=torch.float64)

    assert not columns().is_outside(ends).any()


@pytest.mark.parametrize("point", [(0.2, 5.1), (0.2, -5.1), (0.09, 0.0), (0.31, 9.0)])
def test_one_input_beyond_its_range_puts_a_point_outside(point: tuple[float, float]) -> None:
    assert columns().is_outside(torch.tensor([point], dtype=torch.float64)).tolist() == [True]


def test_what_was_seen_is_inside_whatever_digits_are_lost() -> None:
    points = torch.rand(100, 2, dtype=torch.float64) + 0.1
    for seen, asked in ((points, points.float()), (points.float(), points.float())):
        assert not Columns.from_points(["a", "b"], ["y"], seen).is_outside(asked).any()


def test_a_state_of_plain_python_brings_everything_back() -> None:
    state = columns().state_dict()
    again = Columns.from_state_dict(state)

    assert state == {
        "inputs": ["a", "b"],
        "targets": ["y"],
        "low": [0.1, -5.0],
        "high": [0.3, 5.0],
        "label": None,
    }
    assert (again.inputs, again.targets) == (("a", "b"), ("y",))
    assert torch.equal(again.low, columns().low)
    assert torch.equal(again.high, columns().high)


def test_a_range_of_another_number_of_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 2 values"):
        Columns(("a", "b"), ("y",), torch.zeros(3), torch.ones(2))


def test_columns_without_names_are_numbered() -> None:
    assert default_names(2, 1) == (["x1", "x2"], ["y"])
    assert default_names(1, 2) == (["x1"], ["y1", "y2"])


@pytest.mark.parametrize(
    ("inputs", "targets", "label", "said"),
    [
        (["b", "a"], ["y"], None, "inputs a, b, in this order, but the data have b, a"),
        (["a", "c"], ["y"], None, "inputs a, b, but the data have a, c"),
        (["a"], ["y"], None, "inputs a, b, but the data have a"),
        (["a", "b"], ["z"], None, "targets y, but the data have z"),
        (["a", "b"], ["y"], "kind", "label None, but the data have kind"),
    ],
)
def test_data_of_other_columns_are_refused(
    inputs: list[str], targets: list[str], label: str | None, said: str
) -> None:
    columns().check(["a", "b"], ["y"], None)
    with pytest.raises(ConfigurationError, match=said):
        columns().check(inputs, targets, label)
