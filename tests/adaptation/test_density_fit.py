"""Every density through ``kanlit fit``: short names, nested ones, resume, one line for an error."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import docstring_parser
import pytest
import torch
import yaml

import kanlit

# Runs of a few epochs are warned of, and rightly; Lightning has not caught up with jsonargparse.
pytestmark = pytest.mark.filterwarnings("default:::kanlit", "ignore::DeprecationWarning")

Run = Callable[[str], "tuple[int, str, str]"]

FIT = "fit --config run.yaml"
RUN = {
    "data": {
        "class_path": "SyntheticData",
        "init_args": {"function": "gaussian", "samples": 60, "standardize": False},
    },
    "model": {"hidden": [3]},
    "adaptation": {"schedule": {0: 3, 2: 6}},
    "trainer": {"max_epochs": 4},
}
PDE = {
    **RUN,
    "data": {
        "class_path": "HelmholtzData",
        "init_args": {"points_per_axis": 8, "boundary_points": 4},
    },
}
DENSITIES = {
    "curvature": {"class_path": "CurvatureDensity", "init_args": {"power": 1.0}},
    "gradient": {
        "class_path": "GradientDensity",
        "init_args": {"scope": "layer", "epsilon": 0.1},
    },
    "loss": {"class_path": "LossDensity", "init_args": {"power": 1.0}},
    "de Boor": "DeBoorDensity",
    "blend": {
        "class_path": "BlendedDensity",
        "init_args": {
            "densities": [
                {"class_path": "CurvatureDensity", "init_args": {"scope": "layer"}},
                {"class_path": "LossDensity"},
            ],
            "shares": [0.5, 0.5],
        },
    },
    "blend of short names": {
        "class_path": "BlendedDensity",
        "init_args": {"densities": ["DeBoorDensity", "LossDensity"]},
    },
    "blend of a blend": {
        "class_path": "BlendedDensity",
        "init_args": {
            "densities": [
                {"class_path": "BlendedDensity", "init_args": {"densities": ["InputDensity"]}},
                "GradientDensity",
            ],
            "shares": [1, 3],
        },
    },
}


@pytest.fixture
def run(command_line: Run) -> Run:
    return command_line


def write(content: dict[str, object], density: object) -> None:
    adaptation = {"schedule": {0: 3, 2: 6}, "density": density}
    Path("run.yaml").write_text(yaml.safe_dump({**content, "adaptation": adaptation}))


def knots_of(folder: str) -> torch.Tensor:
    path = Path("lightning_logs") / folder / "checkpoints" / "last.ckpt"
    knots: torch.Tensor = torch.load(path, weights_only=True)["state_dict"][
        "network.layers.0.knots"
    ]
    return knots


@pytest.mark.parametrize("density", DENSITIES.values(), ids=DENSITIES.keys())
def test_a_run_in_one_dimension_adapts_by_any_density(density: object, run: Run) -> None:
    write(RUN, density)
    status, output, error = run(FIT)
    assert status == 0, error
    assert "grid size: G = 6" in output
    assert "was rolled back" not in output + error
    knots = knots_of("version_0")
    assert knots.shape == (1, 6 + 2 * 3 + 1)
    assert (knots.diff(dim=1) > 0).all()


@pytest.mark.parametrize("name", ["loss"])
def test_a_differential_equation_adapts_by_its_residual(name: str, run: Run) -> None:
    write(PDE, DENSITIES[name])
    status, output, error = run(FIT)
    assert status == 0, error
    assert "grid size: G = 6" in output
    assert "was rolled back" not in output + error


def test_a_run_of_a_blend_goes_on_where_it_stopped(run: Run) -> None:
    write({**RUN, "trainer": {"max_epochs": 4}}, DENSITIES["blend of a blend"])
    assert run(FIT)[0] == 0
    status, _, error = run(f"{FIT} --ckpt_path last --trainer.max_epochs 6")
    assert status == 0, error
    path = Path("lightning_logs/version_1/checkpoints/last.ckpt")
    assert torch.load(path, weights_only=True)["global_step"] == 6


def blend(**settings: object) -> dict[str, object]:
    return {"class_path": "BlendedDensity", "init_args": settings}


BAD = {
    "an empty list": (blend(densities=[]), ["at least one density"]),
    "not a list": (blend(densities=3), ["densities", "expected a list", "3"]),
    "an unknown member": (blend(densities=["Foo"]), ["densities", "Foo"]),
    "a member's key": (
        blend(densities=[{"class_path": "LossDensity", "init_args": {"powr": 1}}]),
        ["powr"],
    ),
    "a member's value": (
        blend(densities=[{"class_path": "LossDensity", "init_args": {"power": 0}}]),
        ["power must be positive"],
    ),
    "shares that do not fit": (
        blend(densities=["InputDensity"], shares=[1, 2]),
        ["one entry per density, 1, got 2"],
    ),
    "a share of nothing": (
        blend(densities=["InputDensity", "LossDensity"], shares=[1, 0]),
        ["shares must be positive", "remove the density"],
    ),
    "shares that are no list": (blend(densities=["InputDensity"], shares="x"), ["shares", "x"]),
}


@pytest.mark.parametrize(("density", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_blend_is_one_line(density: object, words: list[str], run: Run) -> None:
    write(RUN, density)
    status, output, error = run(FIT)
    said = [line.removeprefix("INFO: ") for line in error.splitlines()]
    lines = [line for line in said if line and not line.startswith("Seed set to")]
    assert (status, output, len(lines)) == (2, "", 1), error
    assert lines[0].startswith("kanlit: error: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    "name",
    ["BlendedDensity", "CurvatureDensity", "DeBoorDensity", "GradientDensity", "LossDensity"],
)
def test_the_command_line_s_help_has_words_for_every_setting(name: str) -> None:
    density = getattr(kanlit, name)
    said = {p.arg_name: p.description for p in docstring_parser.parse(density.__doc__).params}
    assert list(said) == list(inspect.signature(density).parameters)
    assert all(said.values())
