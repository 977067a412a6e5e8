"""A curve that is a function of the library is found with its constants."""

from __future__ import annotations

import numpy as np
import pytest
import sympy

from kanlit.symbolic import LIBRARY, Candidate, CurveFit, fit_curve
from kanlit.symbolic.fit import fit_together

# a and b that keep samples in [-1.2, 2] where each kind of function holds
CONSTANTS = {
    "none": (1.0, 0.0),
    "shift": (1.0, 0.4),
    "pole": (1.3, 2.0),
    "rate": (0.7, 0.0),
    "wave": (3.3, 0.5),
    "bump": (1.7, 0.3),
    "interval": (0.4, 0.1),
}
SAMPLES = np.sort(np.random.default_rng(0).uniform(-1.2, 2, 300))
X = sympy.Symbol("x", real=True)


@pytest.mark.parametrize("candidate", LIBRARY.values(), ids=LIBRARY)
def test_each_function_is_recovered_from_its_own_samples(candidate: Candidate) -> None:
    a, b = CONSTANTS[candidate.search]
    curve = 2.5 * candidate.values(a * SAMPLES + b) - 1

    best = fit_curve(SAMPLES, curve)[0]

    assert best.candidate is candidate
    assert best.r2 > 1 - 1e-9
    between = SAMPLES[:-1] + np.diff(SAMPLES) / 2
    np.testing.assert_allclose(
        best(between), 2.5 * candidate.values(a * between + b) - 1, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("candidate", LIBRARY.values(), ids=LIBRARY)
def test_the_expression_of_a_fit_is_the_fit(candidate: Candidate) -> None:
    a, b = CONSTANTS[candidate.search]
    curve = 2.5 * candidate.values(a * SAMPLES + b) - 1
    (fit,) = fit_curve(SAMPLES, curve, [candidate])

    values = sympy.lambdify(X, fit.applied(X), "numpy")(SAMPLES)

    np.testing.assert_allclose(values, fit(SAMPLES), rtol=1e-7, atol=1e-7)


def test_a_constant_curve_has_no_fit() -> None:
    assert fit_curve(SAMPLES, np.ones_like(SAMPLES)) == []


def test_curves_fitted_together_share_their_argument() -> None:
    sine = LIBRARY["sin"]
    curves = np.stack([np.sin(2 * SAMPLES + 0.3), 3 - 2 * np.sin(2 * SAMPLES + 0.3)], axis=1)
    alone = [fit_curve(SAMPLES, curve, [sine])[0] for curve in curves.T]

    first, second = fit_together(alone, SAMPLES, curves)

    assert first.constants[:2] == second.constants[:2]
    assert min(first.r2, second.r2) > 1 - 1e-9


def test_fits_at_the_edge_of_a_domain_are_kept() -> None:
    # The logarithm of x - 1 + 1e-12: finite on all samples, but not after a small step of b.
    x = np.linspace(1, 2, 50)
    curves = np.log(x[:, None] + [[-1 + 1e-12, -0.9]])
    alone = [CurveFit(LIBRARY["log"], (1.0, -1 + 1e-12, 1.0, 0.0), 1.0) for _ in range(2)]
    assert all(np.isfinite(fit.r2) for fit in fit_together(alone, x, curves))
