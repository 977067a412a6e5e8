"""Which default settings a data class names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kanlit.errors import ConfigurationError
from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def settings(folder: Path, monkeypatch: pytest.MonkeyPatch, recipe: str) -> dict[str, Any]:
    """All settings of a run on a user's own data class."""
    name = f"own_data_{recipe}"
    (folder / f"{name}.py").write_text(
        "from kanlit.data import FormulaData\n"
        f"class Mine(FormulaData):\n    default_recipe = {recipe!r}\n"
    )
    monkeypatch.syspath_prepend(folder)
    words = ["--data", f"{name}.Mine", "--data.formula", "y = x", "--data.bounds", "{x: [0, 1]}"]
    with quiet_console():
        return Assembly(words, run=False, records=False).config.as_dict()


def test_a_users_own_data_class_names_its_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = settings(tmp_path, monkeypatch, "smooth")
    assert found["trainer"]["precision"] == "64-true"
    optimizer = found["model"]["init_args"]["optimizer"]
    assert optimizer["init_args"]["smoothness"] == "auto"


def test_an_unknown_recipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"Mine\.default_recipe must be .* got 'smoth'"):
        settings(tmp_path, monkeypatch, "smoth")
