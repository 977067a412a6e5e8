"""A user's own module with KAN layers goes through torch's exporters as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from kanlit.bases import BasisName
from kanlit.nn import KAN, KANLayer

pytestmark = pytest.mark.filterwarnings("ignore")

Move = Callable[[KANLayer, int], None]
SMOOTH: tuple[BasisName, ...] = ("radial", "chebyshev", "fourier")


class Own(LightningModule):
    """Convolutions, a KAN on every position, and a layer of each other basis.

    Of B-splines, bases are summed in the wide layer, and polynomials gathered in the narrow one.
    """

    def __init__(self, move: Move) -> None:
        super().__init__()
        self.lift = nn.Conv1d(1, 3, 3)
        self.network = KAN([3, 17, 1])
        for layer in self.network.layers:
            move(layer, 7)
        self.smooth = nn.ModuleList(KANLayer(1, 1, basis=basis) for basis in SMOOTH)

    def forward(self, x: Tensor) -> Tensor:
        y = self.network(torch.tanh(self.lift(x)).mT).mean(1)
        return y + sum(layer(torch.tanh(y)) for layer in self.smooth)


def run(path: Path, x: Tensor) -> Tensor:
    onnxruntime: Any = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path)
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


def test_a_module_of_one_s_own_goes_to_onnx(moved: Move, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    module, path = Own(moved).eval(), tmp_path / "own.onnx"
    rows = {0: torch.export.Dim("rows")}
    module.to_onnx(path, torch.rand(4, 1, 6), dynamo=True, dynamic_shapes=(rows,), verbose=False)
    for count in (1, 50):
        x = 4 * torch.rand(count, 1, 6) - 2
        torch.testing.assert_close(run(path, x), module(x).detach(), rtol=1e-4, atol=1e-4)


def test_the_exporter_that_traces_agrees_at_breakpoints_and_outside(
    moved: Move, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    layer, path = KANLayer(3, 2).eval(), tmp_path / "layer.onnx"
    moved(layer, 7)
    torch.onnx.export(
        layer, (torch.rand(4, 3),), path, dynamo=False, dynamic_axes={"x": [0]}, input_names=["x"]
    )
    at = layer.breakpoints.T
    infinity = torch.tensor(torch.inf)
    x = torch.cat([at, at.nextafter(infinity), at.nextafter(-infinity), 9 * at])
    torch.testing.assert_close(run(path, x), layer(x).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("outside", "strict"), [("linear", False), ("zero", True)])
def test_torch_export_gives_the_network_for_any_number_of_rows(outside: Any, strict: bool) -> None:
    network = KAN([2, 4, 1], outside=outside)
    rows = {0: torch.export.Dim("rows")}
    program = torch.export.export(
        network, (torch.rand(4, 2),), dynamic_shapes=(rows,), strict=strict
    )
    for count in (2, 50):
        x = 4 * torch.rand(count, 2) - 2
        torch.testing.assert_close(program.module()(x), network(x))
