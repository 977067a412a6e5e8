"""Files hold the network and what it says of itself, for any number of rows."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kanlit.errors import ConfigurationError
from kanlit.export.check import largest_difference, points_to_check
from kanlit.export.program import INPUT, METADATA_FILE, OUTPUT, check_packages, make, run
from kanlit.modules import PDEModule, RegressionModule

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

METADATA = {"kanlit_version": "9", "input_names": '["heat °C", "b"]'}
FORMATS = [".onnx", ".pt2"]


@pytest.fixture(autouse=True)
def _packages() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)


@pytest.fixture
def content(module: RegressionModule, once: Callable[..., Path]) -> Callable[[str], bytes]:
    """The file of the module in a format, made once: it takes seconds."""

    def content(suffix: str) -> bytes:
        def write(path: Path) -> None:
            path.write_bytes(make(module, METADATA, suffix))

        return once(f"module{suffix}", write).read_bytes()

    return content


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_computes_the_module_in_the_user_s_units(
    suffix: str, module: RegressionModule, content: Callable[[str], bytes]
) -> None:
    predict = run(content(suffix), suffix)

    assert largest_difference(predict, module, points_to_check(module)) < 1e-5
    x = points_to_check(module)[0]
    for rows in (0, 1, 2, 500):
        assert predict(x[:rows]).shape == (rows, 2)
        assert predict(x[:rows]).dtype == torch.float32


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_wide_layer_in_float64_without_scales_and_with_splines_that_end_stays_so(
    suffix: str,
) -> None:
    module = PDEModule(2, 1, hidden=[17], outside="zero", grid_size=5).double().eval()
    predict = run(make(module, METADATA, suffix), suffix)
    x = points_to_check(module)

    assert predict(x[0]).dtype == torch.float64
    assert largest_difference(predict, module, x) < 1e-12


def test_onnx_metadata_and_names_are_read_by_onnxruntime(content: Callable[[str], bytes]) -> None:
    onnxruntime: Any = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(content(".onnx"))

    assert session.get_modelmeta().custom_metadata_map == METADATA
    assert [(i.name, i.shape) for i in session.get_inputs()] == [(INPUT, ["rows", 2])]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [(OUTPUT, ["rows", 2])]


def test_pt2_metadata_is_read_by_torch(content: Callable[[str], bytes]) -> None:
    kept = {METADATA_FILE: ""}
    torch.export.load(io.BytesIO(content(".pt2")), extra_files=kept)

    assert json.loads(kept[METADATA_FILE]) == METADATA


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_says_nothing_of_the_machine_that_made_it(
    suffix: str, content: Callable[[str], bytes]
) -> None:
    for folder in (Path(__file__).parents[2], Path(torch.__file__).parent):
        assert str(folder).encode() not in content(suffix)


def test_a_module_s_own_forward_is_what_is_exported(module: RegressionModule) -> None:
    class Squared(RegressionModule):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).square()

    squared = Squared(2, 2, hidden=[4], grid_size=7)
    squared.load_state_dict(module.state_dict())
    predict = run(make(squared.eval(), METADATA, ".pt2"), ".pt2")

    x = points_to_check(module)
    assert largest_difference(predict, lambda x: module(x).square(), x) < 1e-4


def test_onnx_runs_in_a_process_without_torch_and_kanlit(
    module: RegressionModule, content: Callable[[str], bytes], tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(content(".onnx"))
    x = torch.cat(points_to_check(module))
    np.save(tmp_path / "x.npy", x.numpy())
    code = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession('m.onnx')\n"
        "numpy.save('y.npy', session.run(None, {'inputs': numpy.load('x.npy')})[0])\n"
        "assert 'torch' not in sys.modules and 'kanlit' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    found = torch.from_numpy(np.load(tmp_path / "y.npy"))

    assert largest_difference(lambda _: found, module, [x]) < 1e-5


def test_missing_packages_are_one_line_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kanlit.export.program.find_spec", lambda name: None)

    with pytest.raises(ConfigurationError, match=r"pip install kanlit\[export\]") as caught:
        check_packages(".onnx")
    assert "\n" not in str(caught.value)
    check_packages(".pt2")
