"""The equation of one's own in docs/equations.md, resumed, without a solution, with mistakes."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kanlit.cli import main

# Short runs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

ROOT = Path(__file__).resolve().parents[1]
DOC = (ROOT / "docs" / "equations.md").read_text()
Run = Callable[[str], "dict[str, str]"]


def block(language: str, number: int = 0) -> str:
    """A fenced block of a language, the first unless told."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)[number]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in a folder with the example; what it prints, by name."""
    (tmp_path / "my_equations.py").write_text(block("python"))
    (tmp_path / "heat.yaml").write_text(block("yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "my_equations", raising=False)

    def run(command: str) -> dict[str, str]:
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        main()
        return dict(re.findall(r"^([a-zA-Z0-9 ]+): (.+)$", capsys.readouterr().out, re.MULTILINE))

    return run


def weights(path: str | Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return found


def test_a_resumed_run_ends_as_the_unbroken_one(run: Run) -> None:
    fit = block("bash").splitlines()[0]
    whole = weights(run(fit)["checkpoint"])
    shutil.rmtree("lightning_logs")
    # The schedule's last adaptation lies beyond the break.
    run(f"{fit} --trainer.max_epochs 30")
    resumed = weights(run(f"{fit} --ckpt_path last")["checkpoint"])
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_without_a_solution_the_summary_is_the_loss(run: Run) -> None:
    source = block("python")
    Path("my_equations.py").write_text(source[: source.index("    def solution")])
    fit, test = block("bash").splitlines()
    assert float(run(f"{fit} --trainer.max_epochs 21")["loss on test points"]) > 0
    run(test)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("(self, u_t, u_xx)", "(self, u_t, u_yy)"), "unknown name u_yy: did you mean u_"),
        (("(self, u_t, u_xx)", "(self, u_t, u_xxxxx)"), "a derivative order above four"),
        (("class Heat(Equation)", "class Heat"), "my_equations.Heat is not an equation"),
        (("class Heat(Equation)", "class Hot(Equation)"), "my_equations has no Heat"),
        (("((0.0, 1.0), (0.0, 0.5))", "((1.0, 0.0), (0.0, 0.5))"), "x ranges from 1 to 0"),
        (("    bounds = ((0.0, 1.0), (0.0, 0.5))\n", ""), "bounds of Heat must be a pair for each"),
        (("return u_t -", "return u_t[:, 0] -"), "residual of Heat returned a tensor (400, 400)"),
        (("return u_t -", "return u_t.log() -"), "residual pde of Heat is NaN"),
        (("diffusivity: float", "conductivity: float"), "did you mean conductivity? Heat takes"),
    ],
)
def test_a_mistake_in_it_is_one_line(
    run: Run, change: tuple[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert change[0] in block("python")
    Path("my_equations.py").write_text(block("python").replace(*change))
    with pytest.raises(SystemExit) as caught:
        run(block("bash").splitlines()[0])
    assert caught.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if words in line]
    assert len(lines) == 1
    assert "Traceback" not in "".join(lines)
