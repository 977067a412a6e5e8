"""One key of a config changes the basis, and every command goes on with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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
def test_a_differential_equation_takes_every_basis(
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


def test_a_run_goes_on_with_its_basis_and_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fit = ["fit", "--config", str(ROOT / "configs" / "synthetic.yaml"), "--data.samples", "200"]
    assert kanlit(monkeypatch, *fit, *SHORT, "--model.basis", "radial") == 0
    (checkpoint,) = tmp_path.rglob("last.ckpt")

    more = ["--ckpt_path", "last", "--trainer.max_epochs", "6"]
    capsys.readouterr()
    assert kanlit(monkeypatch, *fit, *SHORT, *more, "--model.basis", "bspline") == 2
    assert "has basis radial: leave it out" in capsys.readouterr().err
    assert kanlit(monkeypatch, *fit, *SHORT, *more) == 0
    _, newest = sorted(tmp_path.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
    assert newest != checkpoint
    assert torch.load(newest, weights_only=True)["hyper_parameters"]["basis"] == "radial"
    assert kanlit(monkeypatch, "plot", str(newest), "--output", "pictures") == 0
    assert list((tmp_path / "pictures").glob("*.png"))


OWN = """
from dataclasses import dataclass

import torch

from kanlit.bases import SmoothBasis


@dataclass(frozen=True)
class Waves(SmoothBasis):
    def formula(self, x, derivative):
        numbers = torch.arange(self.count, dtype=x.dtype).view(-1, 1, 1)
        quarter = derivative * torch.pi / 2
        return numbers**derivative * torch.sin(numbers * x + 1 + quarter)
"""


@pytest.fixture
def own_basis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The class path of a basis in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "waves_of_my_own.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield "waves_of_my_own.Waves"
    sys.modules.pop("waves_of_my_own", None)


def test_a_basis_of_one_s_own_trains_through_an_extension_and_resumes_bit_for_bit(
    own_basis: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit = ["fit", "--config", str(ROOT / "configs" / "synthetic.yaml"), "--data.samples", "100"]
    fit += ["--adaptation.schedule", "{0: 3, 2: 6}", "--trainer.logger", "false"]
    named = ["--model.basis", own_basis]

    def last(folder: str) -> Path:
        (path,) = (tmp_path / folder).rglob("last.ckpt")
        return path

    def run(folder: str, epochs: int, *more: str) -> object:
        where = ["--trainer.default_root_dir", folder, "--trainer.max_epochs", str(epochs)]
        return kanlit(monkeypatch, *fit, *where, *more)

    assert run("whole", 4, *named) == 0, capsys.readouterr().err
    assert run("first", 3, *named) == 0
    assert run("second", 4, *named, "--ckpt_path", str(last("first"))) == 0
    whole, resumed = (torch.load(last(name), weights_only=True) for name in ("whole", "second"))
    assert whole["hyper_parameters"]["basis"] == own_basis
    assert whole["state_dict"]["network.layers.0.coefficients"].shape[-1] == 6 + 3
    assert whole["state_dict"].keys() == resumed["state_dict"].keys()
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, resumed["state_dict"][name]), name

    # A class path that the command does not name is not imported, whatever a checkpoint says.
    whole["hyper_parameters"]["basis"] = "antigravity.Basis"
    torch.save(whole, tmp_path / "hostile.ckpt")
    capsys.readouterr()
    assert run("third", 5, "--ckpt_path", "hostile.ckpt") != 0
    assert "model.basis to antigravity.Basis" in capsys.readouterr().err
    assert "antigravity" not in sys.modules


def test_every_command_takes_a_basis_of_one_s_own_by_its_name(
    own_basis: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit = ["fit", "--config", str(ROOT / "configs" / "synthetic.yaml"), "--data.samples", "100"]
    named = ["--model.basis", own_basis]
    assert kanlit(monkeypatch, *fit, "--trainer.max_epochs", "1", *named) == 0
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    content = torch.load(checkpoint, weights_only=True)
    # Another name, of a module that is not imported.
    content["hyper_parameters"]["basis"] = "waves_of_others.Waves"
    torch.save(content, checkpoint)
    (tmp_path / "waves_of_others.py").write_text(OWN)
    (tmp_path / "new.csv").write_text("x1,x2\n0.5,0.5\n")
    commands = (
        ["predict", "--ckpt_path", str(checkpoint), "--input", "new.csv"],
        ["plot", str(checkpoint), "--output", "pictures"],
        ["formula", str(checkpoint)],
        ["export", str(checkpoint), "--output", "model.pt2"],
    )
    for words in commands:
        capsys.readouterr()
        assert kanlit(monkeypatch, *words) == 2
        assert "set model.basis to waves_of_others.Waves" in capsys.readouterr().err
    for words in (commands[0], commands[1], commands[3]):  # a search for a formula takes long
        status = kanlit(monkeypatch, *words, "--model.basis", "waves_of_others.Waves")
        assert status == 0, (words, capsys.readouterr().err)
    assert kanlit(monkeypatch, *commands[0], "--model.basis", "mine.None") == 2
    assert "cannot import mine.None" in capsys.readouterr().err


def test_an_unknown_basis_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(ROOT / "configs" / "quickstart.yaml")
    assert kanlit(monkeypatch, "fit", "--config", config, "--model.basis", "wavelet") != 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "bspline" in lines[0]
    assert "wavelet" in lines[0]
