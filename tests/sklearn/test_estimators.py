"""KANRegressor and KANClassifier: scikit-learn's conventions, kanlit's runs and checkpoints."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sympy
import torch
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from kanlit.errors import ConfigurationError
from kanlit.sklearn import KANClassifier, KANRegressor

REGRESSOR = KANRegressor(hidden=[2], grid_size=3, max_epochs=20)
CLASSIFIER = KANClassifier(hidden=[4], grid_size=3, max_epochs=100)

# Of scikit-learn's checks, those that say most about an estimator; studies/estimator_checks.py runs
# all of them.
CHECKS = {
    "check_classifiers_classes",
    "check_classifiers_one_label",
    "check_dict_unchanged",
    "check_dont_overwrite_attributes",
    "check_estimators_dtypes",
    "check_estimators_nan_inf",
    "check_estimators_unfitted",
    "check_fit2d_1sample",
    "check_fit_idempotent",
    "check_methods_subset_invariance",
    "check_n_features_in_after_fitting",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_readonly_memmap_input",
    "check_regressor_multioutput",
    "check_supervised_y_2d",
}


def chosen_checks() -> list[Any]:
    quick = KANRegressor(hidden=[2], grid_size=3, max_epochs=2)
    quick_classifier = KANClassifier(hidden=[2], grid_size=3, max_epochs=2)
    found = []
    for estimator in (quick, quick_classifier):
        for made, check in estimator_checks_generator(estimator):
            name = check.func.__name__
            if name in CHECKS:
                found.append(pytest.param(made, check, id=f"{type(estimator).__name__}-{name}"))
    return found


@pytest.mark.parametrize(("estimator", "check"), chosen_checks())
def test_an_estimator_passes_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, pd.DataFrame]:
    x = pd.DataFrame(np.random.default_rng(0).uniform(-1, 1, (60, 2)), columns=["a", "b"])
    return x, pd.DataFrame({"sum": x.a + x.b, "wave": np.sin(2 * x.a)})


@pytest.fixture(scope="module")
def model(table: tuple[pd.DataFrame, pd.DataFrame]) -> KANRegressor:
    return clone(REGRESSOR).fit(*table)


def test_a_regressor_learns_several_targets_of_a_data_frame(
    model: KANRegressor, table: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    x, y = table
    assert model.score(x, y) > 0.999
    assert list(model.feature_names_in_) == ["a", "b"]
    mean, std = model.predict(x, return_std=True)
    assert mean.shape == std.shape == (60, 2)
    assert (std > 0).all()
    assert (model.hidden_, model.grid_size_) == ([2], 3)


def test_a_saved_network_predicts_the_same_on_the_command_line(
    model: KANRegressor,
    table: tuple[pd.DataFrame, pd.DataFrame],
    command_line: Callable[[str], tuple[int, str, str]],
) -> None:
    x, _ = table
    x.to_csv("new.csv", index=False)
    model.save("model.ckpt")
    status, _, err = command_line("predict --ckpt_path model.ckpt --input new.csv")
    assert not status, err
    written = pd.read_csv("predictions.csv")
    mean, std = model.predict(x, return_std=True)
    assert np.allclose(written[["sum_predicted", "wave_predicted"]], mean, rtol=1e-12)
    assert np.allclose(written[["sum_std", "wave_std"]], std, rtol=1e-12)


def test_a_pickle_predicts_in_another_process(
    model: KANRegressor,
    table: tuple[pd.DataFrame, pd.DataFrame],
    start: Callable[..., Any],
    tmp_path: Path,
) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps((model, table[0])))
    (tmp_path / "predict.py").write_text(
        "import pickle, numpy\n"
        "model, x = pickle.load(open('model.pkl', 'rb'))\n"
        "numpy.save('out.npy', model.predict(x))\n"
    )
    ended = start(str(tmp_path / "predict.py"), folder=tmp_path).ended()
    assert not ended.returncode, ended.stderr
    assert np.array_equal(np.load(tmp_path / "out.npy"), model.predict(table[0]))


def test_widths_are_searched_in_a_pipeline(table: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    x, y = table
    steps = make_pipeline(MinMaxScaler(), KANRegressor(grid_size=3, max_epochs=5))
    search = GridSearchCV(steps, {"kanregressor__hidden": [[], [2]]}, cv=2).fit(x, y["wave"])
    assert search.cv_results_["mean_test_score"].min() > 0.99
    assert search.predict(x).shape == (60,)


def test_training_is_quiet_and_leaves_no_trace(
    table: tuple[pd.DataFrame, pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
    KANRegressor(hidden=[2], grid_size=3, max_epochs=2).fit(*table)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())
    assert not recwarn.list
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert np.array_equal(np.random.get_state()[1], drawn[1])  # noqa: NPY002
    assert random.getstate() == drawn[2]


def test_a_folder_gets_the_run(
    table: tuple[pd.DataFrame, pd.DataFrame],
    tmp_path: Path,
    command_line: Callable[[str], tuple[int, str, str]],
) -> None:
    KANRegressor(hidden=[], grid_size=3, max_epochs=2, folder=tmp_path).fit(*table)
    run = tmp_path / "lightning_logs" / "version_0"
    assert (run / "config.yaml").is_file()
    assert (run / "checkpoints" / "last.ckpt").is_file()
    status, out, err = command_line("plot last")
    assert not status, err
    assert "network: " in out


def test_a_classifier_returns_probabilities_and_its_own_classes() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (80, 2))
    y = np.where(x[:, 0] > x[:, 1], "right", "left")
    model = clone(CLASSIFIER).fit(x, y)
    assert model.score(x, y) > 0.95
    probabilities = model.predict_proba(x)
    assert np.allclose(probabilities.sum(1), 1)
    assert (model.classes_[probabilities.argmax(1)] == model.predict(x)).all()


def test_formula_and_plot_are_those_of_the_command_line() -> None:
    x = pd.DataFrame({"t": np.linspace(-1, 1, 200)})
    model = KANRegressor(hidden=[], grid_size=20, max_epochs=10).fit(x, np.sin(np.pi * x.t))
    assert model.formula() == sympy.sin(sympy.pi * sympy.Symbol("t", real=True))
    assert isinstance(model.plot(), Figure)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"settings": {"data": "TableData"}}, ["data", "X and y"]),
        ({"settings": {"trainer": {"max_epoch": 3}}}, ["max_epoch", "max_epochs"]),
        ({"hidden": [0]}, ["hidden", "0"]),
        ({"validation_fraction": 1.5}, ["validation", "1.5"]),
    ],
)
def test_a_wrong_parameter_is_named(
    parameters: dict[str, Any], words: list[str], table: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    with pytest.raises(ConfigurationError) as error:
        KANRegressor(**parameters).fit(*table)
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value)
