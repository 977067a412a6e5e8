"""What the best strength of a smoothing spline could reach on the sine of 60 noisy rows.

The penalty is the integral of the squared second or third derivative. The oracle takes, on each
table, the strength with the least error on the test rows, which no method knows; GCV and REML
choose it by the training rows.

    python studies/sine_oracle.py --seeds 20 21 22 23 24
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from noisy_tables import Array, sine
from scipy.interpolate import BSpline

_GRID_SIZE = 20
_STRENGTHS = np.logspace(-9, 1, 81)


def errors(seed: int, order: int) -> dict[str, float]:
    """Test errors of a spline of degree 2 order - 1 with a penalty on this derivative."""
    (inputs, y), (test_inputs, truth) = sine(seed)
    x, test_x = inputs[:, 0], test_inputs[:, 0]
    degree = 2 * order - 1
    low, high = float(x.min()), float(x.max())
    step = (high - low) / _GRID_SIZE
    knots = low + step * np.arange(-degree, _GRID_SIZE + degree + 1)
    splines = BSpline(knots, np.eye(_GRID_SIZE + degree), degree)
    middles = low + (high - low) * (np.arange(2000) + 0.5) / 2000
    bent = splines(middles, order)
    form = bent.T @ bent / len(middles) * (high - low) ** (2 * order)
    basis, test_basis = splines(x), splines(test_x.clip(low, high))
    rows = [_fit(basis, y, form, strength, order) for strength in _STRENGTHS]
    test = [float(np.sqrt(np.mean((test_basis @ c - truth) ** 2))) for c, _, _ in rows]
    gcv, reml = (int(np.argmin([row[column] for row in rows])) for column in (1, 2))
    return {"oracle": min(test), "GCV": test[gcv], "REML": test[reml]}


def _fit(
    basis: Array, y: Array, form: Array, strength: float, order: int
) -> tuple[Array, float, float]:
    """Coefficients and the criteria of GCV and REML; the form is zero for ``order`` of them."""
    n = len(y)
    matrix = basis.T @ basis / n + strength * form
    hat = np.linalg.solve(matrix, basis.T / n)
    coefficients = hat @ y
    residual = y - basis @ coefficients
    gcv = np.mean(residual**2) / (1 - np.trace(basis @ hat) / n) ** 2
    penalty = n * strength * coefficients @ form @ coefficients
    log_ratio = np.linalg.slogdet(n * matrix)[1] - (len(form) - order) * np.log(strength)
    reml = (n - order) * np.log(residual @ residual + penalty) + log_ratio
    return coefficients, float(gcv), float(reml)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22, 23, 24])
    seeds = parser.parse_args().seeds
    for order in (2, 3):
        table = pd.DataFrame({seed: errors(seed, order) for seed in seeds}).T
        table.loc["median"] = table.median()
        print(f"derivative {order}\n{table.to_string(float_format='%.4f')}")
