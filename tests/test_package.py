"""The package as a whole: its light import, its public names, its version, its wheel."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import kanlit

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the working tree, built from a copy: no old build folder can leak into it.

    No compiler works there: the kernel is optional. tests/test_readme.py installs with one.
    """
    folder = tmp_path_factory.mktemp("plain")
    source, target = folder / "source", folder / "wheel"
    source.mkdir()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    unwanted = shutil.ignore_patterns("__pycache__", "*.so", "*.dylib", "*.pyd")
    shutil.copytree(ROOT / "kanlit", source / "kanlit", ignore=unwanted)
    flags = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", *flags, "-w", target, source],
        check=True,
        env=os.environ | {"CC": "no-such-compiler", "CXX": "no-such-compiler"},
    )
    (built,) = target.glob("*.whl")
    return built


def test_wheel_holds_every_module_of_the_tree_and_the_type_marker(wheel: Path) -> None:
    in_tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kanlit").rglob("*.py")}
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("kanlit/")}

    assert in_tree | {"kanlit/py.typed"} <= in_wheel
    assert {name for name in in_wheel if name.endswith(".py")} == in_tree


def test_wheel_trains_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    code = "import kanlit; from kanlit.cli import main; print(kanlit.__file__); main()"
    words = "fit --data SyntheticData --data.function f4 --trainer.max_epochs 4"

    run = subprocess.run(
        [sys.executable, "-c", code, *words.split()],
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert run.returncode == 0, run.stderr
    assert Path(run.stdout.splitlines()[0]).is_relative_to(site)
    assert list(work.rglob("*.ckpt"))


def test_wheel_built_without_a_compiler_holds_no_kernel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert not [name for name in names if name.endswith((".so", ".dylib", ".pyd"))]


def test_import_stays_light() -> None:
    code = "import sys, kanlit; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", kanlit.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(kanlit, name) is not None
    assert name in dir(kanlit)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'kanlit' has no attribute 'KANN'"):
        kanlit.KANN  # noqa: B018


def test_lazy_table_agrees_with_what_the_type_checker_sees() -> None:
    tree = ast.parse((ROOT / "kanlit" / "__init__.py").read_text())
    guard = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imported = {
        alias.name: node.module
        for node in guard.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert imported == kanlit._HOMES
    assert {*kanlit._HOMES, "__version__"} == set(kanlit.__all__)


def test_wheel_and_changelog_carry_the_version(wheel: Path) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[(.+?)\]", changelog, re.MULTILINE)

    assert wheel.name.split("-")[:2] == ["kanlit", kanlit.__version__]
    assert newest is not None
    assert newest[1] in {"Unreleased", kanlit.__version__}


def _needed(project: str, extras: frozenset[str], seen: dict[str, frozenset[str]]) -> None:
    """Collect in ``seen`` what ``project`` needs here, directly and not, by normalised name."""
    if extras <= seen.get(project, frozenset()) and project in seen:
        return
    seen[project] = seen.get(project, frozenset()) | extras
    for line in metadata.requires(project) or []:
        requirement = Requirement(line)
        environments = [{**default_environment(), "extra": extra} for extra in extras | {""}]
        marker = requirement.marker
        if marker is None or any(marker.evaluate(environment) for environment in environments):
            _needed(canonicalize_name(requirement.name), frozenset(requirement.extras), seen)


def test_constraints_pin_every_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pinned = {canonicalize_name(pin.name) for pin in pins}
    needed: dict[str, frozenset[str]] = {}
    _needed("kanlit", frozenset({"dev"}), needed)
    # What torch brings for a GPU follows from torch's own pin and differs by platform.
    gpu = {name for name in needed if re.match(r"nvidia-|cuda-|triton", name)}

    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    assert set(needed) - gpu - {"kanlit"} <= pinned
