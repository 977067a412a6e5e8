"""The error that the training points of the suite sharp allow: the best interpolating spline.

    python studies/sharp_floor.py

In 1-D, splines of degree 1, 3 and 5 with a knot at each point (de Boor, A Practical Guide to
Splines); in 2-D and 4-D, thin-plate and cubic radial splines through the 60 nearest points, at
20,000 test points. Relative L2 errors on the test grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator, make_interp_spline

from kanlit.data import SharpData
from kanlit.problems import SHARP

Array = NDArray[np.float64]


def splines(x: Array, y: Array) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """Interpolating splines of the points ``(n, d)`` and values ``(n,)``, by name."""
    if x.shape[1] > 1:
        for kernel in ("thin_plate_spline", "cubic"):
            yield kernel, RBFInterpolator(x, y, neighbors=60, kernel=kernel)
        return
    order = np.argsort(x[:, 0])
    for degree in (1, 3, 5):
        yield f"degree {degree}", make_interp_spline(x[order, 0], y[order], degree)


def main() -> None:
    for name in SHARP:
        data = SharpData(name)
        (x, y), (test, u) = (
            [t.double().numpy() for t in data.build(part)] for part in ("train", "test")
        )
        if test.shape[1] > 1:
            some = np.random.default_rng(0).permutation(len(test))[:20_000]
            test, u = test[some], u[some]
        errors = {
            kind: np.linalg.norm(spline(test).reshape(-1) - u[:, 0]) / np.linalg.norm(u)
            for kind, spline in splines(x, y[:, 0])
        }
        kind = min(errors, key=lambda each: errors[each])
        print(f"| {name} | {SHARP[name].formula} | {errors[kind]:.1e} | {kind} |", flush=True)


if __name__ == "__main__":
    main()
