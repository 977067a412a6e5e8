"""Settings of the documentation site: ``sphinx-build -W docs FOLDER``."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

import kanlit

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "kanlit"
copyright = "The kanlit developers"
release = kanlit.__version__

extensions = ["config_keys", "target_functions", "myst_parser"]
extensions += ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "matplotlib.sphinxext.plot_directive"]
plot_formats = [("png", 100)]
plot_html_show_formats = plot_html_show_source_link = False
html_theme = "furo"
html_title = f"kanlit {release}"
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "imported-members": True, "show-inheritance": True}
autodoc_member_order = "groupwise"
autodoc_inherit_docstrings = False  # Lightning's hooks are in Lightning's documentation
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_use_type_comments = False
napoleon_use_ivar = True  # the fields of a dataclass are described once
toc_object_entries = False


def setup(app: Sphinx) -> None:
    # Fields of a named tuple are described once, in the docstring of its class.
    def skip(_app: Sphinx, _what: str, _name: str, found: object, skipped: bool, _: object) -> bool:
        return skipped or (found.__doc__ or "").startswith("Alias for field number")

    app.connect("autodoc-skip-member", skip)
