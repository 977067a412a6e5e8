"""All checks of scikit-learn on the estimators, a search of widths, a pickle, and a killed search.

    python studies/estimator_checks.py

Prints a line per part, with processor seconds.
"""

from __future__ import annotations

import argparse
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.utils.estimator_checks import check_estimator

from kanlit.sklearn import KANClassifier, KANRegressor

ESTIMATORS = [
    KANRegressor(hidden=[2], grid_size=3, max_epochs=20),
    KANClassifier(hidden=[4], grid_size=3, max_epochs=100),
]
WIDTHS = [[], [1], [2], [3]]


@contextmanager
def timed(name: str) -> Iterator[None]:
    start = time.process_time()
    yield
    print(f"{name}: {time.process_time() - start:.1f} processor seconds", flush=True)


def checks() -> None:
    for estimator in ESTIMATORS:
        name = type(estimator).__name__
        with timed(name):
            found = pd.DataFrame(check_estimator(estimator, on_fail=None))
        print(f"{name}: {found.status.value_counts().to_dict()}")
        print(found.loc[found.status == "failed", ["check_name", "exception"]].to_string())


def widths() -> None:
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    x, test_x, y, test_y = train_test_split(x, y, random_state=0)
    with timed("GridSearchCV"):
        search = GridSearchCV(KANRegressor(grid_size=3), {"hidden": WIDTHS}, cv=3).fit(x, y)
    error = np.sqrt(np.mean((search.predict(test_x) - test_y) ** 2))
    print(f"diabetes: {search.best_params_}, test RMSE {error:.1f}")


def pickled() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (100, 2))
    model = KANRegressor(hidden=[2], grid_size=3, max_epochs=20).fit(x, x.prod(1))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.pkl"
        path.write_bytes(pickle.dumps((model, x)))
        code = "import pickle, sys; m, x = pickle.load(open(sys.argv[1], 'rb'))\n"
        code += "print(repr(m.predict(x).sum()))"
        said = subprocess.check_output([sys.executable, "-c", code, str(path)], text=True)
    print(f"pickle in a fresh process: {said.strip() == repr(model.predict(x).sum())}")


def killed() -> None:
    with TemporaryDirectory() as folder:
        x = np.random.default_rng(0).uniform(-1, 1, (100, 1))
        pd.DataFrame({"x": x[:, 0], "y": x[:, 0] ** 2}).to_csv(f"{folder}/t.csv", index=False)
        Path(folder, "c.yaml").write_text(
            "data: {class_path: TableData, init_args: {path: t.csv, inputs: [x], targets: [y]}}\n"
            "trainer: {max_epochs: 20}\n"
        )
        words = [sys.executable, "-m", "kanlit", "tune", "--config", "c.yaml", "--trials", "6"]
        process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        again = subprocess.check_output(words, cwd=folder, text=True)
        rows = len(pd.read_csv(f"{folder}/tune/trials.csv"))
    print("".join(lines), again, f"trials.csv: {rows} rows", sep="")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for part in (pickled, killed, widths, checks):
        part()
