"""One key of a config changes the basis, and every command goes on with it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from kanlit.bases import BasisName
from kanlit.cli import main

pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")
ROOT = Path(__file__).resolve().parents[2]


def kanlit(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit status of a command."""
    monkeypatch.setattr(sys, "argv", ["kanlit", *arguments])
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    return 0


FIT = ["fit", "--config", str(ROOT / "configs" / "helmholtz.yaml")]
SHORT = ["--trainer.max_epochs", "4", "--adaptation.schedule", "{0: 3, 2: 6}"]
SMALL = ["--data.points_per_axis", "8", "--data.boundary_points", "8"]


@pytest.mark.parametrize("basis", ["radial", "chebyshev", "fourier"])
def test_a_differential_equation_takes_every_basis_and_its_network_is_exported(
    basis: BasisName,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert kanlit(monkeypatch, *FIT, *SHORT, *SMALL, "--model.basis", basis) == 0, (
        capsys.readouterr().err
    )

    (checkpoint,) = tmp_path.rglob("last.ckpt")
    content = torch.load(checkpoint, weights_only=True)
    assert content["hyper_parameters"]["basis"] == basis
    assert kanlit(monkeypatch, "export", str(checkpoint), "--output", "model.onnx") == 0
    assert (tmp_path / "model.onnx").is_file()


def test_a_run_goes_on_with_its_basis_and_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fit = ["fit", "--config", str(ROOT / "configs" / "synthetic.yaml"), "--data.samples", "200"]
    assert kanlit(monkeypatch, *fit, *SHORT, "--model.basis", "radial") == 0
    (checkpoint,) = tmp_path.rglob("last.ckpt")

    # As all settings of the network, the checkpoint's basis goes before what the command says.
    more = ["--model.basis", "bspline", "--trainer.max_epochs", "6"]
    assert kanlit(monkeypatch, *fit, *SHORT, "--ckpt_path", "last", *more) == 0
    _, newest = sorted(tmp_path.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
    assert newest != checkpoint
    assert torch.load(newest, weights_only=True)["hyper_parameters"]["basis"] == "radial"
    assert kanlit(monkeypatch, "plot", str(newest), "--output", "pictures") == 0
    assert list((tmp_path / "pictures").glob("*.png"))


def test_an_unknown_basis_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(ROOT / "configs" / "quickstart.yaml")
    assert kanlit(monkeypatch, "fit", "--config", config, "--model.basis", "wavelet") != 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "bspline" in lines[0]
    assert "wavelet" in lines[0]
