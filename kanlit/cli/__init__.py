"""The commands of ``kanlit``: ``fit``, ``test``, ``predict``, ``plot``, ``compare`` and so on.

``kanlit --help`` and unknown commands do not import torch and Lightning, which takes seconds.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

from kanlit.cli.commands import INTERRUPTED
from kanlit.cli.overview import answer

__all__ = ["main"]


def main() -> None:
    """Entry point of ``kanlit``."""
    answer(sys.argv[1:])
    if "kanlit.cli.app" not in sys.modules and sys.stderr.isatty():
        print(f"kanlit {sys.argv[1]}: loading torch and Lightning", file=sys.stderr)
    try:
        _import_app()()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _import_app() -> Callable[[], None]:
    """Imports torch and Lightning; the garbage collector does not traverse what stays anyway.

    It takes a quarter of the time of the import, and would take time throughout training.
    """
    first = "kanlit.cli.app" not in sys.modules  # later, freeze would keep garbage, too
    if first:
        gc.disable()
    from kanlit.cli.app import main as run

    if first:
        gc.freeze()
        gc.enable()
    return run
