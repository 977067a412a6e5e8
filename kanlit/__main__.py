"""``python -m kanlit`` is the ``kanlit`` command."""

import os
import sys

if sys.path[0] in ("", os.getcwd()):
    del sys.path[0]  # as for kanlit: what lies in the working folder is imported where named

from kanlit.cli import main

if __name__ == "__main__":
    main()
