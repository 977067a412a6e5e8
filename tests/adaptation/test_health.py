"""What is measured of an adaptation, and which failure is told when, once and with its cure."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from kanlit.adaptation import AdaptationReport, LayerAdaptation, grid_health
from kanlit.adaptation.health import HealthWatch


def layer(
    new: list[float], old: list[float] | None = None, weights: Tensor | None = None
) -> LayerAdaptation:
    x = torch.linspace(new[0], new[-1], 101).unsqueeze(1)
    return LayerAdaptation(
        name="layers.0",
        old_breakpoints=torch.tensor([new if old is None else old]),
        new_breakpoints=torch.tensor([new]),
        samples=x,
        weights=torch.linspace(0, 1, 101) if weights is None else weights,
        refit_error=0.0,
        out_of_range=0.0,
    )


def report(*layers: LayerAdaptation, loss: float | None = 1.0) -> AdaptationReport:
    return AdaptationReport(layers, layers[0].grid_size, 0.0, 0.0, loss, loss)


UNIFORM = [0.0, 0.25, 0.5, 0.75, 1.0]
FINER = [m / 8 for m in range(9)]


# -- measures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_effective_samples_is_one_for_equal_weights_and_one_nth_for_a_spike(
    scale: float, dtype: torch.dtype
) -> None:
    equal = torch.full((101,), scale, dtype=dtype)
    spike = torch.zeros(101, dtype=dtype)
    spike[3] = scale
    half = torch.where(torch.arange(101) < 50, equal, 0)
    for weights, share in ((equal, 1.0), (spike, 1 / 101), (half, 50 / 101), (0 * equal, 1.0)):
        health = grid_health(layer(UNIFORM, weights=weights))
        assert health.effective_samples == pytest.approx(share)


def test_effective_samples_of_weights_of_each_feature_is_the_smallest() -> None:
    both = layer(UNIFORM)
    two = replace(
        both,
        old_breakpoints=both.old_breakpoints.repeat(2, 1),
        new_breakpoints=both.new_breakpoints.repeat(2, 1),
        samples=both.samples.repeat(1, 2),
        weights=torch.stack([torch.ones(101), (torch.arange(101) == 0).float()], dim=1),
    )
    assert grid_health(two).effective_samples == pytest.approx(1 / 101)


@pytest.mark.parametrize(
    ("grid", "coverage"),
    [(UNIFORM, 1.0), ([0.0, 0.5, 0.6, 0.7, 1.0], 0.5), ([0.0, 0.1, 0.2, 0.3, 1.0], 0.25 / 0.7)],
)
def test_edge_coverage_is_the_uniform_step_over_the_wider_end(
    grid: list[float], coverage: float
) -> None:
    assert grid_health(layer(grid)).edge_coverage == pytest.approx(coverage)


@pytest.mark.parametrize(
    ("new", "old", "displacement"),
    [
        (UNIFORM, UNIFORM, 0.0),
        (FINER, UNIFORM, 0.0),  # halved, nothing has moved
        (UNIFORM, FINER, 0.0),
        ([b + 0.25 for b in UNIFORM], UNIFORM, 1.0),
        ([0.0, 0.5, 0.5, 0.75, 1.0], UNIFORM, 0.2),
    ],
)
def test_displacement_is_the_mean_move_in_uniform_steps(
    new: list[float], old: list[float], displacement: float
) -> None:
    got = grid_health(layer(new, old)).displacement
    assert got == pytest.approx(displacement, abs=1e-6)


# -- failures -----------------------------------------------------------------------------------


def test_sound_adaptations_are_met_in_silence() -> None:
    watch = HealthWatch()
    losses = torch.ones(101)
    assert watch.check(report(layer(UNIFORM)), 0, losses) == []
    assert watch.check(report(layer(FINER, UNIFORM), loss=0.1), 500, losses) == []
    assert watch.check(report(layer(FINER), loss=0.09), 1000, losses) == []


def test_equal_weights_are_a_flat_grid_unless_they_are_meant_to_be() -> None:
    flat = report(layer(UNIFORM, weights=torch.ones(101)))
    (found,) = HealthWatch().check(flat, 0)
    assert found.startswith("flat grid: the importance weights of layers.0 are almost equal")
    assert found.endswith("lower epsilon or raise power")
    assert HealthWatch().check(flat, 0, uniform_density=True) == []


BARE = [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 1.0]


@pytest.mark.parametrize("mirrored", [False, True])
def test_loss_in_a_bare_edge_is_a_boundary_collapse(mirrored: bool) -> None:
    grid = [1 - b for b in reversed(BARE)] if mirrored else BARE
    adapted = report(layer(grid))
    x = adapted.layers[0].samples[:, 0]
    bare = x < 0.88 if mirrored else x > 0.12
    (found,) = HealthWatch().check(adapted, 200, torch.where(bare, 1.0, 0.1))
    assert found.startswith("boundary collapse: input 1 has few knots near an end")
    assert found.endswith("raise uniform_mix or lower power")
    # Where the loss is elsewhere knots are well spent; an untrained network's says nothing.
    assert HealthWatch().check(adapted, 200, torch.where(bare, 0.1, 1.0)) == []
    assert HealthWatch().check(adapted, 200, torch.ones(101)) == []
    assert HealthWatch().check(adapted, 200, None) == []
    assert HealthWatch().check(adapted, 0, torch.where(bare, 1.0, 0.1)) == []


def test_knots_that_leap_time_and_again_are_a_grid_jitter() -> None:
    there, back = [b + 0.2 for b in UNIFORM], UNIFORM
    watch = HealthWatch()
    grids = [(there, back), (back, there), (there, back), (back, there), (there, back)]
    found = [watch.check(report(layer(*g)), 100 * t) for t, g in enumerate(grids, 1)]
    assert [len(texts) for texts in found] == [0, 0, 0, 1, 0]
    assert found[3][0].startswith(
        "grid jitter: knots moved by at least 0.8 interval widths in each of"
    )
    assert "use more samples" in found[3][0]


def test_a_leap_between_quiet_adaptations_is_no_jitter() -> None:
    there, back = [b + 0.2 for b in UNIFORM], UNIFORM
    watch = HealthWatch()
    for t, grids in enumerate(2 * [(there, back), (back, there), (back, back)], 1):
        assert watch.check(report(layer(*grids)), 100 * t) == []


def test_knots_that_follow_a_growing_grid_are_no_jitter() -> None:
    watch = HealthWatch()
    for size in range(4, 12):
        old = [m / size for m in range(size + 1)]
        new = [m / size + 0.9 for m in range(size + 2)]
        assert watch.check(report(layer(new, old), loss=None), 100 * size) == []


def test_a_loss_that_has_not_come_down_by_the_first_extension_is_a_first_grid_too_coarse() -> None:
    def found(before: float, first: float | None = 1.0, steps: int = 500) -> list[str]:
        watch = HealthWatch()
        watch.check(report(layer(UNIFORM), loss=first), 0)
        return watch.check(report(layer(FINER, UNIFORM), loss=before), steps)

    (text,) = found(0.9)
    assert text.startswith(
        "first grid too coarse: before this extension the loss had only decreased"
    )
    assert "from 1.00e+00 to 9.00e-01: start with a larger G, or train longer" in text
    assert found(0.4) == []
    assert found(0.9, steps=50) == []
    assert found(float("nan")) == []
    assert found(0.9, first=None) == []
    assert found(0.9, first=float("nan")) == []


def test_only_a_loss_from_before_training_and_only_the_first_extension_count() -> None:
    watch = HealthWatch()  # the first adaptation comes late
    assert watch.check(report(layer(UNIFORM), loss=1e-3), 500) == []
    assert watch.check(report(layer(FINER, UNIFORM), loss=0.9e-3), 1000) == []
    watch = HealthWatch()
    watch.check(report(layer(UNIFORM)), 0)
    assert watch.check(report(layer(FINER, UNIFORM), loss=0.3), 500) == []
    later = report(layer([m / 16 for m in range(17)], FINER), loss=0.9)
    assert watch.check(later, 1000) == []


def test_each_failure_is_told_once_in_a_run_and_not_again_after_a_resume() -> None:
    flat = report(layer(UNIFORM, weights=torch.ones(101)))
    watch = HealthWatch()
    assert len(watch.check(flat, 0)) == 1
    assert watch.check(flat, 500) == []
    resumed = HealthWatch()
    resumed.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    assert resumed.check(flat, 1000) == []
    assert resumed.untrained == 1.0
    assert resumed.state_dict().keys() == watch.state_dict().keys()
