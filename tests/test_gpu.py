"""What kanlit does on a GPU is what it does on the CPU.

``DEVICE=cpu`` runs the same code without a GPU; ``studies/gpu.sh`` runs these tests and more.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kanlit.adaptation import CurvatureDensity, adapt_grids
from kanlit.nn import KAN

DEVICE = os.environ.get("DEVICE", "cuda")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(),
        reason="no CUDA device here; DEVICE=cpu runs these tests on the CPU",
    ),
]

CommandLine = Callable[[str], tuple[int, str, str]]
ACCELERATOR = "cpu" if DEVICE == "cpu" else "gpu"
FIT = (
    "--data SyntheticData --data.function f2 --data.samples 64 --model.hidden [3] "
    "--trainer.logger false --trainer.enable_progress_bar false --trainer.devices 1 "
    f"--trainer.accelerator {ACCELERATOR} --adaptation.schedule '{{0: 3, 2: 5}}'"
)


def networks() -> tuple[KAN, KAN, Tensor]:
    """The same network on the CPU and on the device, and points."""
    torch.manual_seed(0)
    network = KAN([2, 4, 1], grid_size=6, dtype=torch.float64)
    other = KAN([2, 4, 1], grid_size=6, dtype=torch.float64, device=torch.device(DEVICE))
    other.load_state_dict(network.state_dict())
    return network, other, 2.2 * torch.rand(200, 2, dtype=torch.float64) - 1.1


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.detach().cpu(), b.detach().cpu(), rtol=1e-9, atol=1e-11)


def test_forward_and_backward_agree_with_the_cpu() -> None:
    results = []
    network, other, x = networks()
    for own, points in ((network, x), (other, x.to(DEVICE))):
        y = own(points)
        results.append([y, *torch.autograd.grad(y.square().sum(), list(own.parameters()))])
    assert results[1][0].device.type == DEVICE
    assert all(close(a, b) for a, b in zip(*results, strict=True))


def test_a_sweep_and_its_gradients_agree_with_the_cpu() -> None:
    results = []
    network, other, x = networks()
    for own, points in ((network, x), (other, x.to(DEVICE))):
        u = own.sweep(points)
        residual = u.second.sum() + u.gradient.square().sum() + u.value.sum()
        gradients = torch.autograd.grad(
            residual, [p for p in own.parameters() if p.ndim > 1], allow_unused=True
        )
        results.append([u.value, u.gradient, u.second, *gradients])
    assert all(close(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("grid_size", [6, 9], ids=["adaptation", "extension"])
def test_grids_adapt_to_the_same_knots_as_on_the_cpu(grid_size: int) -> None:
    network, other, x = networks()
    for own, points in ((network, x), (other, x.to(DEVICE))):
        adapt_grids(own, points, CurvatureDensity(), grid_size)
    states = network.state_dict(), other.state_dict()
    assert states[1]["layers.0.knots"].device.type == DEVICE
    for name, tensor in states[0].items():
        assert torch.allclose(tensor, states[1][name].cpu(), rtol=1e-6, atol=1e-8), name


def test_a_run_is_resumed_after_an_extension(command_line: CommandLine) -> None:
    status, out, err = command_line(f"fit {FIT} --trainer.max_epochs 3")
    assert status == 0, out + err
    status, out, err = command_line(f"fit {FIT} --trainer.max_epochs 5 --ckpt_path last")
    assert status == 0, out + err


def test_a_run_in_mixed_precision_trains(command_line: CommandLine) -> None:
    status, out, err = command_line(
        f"fit {FIT} --trainer.max_epochs 4 --trainer.precision bf16-mixed"
    )
    assert status == 0, out + err


def test_a_compiled_network_trains_through_an_extension() -> None:
    torch.manual_seed(0)
    network = KAN([2, 4, 1], device=torch.device(DEVICE))
    x = 2 * torch.rand(256, 2, device=DEVICE) - 1
    target = x.prod(1, keepdim=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    # inductor's compiler for the CPU takes a minute
    compiled = torch.compile(network, backend="aot_eager" if DEVICE == "cpu" else "inductor")
    losses = []
    for step in range(20):
        if step == 10:
            adapt_grids(network, x, CurvatureDensity(), 8, optimizer=optimizer)
        optimizer.zero_grad()
        loss = (compiled(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[10] < losses[0]
    assert torch.allclose(compiled(x), network(x), atol=1e-5)
