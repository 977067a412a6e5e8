"""The states in a checkpoint are fitted to the optimizer and the scheduler that load them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, MultiStepLR, SequentialLR, StepLR

from kanlit.optim.resume import adopt, describe

Make = Callable[[Any], Any]


def built(optimizer: Make, scheduler: Make | None = None, steps: int = 0) -> tuple[Any, Any]:
    made = optimizer([nn.Parameter(torch.ones(3))])
    scheduled = None if scheduler is None else scheduler(made)
    for _ in range(steps):
        for parameter in made.param_groups[0]["params"]:
            parameter.grad = parameter.detach().clone()
        made.step()
        if scheduled is not None:
            scheduled.step()
    return made, scheduled


def checkpoint(optimizer: Make, scheduler: Make | None = None) -> dict[str, Any]:
    record = describe(*built(optimizer, scheduler))
    made, scheduled = built(optimizer, scheduler, steps=3)
    return copy.deepcopy(
        {
            "kanlit": {"optimizer": record},
            "optimizer_states": [made.state_dict()],
            "lr_schedulers": [] if scheduled is None else [scheduled.state_dict()],
        }
    )


def resumed(content: dict[str, Any], optimizer: Make, scheduler: Make | None = None) -> Any:
    """What is said, and the two with the states loaded."""
    made, scheduled = built(optimizer, scheduler)
    said = adopt(content, made, scheduled)
    made.load_state_dict(content["optimizer_states"][0])
    for state in content["lr_schedulers"]:
        scheduled.load_state_dict(state)
    return said, made, scheduled


def adam(lr: float = 0.1, **settings: Any) -> Make:
    return lambda p: torch.optim.Adam(p, lr=lr, **settings)


def halving(o: Any) -> Any:
    return StepLR(o, 1, gamma=0.5)


def sequence(o: Any) -> Any:
    return SequentialLR(o, [ExponentialLR(o, 0.5), StepLR(o, 1, 0.5)], [2])


@pytest.mark.parametrize("scheduler", [None, halving, sequence, lambda o: MultiStepLR(o, [1, 2])])
def test_the_same_settings_change_nothing(scheduler: Make | None) -> None:
    content = checkpoint(adam(), scheduler)
    before = copy.deepcopy(content)
    assert adopt(content, *built(adam(), scheduler)) == []
    assert str(content) == str(before)


@pytest.mark.parametrize("scheduler", [None, halving, sequence])
def test_another_learning_rate_is_scaled_as_the_scheduler_has_scaled_it(
    scheduler: Make | None,
) -> None:
    content = checkpoint(adam(), scheduler)
    was = content["optimizer_states"][0]["param_groups"][0]["lr"]
    said, made, scheduled = resumed(content, adam(0.01), scheduler)
    assert said == ["lr is 0.01 now, 0.1 in the checkpoint"]
    assert made.param_groups[0]["lr"] == pytest.approx(was / 10)
    assert len(made.state) == 1  # the moments go on
    if scheduled is not None:
        assert was < 0.1
        assert scheduled.get_last_lr() == pytest.approx([was / 10])
        parts = scheduled._schedulers if scheduler is sequence else [scheduled]
        assert all(part.base_lrs == [0.01] for part in parts)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (adam(), lambda p: torch.optim.AdamW(p, lr=0.1)),
        (adam(), torch.optim.LBFGS),
        (torch.optim.LBFGS, adam()),
        (adam(), adam(amsgrad=True)),
        (torch.optim.RMSprop, lambda p: torch.optim.RMSprop(p, momentum=0.9)),
    ],
)
def test_another_optimizer_is_reset_and_can_step(was: Make, now: Make) -> None:
    content = checkpoint(adam())
    if was is not torch.optim.LBFGS:
        content = checkpoint(was)
    else:
        content["kanlit"]["optimizer"]["class_path"] = "torch.optim.lbfgs.LBFGS"
    said, made, _ = resumed(content, now)
    assert len(said) == 1
    assert said[0].startswith("optimizer reset: ")
    assert len(made.state) == 0
    made.param_groups[0]["params"][0].grad = torch.ones(3)
    made.step(lambda: torch.tensor(1.0))


@pytest.mark.parametrize("now", [None, lambda o: ExponentialLR(o, 0.9), lambda o: StepLR(o, 2)])
def test_another_scheduler_is_reset_to_the_optimizers_rate(now: Make | None) -> None:
    said, made, scheduled = resumed(checkpoint(adam(), halving), adam(), now)
    assert "lr_scheduler reset" in said[0]
    assert made.param_groups[0]["lr"] == 0.1
    assert len(made.state) == 1
    if scheduled is not None:
        assert scheduled.last_epoch == 0


@pytest.mark.parametrize("broken", [None, 3, [], {"class_path": 3}, {"class_path": "a"}])
def test_a_malformed_record_is_left_alone(broken: Any) -> None:
    content = checkpoint(adam())
    content["kanlit"]["optimizer"] = broken
    assert adopt(content, *built(adam(0.01))) == []
