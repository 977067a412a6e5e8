"""Runs a program in a forked process; started by the fixture ``start`` (conftest.py).

The process comes from a server that has imported kanlit once: a fresh interpreter takes four
seconds for it.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch.utils.tensorboard import writer

from kanlit import plotting
from kanlit.callbacks import equation_figures, knot_plot, run_figures


def blank_pictures(replace: Callable[[object, str, object], None]) -> None:
    """Replaces what draws the pictures of a run."""
    blank = np.zeros((3, 1, 1), np.uint8)
    replace(writer, "figure_to_image", lambda *_, **__: blank)
    for module in (equation_figures, knot_plot, run_figures):
        for name in vars(module).keys() & set(plotting.__all__):
            if name.endswith("_figure"):
                replace(module, name, lambda *_, **__: Figure())


def run(program: str, words: list[str], folder: str, output: str, env: dict[str, str]) -> None:
    """Runs a module or a script as ``python -m program`` or ``python program`` would."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    for descriptor, name in enumerate(("out", "err"), 1):
        os.dup2(os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    sys.argv = [program, *words]
    blank_pictures(setattr)
    if program.endswith(".py"):
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run(*TASK)  # type: ignore[name-defined]  # noqa: F821  a global that conftest.py gives
