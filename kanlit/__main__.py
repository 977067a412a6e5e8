"""``python -m kanlit`` is the ``kanlit`` command."""

from kanlit.cli import main

if __name__ == "__main__":
    main()
