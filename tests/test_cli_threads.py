"""On how many threads torch and the kernel compute in a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from kanlit.kernel import kernel_available
from kanlit.kernel.threads import thread_count
from kanlit.modules import KANModule
from kanlit.nn import KAN
from kanlit.runs import threads
from kanlit.runs.threads import chosen_threads
from running import trainer_for

compiled = pytest.mark.skipif(not kernel_available(), reason="the kernel is not built, or off")

THREE, ONE = (3, 3), (1, 3)  # of torch's own operations, of the kernel


@pytest.fixture(autouse=True)
def _three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where three are the default and the user has said nothing."""
    for name in threads._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_default", 3)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def used(model: nn.Module) -> tuple[int, int]:
    with chosen_threads(trainer_for(1, devices=1), model):
        return torch.get_num_threads(), thread_count()


@compiled
def test_torch_has_one_thread_in_a_run_and_the_kernel_all(
    command_line: Callable[[str], tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        KANModule,
        "on_train_end",
        lambda self: seen.append((torch.get_num_threads(), thread_count())),
    )
    words = "--data SyntheticData --data.samples 30 --model.hidden '[3]' --trainer.max_epochs 1"
    status, _, error = command_line(f"fit {words} --trainer.accelerator cpu")
    assert (status, seen) == (0, [ONE]), error
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(2, 3), KAN([3, 1])),
        KAN([2, 3, 1], basis="chebyshev"),
        KAN([128, 128], grid_size=8),
    ],
    ids=["other layers", "no splines", "large"],
)
def test_torch_keeps_its_threads_where_much_of_the_work_is_its_own(model: nn.Module) -> None:
    assert used(model) == THREE


@compiled
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert used(KAN([2, 3, 1])) == ONE
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert used(KAN([2, 3, 1])) == THREE
    monkeypatch.delenv("OMP_NUM_THREADS")
    torch.set_num_threads(2)
    assert used(KAN([2, 3, 1])) == (2, 2)
