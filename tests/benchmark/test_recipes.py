"""Recipes and variants: what they stand for, and what is no recipe."""

from __future__ import annotations

import shlex
import tomllib
from fnmatch import fnmatch
from itertools import cycle, takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml

from kanlit.benchmark import SUITES, TASKS, build_matrix, densities_by_class, load_variants
from kanlit.benchmark.recipes import SHIPPED, load_recipe
from kanlit.benchmark.tasks import PAPER, choose_tasks
from kanlit.cli import benchmark
from kanlit.errors import ConfigurationError
from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "sound": ROOT / "configs",
    "paper": ROOT / "configs" / "published",
    "best": ROOT / "configs" / "best",
    "fast": ROOT / "configs" / "fast",
}
# What a run of the benchmark leaves out, and where it keeps what it does not.
OUTSIDE = ("enable_progress_bar", "limit_val_batches")
BOTH = ["InputDensity", "CurvatureDensity"]


def settings(words: list[str]) -> dict[str, Any]:
    """All settings that a command line comes to."""
    with quiet_console():
        config = Assembly(words, run=False, records=False).config.as_dict()
    config.pop("config")
    for name in OUTSIDE:
        config["trainer"].pop(name)
    return config


@pytest.mark.parametrize(
    ("word", "density"),
    [("f3", BOTH[1]), ("feynman8", BOTH[0]), ("helmholtz24", BOTH[1])],
)
@pytest.mark.parametrize("recipe", SHIPPED)
def test_a_recipe_is_the_config_that_users_are_shown(recipe: str, word: str, density: str) -> None:
    task = TASKS[word]
    (run,) = build_matrix([task], densities_by_class([density]), recipe, [7]).runs
    config = FOLDERS[recipe] / f"{task.suite}.yaml"
    words = ["--config", str(config), "--adaptation.density", density, "--seed_everything", "7"]
    words += [w for key, value in task.data.items() for w in (f"--data.{key}", str(value))]

    assert settings(run.arguments) == settings(words)


def test_best_has_the_config_that_users_are_shown_for_an_equation() -> None:
    (run,) = build_matrix([TASKS["gray_scott"]], {"default": {}}, "best", [7]).runs
    config = ROOT / "configs" / "equations" / "gray_scott.yaml"

    assert settings(run.arguments) == settings(["--config", str(config), "--seed_everything", "7"])


def test_curvature_is_the_recipes_own() -> None:
    densities = densities_by_class(["CurvatureDensity"])
    found = {
        recipe: settings(build_matrix([TASKS["f1"]], densities, recipe).runs[0].arguments)
        for recipe in ("paper", "sound")
    }
    given = {
        recipe: config["adaptation"]["density"]["init_args"] for recipe, config in found.items()
    }

    assert (given["paper"]["method"], given["paper"]["power"]) == ("finite_difference", 1.0)
    assert (given["sound"]["method"], given["sound"]["power"]) == ("exact", 0.5)


def test_every_recipe_is_in_the_wheel() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = pyproject["tool"]["setuptools"]["package-data"]["kanlit"]
    folder = ROOT / "kanlit" / "benchmark" / "recipes"
    recipes = [path.relative_to(ROOT / "kanlit") for path in folder.glob("*.yaml")]
    equations = [path.relative_to(ROOT / "kanlit") for path in folder.glob("equations/*.yaml")]

    assert not folder.joinpath("equations").is_symlink()  # which Windows may check out as a file
    assert {path.stem for path in recipes} == set(SHIPPED)
    assert equations
    for path in (*recipes, *equations):
        assert any(fnmatch(str(path), pattern) for pattern in patterns)


@pytest.mark.parametrize("recipe", SHIPPED)
def test_a_shipped_recipe_has_every_suite(recipe: str) -> None:
    name, layers = load_recipe(recipe, list(TASKS.values()))

    assert name == recipe
    assert {suite for suite in SUITES if layers.get(suite)} == {*PAPER, "sharp"}
    assert all(layers[task.settings] for task in choose_tasks("equations"))


