"""The relative L2 error is numpy's, however the data come in batches."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import Tensor

from kanlit.metrics import RelativeL2Error, TargetErrors


def data(outputs: int, count: int = 50) -> tuple[Tensor, Tensor]:
    target = torch.randn(count, outputs, dtype=torch.float64)
    scale = 10.0 ** torch.arange(outputs)
    return scale * (target + 0.1 * torch.randn_like(target)), scale * target


def by_numpy(preds: Tensor, target: Tensor) -> float:
    p, t = preds.numpy(), target.numpy()
    return float(np.mean(np.linalg.norm(p - t, axis=0) / np.linalg.norm(t, axis=0)))


@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_error_is_that_of_numpy(outputs: int) -> None:
    preds, target = data(outputs)
    error = RelativeL2Error(outputs)(preds, target)
    assert error.dtype == torch.float64
    assert float(error) == pytest.approx(by_numpy(preds, target), rel=1e-12)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("size", [1, 7, 49, 50])
def test_error_over_batches_is_that_over_the_whole(outputs: int, size: int) -> None:
    preds, target = data(outputs)
    metric = RelativeL2Error(outputs)
    for p, t in zip(preds.split(size), target.split(size), strict=True):
        metric.update(p, t)
    assert float(metric.compute()) == pytest.approx(by_numpy(preds, target), rel=1e-12)


def test_each_call_gives_the_batch_s_own_error_and_adds_it_to_the_whole() -> None:
    preds, target = data(2)
    metric = RelativeL2Error(2)
    for p, t in zip(preds.split(25), target.split(25), strict=True):
        assert float(metric(p, t)) == pytest.approx(by_numpy(p, t), rel=1e-12)
    assert float(metric.compute()) == pytest.approx(by_numpy(preds, target), rel=1e-12)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_error_does_not_depend_on_the_units(factor: float) -> None:
    preds, target = data(2)
    one, two = RelativeL2Error(2), RelativeL2Error(2)
    assert float(one(factor * preds, factor * target)) == pytest.approx(float(two(preds, target)))


def test_sums_of_float32_are_kept_in_double() -> None:
    target = torch.full((1_000_000, 1), 1e3)
    preds = target + 1.0
    metric = RelativeL2Error()
    for p, t in zip(preds.split(1000), target.split(1000), strict=True):
        metric.update(p, t)
    assert float(metric.compute()) == pytest.approx(1e-3, rel=1e-9)


def test_perfect_prediction_has_no_error() -> None:
    _, target = data(3)
    assert float(RelativeL2Error(3)(target, target)) == 0


def test_reset_forgets_what_was_added() -> None:
    preds, target = data(1)
    metric = RelativeL2Error()
    metric.update(10 * preds, target)
    metric.reset()
    metric.update(preds, target)
    assert float(metric.compute()) == pytest.approx(by_numpy(preds, target), rel=1e-12)


@pytest.mark.parametrize("preds", [1.0, 0.0], ids=["wrong", "right"])
def test_error_of_a_target_that_is_zero_throughout_is_infinite(preds: float) -> None:
    metric = RelativeL2Error()
    assert float(metric(torch.full((4, 1), preds), torch.zeros(4, 1))) == float("inf")


def test_one_zero_target_among_others_shows_in_the_mean() -> None:
    target = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert float(RelativeL2Error(2)(target + 1, target)) == float("inf")


@pytest.mark.parametrize(
    ("preds", "target"),
    [
        ((4,), (4,)),
        ((4, 1), (4,)),
        ((4, 1), (4, 2)),
        ((4, 2), (3, 2)),
        ((4, 1), (4, 1)),
        ((4, 2, 1),) * 2,
    ],
)
def test_shapes_that_do_not_fit_are_named(preds: tuple[int, ...], target: tuple[int, ...]) -> None:
    metric = RelativeL2Error(2)
    with pytest.raises(ValueError, match=r"expects predictions and targets \(n, 2\)") as caught:
        metric.update(torch.zeros(preds), torch.zeros(target))
    assert str(preds) in str(caught.value)
    assert str(target) in str(caught.value)


@pytest.mark.parametrize("outputs", [0, -1])
def test_no_outputs_are_refused(outputs: int) -> None:
    with pytest.raises(ValueError, match=f"num_outputs must be at least 1, got {outputs}"):
        RelativeL2Error(outputs)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_goes_on_from_the_same_sums(copied: object) -> None:
    preds, target = data(2)
    metric = RelativeL2Error(2)
    metric.update(preds[:20], target[:20])
    twin = copied(metric)  # type: ignore[operator]
    twin.update(preds[20:], target[20:])
    assert float(twin.compute()) == pytest.approx(by_numpy(preds, target), rel=1e-12)


def test_error_is_differentiable_in_the_predictions() -> None:
    preds, target = data(2, 6)
    metric = RelativeL2Error(2)

    def error(p: Tensor) -> Tensor:
        metric.reset()
        return metric(p, target)

    assert torch.autograd.gradcheck(error, (preds.requires_grad_(),))


def test_two_processes_sums_add_up() -> None:
    preds, target = data(2)
    halves = [RelativeL2Error(2), RelativeL2Error(2)]
    for metric, p, t in zip(halves, preds.split(25), target.split(25), strict=True):
        metric.update(p, t)
    both = RelativeL2Error(2)
    for state in ("squared_error", "squared_target"):
        assert both._reductions[state] is halves[0]._reductions[state]
        setattr(both, state, sum(getattr(metric, state) for metric in halves))
    both._update_count = 1
    assert float(both.compute()) == pytest.approx(by_numpy(preds, target), rel=1e-12)


def test_errors_by_output_have_the_error_as_their_mean() -> None:
    preds, target = data(2)
    metric = RelativeL2Error(2)
    metric.update(preds, target)

    assert metric.by_output().mean() == metric.compute()
    first = RelativeL2Error()
    first.update(preds[:, :1], target[:, :1])
    assert float(metric.by_output()[0]) == pytest.approx(float(first.compute()), rel=1e-12)


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e9])
def test_errors_by_target_do_not_depend_on_its_units(unit: float) -> None:
    """torchmetrics calls small sums of squares zero, and R² of a poor fit 1."""
    generator = torch.Generator().manual_seed(0)
    true = unit * torch.rand(50, 2, generator=generator, dtype=torch.float64)
    found = true + 0.3 * unit * torch.rand(50, 2, generator=generator, dtype=torch.float64)
    metric = TargetErrors(["a", "b"])
    for rows in range(0, 50, 20):
        metric.update(found[rows : rows + 20], true[rows : rows + 20])
    errors = {name: float(error) for name, error in metric.compute().items()}
    for i, name in enumerate("ab"):
        y, p = true[:, i], found[:, i]
        assert errors[f"r2/{name}"] == pytest.approx(r2_score(y, p), rel=1e-9)
        assert errors[f"rmse/{name}"] == pytest.approx(root_mean_squared_error(y, p), rel=1e-9)
        assert errors[f"mae/{name}"] == pytest.approx(mean_absolute_error(y, p), rel=1e-9)


def test_a_constant_target_and_a_single_row_have_no_r2() -> None:
    for true in (torch.full((9, 1), 0.1), torch.ones(1, 1)):
        errors = TargetErrors(["y"])(true + 1, true)
        assert list(errors) == ["rmse/y", "mae/y"]
