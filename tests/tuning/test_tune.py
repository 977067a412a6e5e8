"""``kanlit tune``: the space, pruning, resuming and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml

from kanlit.errors import ConfigurationError
from kanlit.tuning import search
from kanlit.tuning.space import default_space, load_space, with_values
from kanlit.tuning.trial import Result

CommandLine = Callable[[str], tuple[int, str, str]]

CONFIG: dict[str, Any] = {
    "model": {
        "class_path": "kanlit.RegressionModule",
        "init_args": {
            "hidden": [10],
            "grid_size": 3,
            "spline_order": 3,
            "optimizer": {"class_path": "X", "init_args": {"smoothness": 0.0}},
        },
    },
    "adaptation": {"schedule": []},
}


def test_the_default_space_has_what_the_config_has() -> None:
    assert [each.key for each in default_space(CONFIG)] == [
        "model.hidden",
        "model.grid_size",
        "model.spline_order",
        "model.optimizer.smoothness",
    ]
    adam = with_values(CONFIG, {"model.optimizer": {"class_path": "Adam"}})
    adam = with_values(adam, {"adaptation.schedule": [3, 6]})
    assert [each.key for each in default_space(adam)] == [
        "model.hidden",
        "model.spline_order",
        "adaptation.schedule",
    ]


def test_values_reach_their_settings() -> None:
    changed = with_values(CONFIG, {"model.hidden": [2], "model.optimizer.smoothness": "auto"})
    inner = changed["model"]["init_args"]
    assert inner["hidden"] == [2]
    assert inner["optimizer"]["init_args"] == {"smoothness": "auto"}
    assert CONFIG["model"]["init_args"]["hidden"] == [10]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{model.hiden: [[1]]}", ["model.hiden", "did you mean model.hidden?"]),
        ("{model.hidden: 3}", ["model.hidden", "3", "list"]),
        ("{model.grid_size: {low: 3, hight: 5}}", ["model.grid_size", "range"]),
        ("{model.grid_size: {low: 3, high: 5, step: 1}}", ["step", "log"]),
        ("{model.grid_size: {low: 5, high: 3}}", ["model.grid_size", "5 to 3"]),
        ("{model.optimizer.smoothness: {low: 0, high: 1, log: true}}", ["above 0"]),
    ],
)
def test_a_wrong_space_is_one_line(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as error:
        load_space(text, CONFIG)
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value)


def test_values_of_a_space_come_back_from_the_storage() -> None:
    (hidden, size) = load_space(
        "{model.hidden: [[1], [2, 2]], model.grid_size: {low: 3, high: 9}}", CONFIG
    )
    trial = optuna.create_study().ask()
    chosen = hidden.suggest(trial), size.suggest(trial)
    assert chosen[0] in ([1], [2, 2])
    assert type(chosen[1]) is int
    assert chosen == (hidden.value_of(trial.params), size.value_of(trial.params))


@pytest.fixture
def config(tmp_path: Path) -> str:
    x = np.random.default_rng(0).uniform(-1, 1, (60, 1))
    pd.DataFrame({"x": x[:, 0], "y": x[:, 0] ** 2}).to_csv(tmp_path / "t.csv", index=False)
    data = {"path": "t.csv", "inputs": ["x"], "targets": ["y"]}
    content = {
        "data": {"class_path": "TableData", "init_args": data},
        "model": {"grid_size": 3},
        "trainer": {"max_epochs": 2},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "space.yaml").write_text("model.hidden: [[], [1]]\nmodel.grid_size: [3, 4]\n")
    return "tune --config c.yaml --space space.yaml"


def test_the_best_config_trains(config: str, command_line: CommandLine) -> None:
    status, out, err = command_line(f"{config} --trials 2")
    assert not status, err
    table = pd.read_csv("tune/trials.csv")
    assert len(table) == 2
    assert f"{table['val/loss'].min():.3e}, tune/best.yaml" in out
    best = yaml.safe_load(Path("tune/best.yaml").read_text())
    assert str(best["model"]["init_args"]["hidden"]) == table["model.hidden"][0]
    status, out, err = command_line("fit --config tune/best.yaml")
    assert not status, err
    assert "relative L2" in out


def fake(values: list[float | BaseException]) -> Callable[..., Result]:
    """Results of trials, without training."""
    left = iter(values)

    def run_trial(trial: optuna.Trial, config: dict[str, Any], monitor: str) -> Result:
        value = next(left)
        if isinstance(value, BaseException):
            raise value
        return Result(value, False, 1.0, 2, 10)

    return run_trial


def test_a_stopped_search_continues_with_the_trials_that_are_left(
    config: str, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "run_trial", fake([3.0, KeyboardInterrupt()]))
    status, _, err = command_line(f"{config} --trials 4")
    assert status == 130
    assert "continue with kanlit tune --config c.yaml" in err
    (stopped,) = _trials("RUNNING")
    monkeypatch.setattr(search, "run_trial", fake([1.0, 2.0, 4.0]))
    status, out, err = command_line(f"{config} --trials 4")
    assert not status, err
    assert out.startswith("resumed: 1 trials in tune\ntrial 2 of 4: val/loss 1.000e+00")
    assert len(pd.read_csv("tune/trials.csv")) == 4
    assert _trials("COMPLETE")[1].params == stopped.params
    status, out, err = command_line(f"{config} --trials 4")  # nothing is left to do
    assert "best val/loss: 1.000e+00" in out, err


def _trials(state: str) -> list[optuna.trial.FrozenTrial]:
    study = optuna.load_study(study_name="kanlit", storage="sqlite:///tune/study.db")
    return study.get_trials(states=[optuna.trial.TrialState[state]])


def test_another_space_needs_another_folder(
    config: str, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "run_trial", fake([1.0]))
    assert command_line(f"{config} --trials 1")[0] == 0
    Path("space.yaml").write_text("model.hidden: [[3]]\n")
    status, _, err = command_line(f"{config} --trials 2")
    assert status == 2
    assert "another space" in err


def test_a_failed_trial_is_recorded_and_the_search_goes_on(
    config: str, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Result(float("nan"), False, 1.0, 2, 10, "loss is NaN")
    results = iter([bad, Result(1.0, False, 1.0, 2, 10)])
    monkeypatch.setattr(search, "run_trial", lambda *_: next(results))
    status, out, _ = command_line(f"{config} --trials 2")
    assert status == 0
    assert "trial 1 of 2: failed (loss is NaN)" in out
    assert set(pd.read_csv("tune/trials.csv").state) == {"fail", "complete"}


def test_a_search_without_validation_is_refused(config: str, command_line: CommandLine) -> None:
    content = yaml.safe_load(Path("c.yaml").read_text())
    content["trainer"]["limit_val_batches"] = 0
    Path("c.yaml").write_text(yaml.safe_dump(content))
    Path("space.yaml").write_text("model.hidden: [[]]\n")
    status, _, err = command_line(f"{config} --trials 1")
    assert status == 2
    assert "validation" in err
    assert err.count("\n") == 1


def test_a_missing_package_is_named(
    config: str, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kanlit.cli.tune.find_spec", lambda name: None)
    status, _, err = command_line(f"{config} --trials 1")
    assert status == 2
    assert "pip install 'kanlit[tune]'" in err
