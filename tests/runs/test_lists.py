"""Lists in layers of settings: a later list replaces an earlier one."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from kanlit.runs.assembly import Assembly
from kanlit.runs.console import quiet_console

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STOPPING = "lightning.pytorch.callbacks.EarlyStopping"
FIRST = {
    "data": {"class_path": "SyntheticData"},
    "trainer": {
        "callbacks": [
            {"class_path": STOPPING, "init_args": {"monitor": "val/loss", "patience": 7}},
        ]
    },
    "adaptation": {
        "density": {
            "class_path": "BlendedDensity",
            "init_args": {
                "densities": [
                    {"class_path": "CurvatureDensity", "init_args": {"power": 0.3}},
                    {"class_path": "InputDensity"},
                ]
            },
        }
    },
}
MEMBER = {"class_path": STOPPING, "init_args": {"monitor": "val/rel_l2"}}
BLEND = {
    "class_path": "BlendedDensity",
    "init_args": {"densities": [{"class_path": "CurvatureDensity"}, "InputDensity"]},
}


def settings(*words: str) -> dict[str, Any]:
    with quiet_console():
        found = Assembly(["--config", yaml.safe_dump(FIRST), *words], run=False, records=False)
    return found.config.as_dict()


@pytest.mark.parametrize(
    "words",
    [
        ["--config", yaml.safe_dump({"trainer": {"callbacks": [MEMBER]}})],
        ["--trainer.callbacks", yaml.safe_dump([MEMBER], default_flow_style=True)],
        ["--trainer.callbacks=" + yaml.safe_dump([MEMBER], default_flow_style=True)],
    ],
)
def test_a_later_callback_keeps_nothing_of_the_one_that_it_replaces(words: list[str]) -> None:
    (found,) = settings(*words)["trainer"]["callbacks"]
    assert (found["init_args"]["monitor"], found["init_args"]["patience"]) == ("val/rel_l2", 3)


def test_the_members_of_a_blend_are_replaced_as_a_whole() -> None:
    found = settings("--config", yaml.safe_dump({"adaptation": {"density": BLEND}}))
    curvature, _ = found["adaptation"]["density"]["init_args"]["densities"]
    assert curvature["init_args"]["power"] == 0.5


@pytest.mark.parametrize(
    "words",
    [
        ["--config", yaml.safe_dump({"trainer": {"callbacks+": [{"class_path": "KeepBest"}]}})],
        ["--trainer.callbacks+", "KeepBest"],
    ],
)
def test_an_appended_callback_leaves_the_others(words: list[str]) -> None:
    first, second = settings(*words)["trainer"]["callbacks"]
    assert first["init_args"]["patience"] == 7
    assert second["class_path"].endswith("KeepBest")


def test_settings_of_a_single_class_are_still_merged() -> None:
    found = settings("--config", yaml.safe_dump({"adaptation": {"uniform_mix": 0.5}}))
    assert found["adaptation"]["density"]["init_args"]["densities"][0]["init_args"]["power"] == 0.3
    assert found["trainer"]["callbacks"][0]["init_args"]["patience"] == 7
