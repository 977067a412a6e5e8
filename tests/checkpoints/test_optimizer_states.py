"""An optimizer state that its optimizer cannot go on from is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import LBFGS, SGD, Adafactor, Adagrad, Adam, NAdam, Optimizer, RMSprop, Rprop

from kanlit.checkpoints.optimizer_states import check_optimizer_state
from kanlit.optim import LevenbergMarquardt

MAKERS = [
    lambda p: Adam(p, amsgrad=True),
    lambda p: SGD(p, momentum=0.9),
    lambda p: RMSprop(p, centered=True, momentum=0.5),
    LBFGS,
    NAdam,
    Rprop,
    Adagrad,
    Adafactor,
]
VALUES = [-1, "text", {"class_path": "os.system"}, torch.zeros(2, 2, dtype=torch.complex64)]


def stepped(optimizer: Optimizer, parameter: Tensor) -> Optimizer:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)
    return optimizer


@pytest.mark.parametrize("maker", MAKERS)
def test_each_entry_of_a_state_is_refused_or_works(maker: Any) -> None:
    parameter = torch.ones(3, 2, requires_grad=True)
    state = stepped(maker([parameter]), parameter).state_dict()
    check_optimizer_state(maker([parameter]), copy.deepcopy(state))
    entries = list(state["state"][0])
    assert entries
    for entry in entries:
        for value in VALUES:
            changed = copy.deepcopy(state)
            changed["state"][0][entry] = value
            resumed = maker([parameter])
            try:
                check_optimizer_state(resumed, changed)
            except ValueError:
                continue
            resumed.load_state_dict(changed)
            stepped(resumed, parameter)


def test_a_state_without_an_entry_is_refused() -> None:
    parameter = torch.ones(3, 2, requires_grad=True)
    state = stepped(Adam([parameter]), parameter).state_dict()
    del state["state"][0]["exp_avg"]
    with pytest.raises(ValueError, match="the state of its Adam does not fit"):
        check_optimizer_state(Adam([parameter]), state)


@pytest.mark.parametrize("entry", LevenbergMarquardt.state_kinds)
def test_an_entry_of_levenberg_marquardt_of_another_type_is_refused(entry: str) -> None:
    parameter = torch.ones(3, 2, requires_grad=True)
    optimizer = LevenbergMarquardt([parameter], smoothness="auto")
    optimizer.state[parameter] = {entry: None}
    with pytest.raises(ValueError, match=f"{entry} of its optimizer is None, not a"):
        check_optimizer_state(optimizer, optimizer.state_dict())
