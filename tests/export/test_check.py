"""What an exported file computes is held against the module, where it matters."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kanlit.adaptation import kan_layers
from kanlit.errors import ConfigurationError
from kanlit.export.check import check, largest_difference, points_to_check
from kanlit.modules import RegressionModule
from kanlit.nn import KANLayer


def test_points_lie_in_the_first_grids_at_their_breakpoints_and_around(
    module: RegressionModule,
) -> None:
    inside, around = (module.network_inputs(x.double()) for x in points_to_check(module))
    first = next(iter(kan_layers(module).values()))
    low, high = first.breakpoints[:, 0].double(), first.breakpoints[:, -1].double()

    margin = 1e-4 * (high - low)
    assert ((inside >= low - margin) & (inside <= high + margin)).all()
    for feature, at in enumerate(first.breakpoints.double()):
        distance = (inside[:, feature, None] - at).abs().amin(0)
        assert (distance < margin[feature]).all()
    assert (around < low).any(0).all()
    assert (around > high).any(0).all()


def test_a_module_differs_from_itself_by_nothing(module: RegressionModule) -> None:
    assert check(module, module) == 0


def test_a_difference_is_measured_by_each_output_s_scale() -> None:
    inside, around = torch.tensor([[1.0], [-2.0]]), torch.tensor([[100.0]])

    def twice(x: Tensor) -> Tensor:
        return torch.cat([x, 1000 * x], 1)

    def off(x: Tensor) -> Tensor:
        return twice(x) + torch.tensor([0.02, 1.0])

    assert largest_difference(off, twice, [inside, around]) == pytest.approx(0.01)
    assert largest_difference(off, twice, [around]) == pytest.approx(2e-4, rel=1e-3)
    assert largest_difference(twice, lambda x: 0 * twice(x), [inside]) == torch.inf


@pytest.mark.parametrize("factor", [1 + 1e-4, torch.nan, torch.inf])
def test_another_function_is_refused(factor: float, module: RegressionModule) -> None:
    with pytest.raises(ConfigurationError, match=r"differs from the checkpoint by") as caught:
        check(lambda x: module(x) * factor, module)
    assert "\n" not in str(caught.value)


def test_what_differs_only_outside_or_only_at_a_breakpoint_is_refused(
    module: RegressionModule,
) -> None:
    inside, _ = points_to_check(module)
    ends = inside.amin(0), inside.amax(0)

    def clamped(x: Tensor) -> Tensor:
        return module(x.clamp(*ends))

    at = inside[-3]

    def holed(x: Tensor) -> Tensor:
        return torch.where((x == at).all(1, keepdim=True), 0, module(x))

    for wrong in (clamped, holed):
        with pytest.raises(ConfigurationError, match="was not written"):
            check(wrong, module)


def test_a_module_that_has_diverged_is_refused(module: RegressionModule) -> None:
    module.target_mean.fill_(torch.nan)

    with pytest.raises(ConfigurationError, match="predicts NaN"):
        check(module, module)


def test_a_difference_within_the_module_s_own_rounding_is_allowed(
    module: RegressionModule, moved: Callable[[KANLayer, int], None]
) -> None:
    # The second layer turns so often that the rounding of what it gets shows.
    first, second = kan_layers(module).values()
    first.coefficients.mul_(0.2)
    moved(second, 3000)
    exact = copy.deepcopy(module).double()

    difference = check(lambda x: exact(x.double()).float(), module)
    assert 1e-5 < difference < 1e-2
