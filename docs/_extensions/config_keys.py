"""Directives that read the keys of a config off the parser, so that no page repeats them.

``{config-keys} kanlit.data.TensorDataModule`` describes each class of the package ``kanlit.data``
that derives from ``TensorDataModule`` and can be named in a config, as jsonargparse parses it.
``{program-output} kanlit fit --print_config`` shows what a command prints.
"""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_origin

import yaml
from docutils import nodes
from jsonargparse import ArgumentParser
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def classes(path: str) -> list[type]:
    """The concrete classes of a package that derive from the one with this path, by name."""
    module, _, name = path.rpartition(".")
    package = import_module(module)
    base = getattr(package, name)
    found = [getattr(package, name) for name in package.__all__]
    return [
        cls
        for cls in found
        if isinstance(cls, type)
        and issubclass(cls, base)
        and not inspect.isabstract(cls)
        # A base of other classes of the package stands for them, unless it is asked for itself.
        and not (cls is base and len(found) > 1 and cls.__subclasses__())
    ]


def markdown(text: str) -> str:
    """A docstring's text as one line of a Markdown table."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.(?=\w+`))?([^`]+)`", r"`\1`", text)
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def type_name(kind: Any) -> str:
    """``int | None`` of a type hint, without the packages of its classes."""
    text = str(kind) if get_origin(kind) else getattr(kind, "__name__", str(kind))
    text = re.sub(r"[\w.]+\.(\w+)", r"\1", text)
    # jsonargparse marks types whose bounds it does not check.
    text = re.sub(r"Unvalidated<(.+)>", r"\1", text)
    return re.sub(r"Optional\[(.+)\]", r"\1 | None", text).replace("|", "\\|")


def keys(cls: type) -> Iterator[str]:
    """Rows of a table: key, type, default, meaning."""
    parser = ArgumentParser()
    # An optimizer's parameters are filled in by the module.
    added = parser.add_class_arguments(cls, skip={"params"}, fail_untyped=False)
    for action in parser._actions:
        if action.dest not in added:
            continue
        kind = type_name(getattr(action, "_typehint", action.type))
        default = "required" if action.required else f"`{shown(action.default)}`"
        yield f"| `{action.dest}` | `{kind}` | {default} | {markdown(action.help or '')} |"


def shown(default: object) -> str:
    """A default value as YAML writes it."""
    if callable(default):
        return getattr(default, "__name__", "see there")
    if hasattr(default, "class_path"):
        return str(default.class_path)
    value = list(default) if isinstance(default, tuple) else default
    return yaml.safe_dump(value, default_flow_style=True).splitlines()[0]


def described(cls: type, level: int) -> str:
    """A class in Markdown: a heading, its first sentence, its keys."""
    first = (inspect.getdoc(cls) or "").split("\n\n")[0]
    rows = list(keys(cls))
    table = ["| key | type | default | meaning |", "|---|---|---|---|", *rows] if rows else []
    return "\n".join([f"{'#' * level} {cls.__name__}", "", markdown(first), "", *table, ""])


class ConfigKeys(SphinxDirective):
    """The classes of a package that a config can name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = self.arguments[0]
        text = "\n".join(described(cls, 3) for cls in classes(path))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class ProgramOutput(SphinxDirective):
    """What a kanlit command prints, as YAML."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        _, *words = shlex.split(self.arguments[0])
        done = subprocess.run(
            [sys.executable, "-m", "kanlit", *words], check=True, capture_output=True, text=True
        )
        return [nodes.literal_block(done.stdout, done.stdout, language="yaml")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("config-keys", ConfigKeys)
    app.add_directive("program-output", ProgramOutput)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
