"""The command line: ``kanlit fit|validate|test|predict|plot|formula|export|tune|benchmark``.

``kanlit --help`` and unknown commands do not import torch and Lightning, which takes seconds.
"""

from __future__ import annotations

import gc
import sys

from kanlit.cli.commands import INTERRUPTED
from kanlit.cli.overview import answer

__all__ = ["main"]


def main() -> None:
    """Entry point of ``kanlit``."""
    answer(sys.argv[1:])
    try:
        # Objects created by imports are never freed. The garbage collector would traverse them
        # again and again: a quarter of the time of the import.
        gc.disable()
        from kanlit.cli.app import main as run  # with torch and Lightning, slow to import

        gc.freeze()
        gc.enable()
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
