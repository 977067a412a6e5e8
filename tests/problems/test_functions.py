"""Laws of every target function, and values against formulas typed anew."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import sympy
import torch
from sympy.parsing.sympy_parser import (
    function_exponentiation,
    implicit_multiplication,
    parse_expr,
    standard_transformations,
)

from kanlit.problems import FEYNMAN, SHARP, SYNTHETIC, Helmholtz, TargetFunction, grid_points
from kanlit.problems.functions.target import uniform_points

e, pi, sin, cos, tanh, sqrt = math.exp, math.pi, math.sin, math.cos, math.tanh, math.sqrt

# The oracle: plain Python, one number at a time.
ORACLE: dict[str, Callable[..., float]] = {
    "f1": lambda a, b: (
        100 * e(-100 * ((a - 0.3) ** 2 + (b - 0.7) ** 2)) + 5 * sin(2 * pi * a) * cos(2 * pi * b)
    ),
    "f2": lambda a: tanh(50 * a),
    "f3": lambda a, b: (
        50 * e(-80 * ((a - 0.2) ** 2 + (b - 0.2) ** 2))
        + 30 * e(-60 * ((a - 0.8) ** 2 + (b - 0.3) ** 2))
        + 80 * e(-100 * ((a - 0.5) ** 2 + (b - 0.8) ** 2))
    ),
    "f4": lambda a: 1 / (1 + 25 * a * a),
    "f5": lambda a: sin(10 * pi * a * a),
    "f6": lambda a: a - e(-50 * (1 - a)),
    "f7": lambda a, b: sqrt(a * a + b * b + 0.01),
    "f8": lambda a: tanh(30 * a) + tanh(30 * (a - 1)),
    "f9": lambda a, b, c, d, f, g: sin(pi * a * b) + cos(pi * c * d) + f * g,
    "f10": lambda *x: 10 * e(-20 * sum((v - sum(x) / 4) ** 2 for v in x)),
    "gaussian": lambda a: e(-200 * a * a),
    "peaks": lambda a: e(-10000 * (a - 0.3) ** 2) + e(-1000000 * (a - 0.7) ** 2),
    "kink": lambda a: max(a - 0.3, 0.3 - a),
    "jump": lambda a: tanh(1000 * a - 300),
    "doppler": lambda a: sqrt(a - a * a) * sin(2.1 * pi / (a + 0.05)),
    "layer": lambda a: a - e(1000 * a - 1000),
    "front": lambda a, b: tanh(50 * b - 25 - 12.5 * sin(2 * pi * a)),
    "ring": lambda a, b: e(-2500 * (math.hypot(a, b) - 0.5) ** 2),
    "ridge": lambda a, b, c, d: e(-400 * (a + b + c + d - 2) ** 2),
    "feynman1": lambda a, b, c: e(-((a - b) ** 2) / (2 * c * c)) / sqrt(2 * pi * c * c),
    "feynman2": lambda a, b: 1 + a * sin(b),
    "feynman3": lambda a, b: a * (1 / b - 1),
    "feynman4": lambda a, b: (a + b) / (1 + a * b),
    "feynman5": lambda a, b: (1 + a * b) / (1 + a),
    "feynman6": lambda a, b: 1 / (1 + a * b),
    "feynman7": lambda a, b, c: sqrt(1 + a * a - 2 * a * cos(b - c)),
    "feynman8": lambda a, b: sin(a * b / 2) ** 2 / sin(b / 2) ** 2,
    "feynman9": lambda a, b: a * e(-b),
    "feynman10": lambda a, b: (a - 1) * b,
    "feynman11": lambda a, b, c: c * sqrt(a * a + b * b) / (4 * pi),
    "feynman12": lambda a, b, c: a * (1 + b * cos(c)),
    "feynman13": lambda a, b: a / (e(b) + e(-b)),
    "feynman14": lambda a, b, c: a + b * c,
    "feynman15": lambda a, b, c: b * (1 + a * cos(c)),
    "helmholtz_2_4": lambda a, b: sin(2 * pi * a) * sin(4 * pi * b),
}

BY_HAND = {  # a point, its value to the digits given
    "f1": ((0.3, 0.7), 98.5305),
    "f2": ((0.01,), 0.4621172),
    "f3": ((0.5, 0.8), 80.0),
    "f4": ((0.2,), 0.5),
    "f5": ((1 / sqrt(20),), 1.0),
    "f6": ((1.0,), 0.0),
    "f7": ((0.0, 0.0), 0.1),
    "f8": ((0.5,), 0.0),
    "f9": ((1.0, 0.5, 1.0, 1.0, 0.5, 0.5), 0.25),
    "f10": ((1.0, 1.0, 0.0, 0.0), 10 * 2.0611536e-9),
    "gaussian": ((0.1,), 0.1353353),
    "peaks": ((0.31,), 0.3678794),
    "kink": ((0.1,), 0.2),
    "jump": ((0.301,), 0.7615942),
    "doppler": ((0.55,), -0.4974937),
    "layer": ((1.0,), 0.0),
    "front": ((0.25, 0.77), 0.7615942),
    "ring": ((0.3, 0.4), 1.0),
    "ridge": ((0.5, 0.5, 0.5, 0.55), 0.3678794),
    "feynman1": ((0.5, 0.5, 1.0), 0.3989423),
    "feynman2": ((1.0, 1.0), 1.8414710),
    "feynman3": ((1.0, 0.5), 1.0),
    "feynman4": ((0.5, 0.5), 0.8),
    "feynman5": ((1.0, 1.0), 1.0),
    "feynman6": ((1.0, 1.0), 0.5),
    "feynman7": ((0.5, 0.3, 0.3), 0.5),
    "feynman8": ((1.0, 0.7), 1.0),
    "feynman9": ((1.0, 1.0), 0.3678794),
    "feynman10": ((0.5, 1.0), -0.5),
    "feynman11": ((0.6, 0.8, 1.0), 0.0795775),
    "feynman12": ((0.5, 1.0, 0.0), 1.0),
    "feynman13": ((1.0, 0.0), 0.5),
    "feynman14": ((0.5, 0.5, 0.5), 0.75),
    "feynman15": ((1.0, 0.5, 0.0), 1.0),
    "helmholtz_2_4": ((0.25, 0.125), 1.0),
}

TARGETS = [*SYNTHETIC.values(), *SHARP.values(), *FEYNMAN.values(), Helmholtz(2, 4, 1.0).target]
each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


def _some_points(target: TargetFunction, count: int = 300) -> torch.Tensor:
    return uniform_points(target.bounds, count, torch.Generator().manual_seed(1))


def test_registries_hold_the_paper_s_functions_and_no_others() -> None:
    assert list(SYNTHETIC) == [f"f{number}" for number in range(1, 11)] + ["gaussian"]
    assert list(FEYNMAN) == list(range(1, 16))
    assert {target.name for target in TARGETS} == set(ORACLE) == set(BY_HAND)


@each_target
def test_values_agree_with_the_formula_typed_separately(target: TargetFunction) -> None:
    x = _some_points(target)
    expected = torch.tensor(
        [ORACLE[target.name](*point) for point in x.tolist()], dtype=torch.float64
    )
    torch.testing.assert_close(target(x)[:, 0], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "target", [*SYNTHETIC.values(), *SHARP.values(), *FEYNMAN.values()], ids=lambda t: t.name
)
def test_values_agree_with_the_formula_that_the_pages_show(target: TargetFunction) -> None:
    names = [f"x{number}" for number in range(1, target.dim + 1)]
    mean = f"(({' + '.join(names)}) / {target.dim})"
    summed = " + ".join(f"({name} - {mean})²" for name in names)
    text = target.formula.replace("Σ_i (x_i - mean(x))²", f"({summed})")
    text = text.replace("|x1 - 0.3|", "Abs(x1 - 0.3)").replace("²", "**2").replace("π", " pi ")
    written = (*standard_transformations, function_exponentiation, implicit_multiplication)
    formula = parse_expr(text, transformations=written, evaluate=False)
    x = _some_points(target, 100)
    values = sympy.lambdify(sympy.symbols(names), formula, "numpy")(*x.T.numpy())
    torch.testing.assert_close(target(x)[:, 0], torch.as_tensor(values), rtol=1e-9, atol=1e-12)


@each_target
def test_value_computed_by_hand_is_met(target: TargetFunction) -> None:
    point, value = BY_HAND[target.name]
    result = float(target(torch.tensor([point], dtype=torch.float64)))
    assert result == pytest.approx(value, rel=1e-5, abs=1e-12)


@each_target
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_finite_on_a_grid_with_the_ends_of_the_box(
    target: TargetFunction, dtype: torch.dtype
) -> None:
    # None of the formulas is singular in its box: Feynman's ends before -1 and moves zeros away.
    per_axis = {1: 1001, 2: 101, 3: 21, 4: 9, 6: 5}[target.dim]
    y = target(grid_points(target.bounds, per_axis, dtype))
    assert bool(y.isfinite().all())


@each_target
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_type_and_number_of_points_are_kept(target: TargetFunction, dtype: torch.dtype) -> None:
    y = target(_some_points(target, 7).to(dtype))
    assert y.dtype == dtype
    assert y.shape == (7, 1)


@each_target
def test_points_of_another_dimension_are_refused(target: TargetFunction) -> None:
    with pytest.raises(ValueError, match=target.name):
        target(torch.zeros(3, target.dim + 1))


def test_feynman_inputs_near_zero_are_moved_to_a_millionth_with_their_sign() -> None:
    reciprocal = FEYNMAN[3]  # x1 (1/x2 - 1)
    near = torch.tensor([0.0, -0.0, 1e-9, -1e-9, 1e-6, -1e-6], dtype=torch.float64)
    y = reciprocal(torch.stack([torch.ones_like(near), near], 1))[:, 0]
    expected = torch.tensor([1e6, 1e6, 1e6, -1e6, 1e6, -1e6], dtype=torch.float64) - 1
    torch.testing.assert_close(y, expected)


def test_feynman_law_of_cosines_keeps_its_digits_where_it_is_small() -> None:
    distance = torch.logspace(-9, -3, 50, dtype=torch.float64)
    x1, third = 1 - distance, torch.full_like(distance, 1 / 3)
    y = FEYNMAN[7](torch.stack([x1, third, third], 1))[:, 0]
    torch.testing.assert_close(y, 1 - x1, rtol=1e-12, atol=0)
