"""Compares kanlit with scikit-learn on the diabetes data: 442 rows, 10 inputs.

    python studies/diabetes.py

All models use the same ten splits into training (70 %), validation (15 %) and test rows. kanlit
trains the network of docs/tutorial.md and restores the weights with the lowest validation loss;
the MLP stops early with the same fraction of validation rows; gradient boosting and ridge have
scikit-learn's defaults and train on training and validation rows. Errors are root mean squared
errors on the test rows, in the units of the target; seconds are processor seconds on one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kanlit.data import TableData
from kanlit.runs.assembly import Assembly

Array = np.ndarray
INPUTS = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
SETTINGS = """
model:
  hidden: [2]
  optimizer:
    class_path: LevenbergMarquardt
    init_args: {smoothness: 0.1, ridge: 0.01}
adaptation: {schedule: [3]}
trainer:
  max_epochs: 30
  check_val_every_n_epoch: 1
  callbacks: [{class_path: KeepBest}]
"""


def write_table(path: Path) -> None:
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame.rename(columns={"target": "progression"}).to_csv(path, index=False)


def rmse(predicted: Array, true: Array) -> float:
    return float(np.sqrt(np.mean((predicted.ravel() - true.ravel()) ** 2)))


def of_kanlit(path: Path, seed: int) -> tuple[float, TableData]:
    words = ["--config", SETTINGS, "--seed_everything", str(seed), "--data", "TableData"]
    words += ["--data.path", str(path), "--data.seed", str(seed), "--data.targets", "[progression]"]
    words += ["--data.inputs", f"[{', '.join(INPUTS)}]"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assembly = Assembly(words, run=False, records=False)
        assembly.trainer.fit(assembly.model, assembly.datamodule)
    data = assembly.datamodule
    assert isinstance(data, TableData)
    x, y = data.build("test")
    with torch.no_grad():
        return rmse(assembly.model(x.float()).numpy(), y.numpy()), data


def others(seed: int) -> dict[str, Callable[[], Any]]:
    mlp = {"hidden_layer_sizes": (100,), "early_stopping": True, "validation_fraction": 0.18}
    return {
        "ridge": lambda: make_pipeline(StandardScaler(), Ridge()),
        "gradient boosting": lambda: GradientBoostingRegressor(random_state=seed),
        "MLP (100)": lambda: make_pipeline(
            StandardScaler(), MLPRegressor(**mlp, max_iter=3000, random_state=seed)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--splits", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    errors: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}

    def note(name: str, error: float, start: float) -> None:
        errors.setdefault(name, []).append(error)
        seconds.setdefault(name, []).append(time.process_time() - start)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "diabetes.csv"
        write_table(path)
        for seed in range(options.splits):
            start = time.process_time()
            error, data = of_kanlit(path, seed)
            note("kanlit [10, 2, 1]", error, start)
            parts = [data.build(part) for part in ("train", "validate")]
            x, y = (torch.cat(tensors).numpy() for tensors in zip(*parts, strict=True))
            test_x, test_y = (tensor.numpy() for tensor in data.build("test"))
            for name, make in others(seed).items():
                start = time.process_time()
                model = make().fit(x, y.ravel())
                note(name, rmse(model.predict(test_x), test_y), start)
            note("mean of the training rows", rmse(np.full(len(test_y), y.mean()), test_y), start)

    print("| model | test RMSE, mean ± standard deviation | median | seconds |\n|---|---|---|---|")
    for name, found in errors.items():
        spread = statistics.stdev(found) if len(found) > 1 else 0.0
        print(
            f"| {name} | {statistics.mean(found):.1f} ± {spread:.1f} "
            f"| {statistics.median(found):.1f} | {statistics.median(seconds[name]):.2f} |"
        )


if __name__ == "__main__":
    main()
