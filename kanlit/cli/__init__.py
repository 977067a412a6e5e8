"""The command line: ``kanlit fit|validate|test|predict|benchmark``.

What needs no more than the names of the commands is answered before torch and Lightning are
imported, which takes seconds.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kanlit.cli.overview import answer

if TYPE_CHECKING:
    from kanlit.cli.app import KanlitCLI

__all__ = ["KanlitCLI", "main"]


def main() -> None:
    """Entry point of ``kanlit``: what a user can mend is one line and exit status 2."""
    answer(sys.argv[1:])
    from kanlit.cli.app import main as run  # with torch and Lightning, slow to import

    run()


def __getattr__(name: str) -> object:
    if name == "KanlitCLI":
        from kanlit.cli.app import KanlitCLI

        return KanlitCLI
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
