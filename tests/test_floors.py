"""The floors of docs/architecture.md: a package imports only from those below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "kanlit"

# From the ground up. Packages of one floor do not import each other.
FLOORS = [
    {"chain_rule", "compat", "errors", "hints", "signatures"},
    {"files", "scaling", "metrics", "splines"},
    {"bases", "tables"},
    {"nn", "kernel"},
    {"adaptation", "optim"},
    {"selection"},
    {"problems"},
    {"plotting", "symbolic"},
    {"modules", "data"},
    {"export", "checkpoints"},
    {"callbacks"},
    {"runs"},
    {"benchmark", "sklearn", "tuning"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
# The compiled form of the edges: the layer asks it for a call and hands it its own tensors.
TOGETHER = {("nn", "kernel"), ("kernel", "nn")}


def named_in(tree: ast.AST) -> Iterator[str]:
    """The packages of kanlit that a file imports, or names in a string such as ``kanlit.cli``."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="kanlit", names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module)) if module.startswith("kanlit."):
                yield module.split(".")[1]
            case ast.Import(names=names):
                found = [alias.name for alias in names if alias.name.startswith("kanlit.")]
                yield from (name.split(".")[1] for name in found)
            case ast.Constant(value=str(text)) if text.startswith("kanlit.") and " " not in text:
                yield text.split(".")[1]


@pytest.mark.parametrize("name", sorted(FLOOR))
def test_a_package_knows_only_those_below_it(name: str) -> None:
    files = [PACKAGE / f"{name}.py"] if (PACKAGE / f"{name}.py").is_file() else []
    files += (PACKAGE / name).rglob("*.py")
    assert files
    above = {
        (file.relative_to(PACKAGE).as_posix(), other)
        for file in files
        for other in set(named_in(ast.parse(file.read_text()))) & set(FLOOR)
        if other != name and FLOOR[other] >= FLOOR[name] and (name, other) not in TOGETHER
    }

    assert above == set()


def test_every_package_has_a_floor() -> None:
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}

    assert {n for n in names if not n.startswith(("__init__", "__pycache__"))} == set(FLOOR)
