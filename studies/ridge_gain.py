"""What a ridge gains over least squares, in the squared error at rows left out.

Prints for each table the relative gains on ten seeds, sorted, and the mean root mean square errors
of least squares and of scikit-learn's BayesianRidge on test rows. kanlit keeps the ridge of a
linear function from a gain of 3 % on.

    python studies/ridge_gain.py
"""

from __future__ import annotations

import numpy as np
from noisy_tables import Array, Rows, diabetes
from sklearn.linear_model import BayesianRidge

_PART = 0.85  # of the rows: kanlit chooses by those that are not for validation


def gains(train: Rows, test: Rows) -> tuple[float, float, float]:
    """The gain, and the test errors of least squares and of the ridge."""
    x, y = train
    mean, std = x.mean(0), x.std(0)
    z, test_z, t = (x - mean) / std, (test[0] - mean) / std, y - y.mean()
    model = BayesianRidge().fit(z, t)
    strengths = (0.0, model.lambda_ / model.alpha_)
    plain, ridge = (_left_out(z, t, strength) ** 2 for strength in strengths)
    gain = (plain - ridge).mean() / ridge.mean()
    weights = [_weights(z, strength) @ t for strength in strengths]
    errors = [np.sqrt(np.mean((test_z @ w + y.mean() - test[1]) ** 2)) for w in weights]
    return float(gain), float(errors[0]), float(errors[1])


def _weights(z: Array, strength: float) -> Array:
    inverse = np.linalg.inv(z.T @ z + strength * np.eye(z.shape[1]))
    return np.asarray(inverse @ z.T, dtype=np.float64)


def _left_out(z: Array, t: Array, strength: float) -> Array:
    hat = z @ _weights(z, strength) + 1 / len(z)
    return (t - hat @ t) / (1 - np.diag(hat))


def part_of_diabetes(seed: int) -> tuple[Rows, Rows]:
    (x, y), test = diabetes(seed)
    rows = np.random.default_rng(seed).permutation(len(x))[: int(_PART * len(x))]
    return (x[rows], y[rows]), test


def normal(seed: int, rows: int, inputs: int) -> tuple[Rows, Rows]:
    """A linear function of normal inputs with as much noise as signal."""
    random = np.random.default_rng(seed)
    weights = random.normal(size=inputs) / inputs**0.5
    x, test = random.normal(size=(rows, inputs)), random.normal(size=(500, inputs))
    return (x, x @ weights + random.normal(size=rows)), (test, test @ weights)


if __name__ == "__main__":
    sizes = ((40, 30), (60, 30), (300, 100), (60, 20))
    tables = {"diabetes": [gains(*part_of_diabetes(seed)) for seed in range(10)]}
    for size in sizes:
        tables["{} rows, {} inputs".format(*size)] = [gains(*normal(s, *size)) for s in range(10)]
    for name, found in tables.items():
        gain, plain, ridge = np.array(found).T
        print(name, np.sort(gain).round(2), f"{plain.mean():.4g} {ridge.mean():.4g}")