def test_a_recipe_of_ones_own_lies_over_the_sound_one(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text("synthetic: {model: {hidden: [4]}, trainer: {max_epochs: 20}}")

    (run,) = build_matrix([TASKS["f1"]], densities_by_class(BOTH[:1]), str(path), [42]).runs
    found = settings(run.arguments)

    assert run.key.recipe == "small"
    assert found["model"]["init_args"]["hidden"] == [4]
    assert found["trainer"]["max_epochs"] == 20
    assert found["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 0.01  # as in sound


def test_a_variant_lies_over_the_recipe_under_any_key(tmp_path: Path) -> None:
    path = tmp_path / "v.yaml"
    variants = {
        "sgd": {"model": {"optimizer": {"class_path": "SGD", "init_args": {"lr": 0.5}}}},
        "early": {"adaptation": {"schedule": {0: 3, 10: 7}, "density": "InputDensity"}},
    }
    path.write_text(yaml.safe_dump(variants, sort_keys=False))

    sgd, early = build_matrix([TASKS["f1"]], load_variants(str(path)), "paper", [1]).runs
    found = {run.key.density: settings(run.arguments) for run in (sgd, early)}

    assert list(found) == ["sgd", "early"]
    assert found["sgd"]["model"]["init_args"]["optimizer"]["class_path"] == "torch.optim.SGD"
    assert found["sgd"]["model"]["init_args"]["outside"] == "zero"  # as in paper
    assert found["early"]["adaptation"]["schedule"] == {0: 3, 10: 7}


def own_commands(path: Path) -> list[list[str]]:
    """The words after ``kanlit benchmark`` of each command in the file's first comment."""
    comment = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    text = "\n".join(line.removeprefix("#").strip() for line in comment)
    lines = text.replace("\\\n", " ").splitlines()
    start = "kanlit benchmark --"
    return [shlex.split(line)[2:] for line in lines if line.startswith(start)]


def shape(value: Any) -> Any:
    """Settings without their numbers: what the parser knows of them."""
    if isinstance(value, dict):
        return tuple((str(key), shape(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return tuple(map(shape, value[:1]))
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "benchmark").rglob("*.yaml")), ids=str)
def test_shipped_variants_are_ones_for_their_own_commands(path: Path) -> None:
    commands = own_commands(path)
    assert commands
    variants = load_variants(str(path))
    # The last of those that differ in numbers alone, which rise.
    kinds = {shape(layer): {name: layer} for name, layer in variants.items()}

    for words in commands:
        options = benchmark._parser().parse_args(words)
        assert options.variants == path.relative_to(ROOT).as_posix()
        tasks = choose_tasks(options.suite, options.tasks)
        one_each = cycle({task.suite: task for task in tasks}.values())
        # A variant with one suite: what is wrong with a variant is wrong with it in all of them.
        for variant, task in zip(kinds.values(), one_each, strict=False):
            (run,) = build_matrix([task], variant, options.recipe, seeds=[1]).runs
            assert run.key.density in variant


def test_validation_is_kept_where_something_goes_by_it(tmp_path: Path) -> None:
    scheduler = {"class_path": "ReduceLROnPlateau", "init_args": {"monitor": "val/loss"}}
    layers = {
        "plain": {"model": {"hidden": [3]}},
        "plateau": {"model": {"lr_scheduler": scheduler}},
    }

    found = {
        run.key.density: Assembly(run.arguments, run=False, records=False).trainer.limit_val_batches
        for run in build_matrix([TASKS["f1"]], layers, seeds=[1]).runs
    }

    assert found == {"plain": 0, "plateau": 1.0}


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"adaptation": {"densty": "InputDensity"}}, ["odd, synthetic", "densty", "density?"]),
        (
            {"adaptation": {"density": "InputDenstiy"}},
            ["InputDenstiy", "did you mean InputDensity?"],
        ),
        ({"adaptation": {"uniform_mix": 2}}, ["odd, synthetic", "uniform_mix", "between 0 and 1"]),
        ({"model": {"hidden": "x"}}, ["model.hidden", "a list"]),
    ],
)
def test_settings_are_looked_through_before_anything_runs(
    variant: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as info:
        build_matrix([TASKS["f1"]], {"odd": variant})

    assert "\n" not in str(info.value)
    for word in words:
        assert word in str(info.value)
