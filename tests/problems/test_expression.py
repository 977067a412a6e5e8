"""A formula says what NumPy says, is differentiable, and runs nothing that a user has typed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kanlit.errors import ConfigurationError
from kanlit.problems import Expression
from kanlit.problems.expression_syntax import CONSTANTS, FUNCTIONS

LEAVES = st.sampled_from(["x", "z", "x1", "e", "pi", "2", "0.5", "1e-1", "3.25", "17"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/"])
    functions = st.sampled_from(["sin", "cos", "tanh", "arctan", "abs", "arcsinh"])
    return st.one_of(
        st.tuples(inner, operators, inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-{}".format),
        st.tuples(inner, st.sampled_from(["2", "3"])).map(lambda pair: "({})**{}".format(*pair)),
        st.tuples(functions, inner).map(lambda pair: "{}({})".format(*pair)),
        inner.map("exp(-abs({}))".format),
        inner.map("sqrt(abs({}) + 1)".format),
    )


@settings(max_examples=150, deadline=None)
@given(st.recursive(LEAVES, _grown, max_leaves=12))
def test_a_formula_gives_what_numpy_gives(text: str) -> None:
    text = f"{text} + 0*x"  # with a variable in it, always
    formula = Expression.parse(f"y = {text}")
    generator = torch.Generator().manual_seed(0)
    x = 4 * torch.rand(20, len(formula.variables), generator=generator).double() - 2
    columns = dict(zip(formula.variables, x.T.numpy(), strict=True))
    names: dict[str, Any] = {**CONSTANTS, **columns, "abs": np.abs}
    names |= {name: getattr(np, name) for name in ("sin", "cos", "tanh", "arctan", "arcsinh")}
    with np.errstate(all="ignore"):
        # Constants alone divide by zero with an error in Python, by inf in NumPy.
        names |= {"exp": np.exp, "sqrt": np.sqrt}
        try:
            expected = eval(text, {"__builtins__": {}}, names)
        except (ZeroDivisionError, OverflowError):
            return
    finite = np.isfinite(expected) & (np.abs(expected) < 1e12)
    got = formula(x)[:, 0].numpy()
    np.testing.assert_allclose(got[finite], expected[finite], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("erf", "ln")])
def test_each_function_is_numpy_s_of_that_name(name: str) -> None:
    low = {"acosh": 1.1, "arccosh": 1.1}.get(name, 0.05)
    x = torch.linspace(low, low + 0.9, 11, dtype=torch.float64).unsqueeze(1)
    reference = getattr(np, name)(x.numpy())
    np.testing.assert_allclose(Expression.parse(f"{name}(x)")(x).numpy(), reference, rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-x**2", -9.0),
        ("2**-x", 0.125),
        ("x**2**0.5", 3.0 ** (2**0.5)),
        ("x/3/3", 1 / 3),
        ("1 - x - 1", -3.0),
        ("+x", 3.0),
        ("ln(e**x)", 3.0),
        ("0x10 + 1_000*x", 3016.0),
        ("(-x)**3", -27.0),
    ],
)
def test_precedence_is_that_of_python(text: str, value: float) -> None:
    (got,) = Expression.parse(text)(torch.tensor([[3.0]], dtype=torch.float64))
    assert float(got) == pytest.approx(value, rel=1e-12)


def test_names_and_sides() -> None:
    formula = Expression.parse("  height =\n sin(3*b)*exp(-a) + b*pi  ")
    assert formula.text == "height = sin(3*b)*exp(-a) + b*pi"
    assert formula.target == "height"
    assert formula.variables == ("b", "a")
    assert Expression.parse("x*1").target == "y"


@pytest.mark.parametrize(
    "text", ["sin(3*x)*exp(-z)", "x**2/(1 + z**2)", "abs(x)**1.5 + z", "log(2 + x)**z", "x**0 + z"]
)
def test_gradients_of_a_formula_are_exact(text: str) -> None:
    formula = Expression.parse(text)
    x = torch.rand(6, 2, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(formula, (x,))
    torch.autograd.gradgradcheck(formula, (x,))


def test_values_have_the_type_of_the_points() -> None:
    formula = Expression.parse("2*x + pi")
    for dtype in (torch.float32, torch.float64):
        assert formula(torch.ones(4, 1, dtype=dtype)).dtype == dtype


def test_a_formula_can_be_sent_to_another_process() -> None:
    formula = Expression.parse("sin(x)*z")
    x = torch.rand(5, 2)
    assert torch.equal(pickle.loads(pickle.dumps(formula))(x), formula(x))


def test_the_part_that_is_not_finite_is_the_innermost() -> None:
    formula = Expression.parse("y = 1 + x*log(x - 2) / sqrt(x)")
    assert formula.part_not_finite(torch.tensor([1.0])) == "log(x - 2)"
    assert formula.part_not_finite(torch.tensor([3.0])) is None


REFUSED = [
    ("", "is empty"),
    ("  \n ", "is empty"),
    ("y = ", "invalid syntax at character"),
    ("y = sin(x", r"'\(' was never closed at character 8"),
    ("y = 2x", "invalid decimal literal"),
    ("y = x +* 2", "invalid syntax at character 8"),
    ("y = x; z = x", "2 statements"),
    ("y = z = x", "more than one ="),
    ("y + 1 = x", "cannot assign to expression"),
    ("y, z = x", "left side of = must be a name"),
    ("sin = x", "sin on the left side has a meaning"),
    ("y = 3 + pi", "has no variable"),
    ("y = y + x", "has y on both sides"),
    ("y + x", "has y as a variable and no left side"),
    ("y = sine(x)", "character 5: unknown function 'sine': did you mean 'sin'"),
    ("y = sin*x", r"sin is a function: write sin\(…\)"),
    ("y = sin(x, z)", "sin takes one argument, got 2"),
    ("y = sin()", "sin takes one argument, got 0"),
    ("y = sin(input=x)", "sin takes no argument by keyword"),
    ("y = sin(*x)", "character 9: an argument with a star"),
    ("y = 3(x + 1)", r"character 5: a number is no function: write \*"),
    ("y = (x + 1)(x - 1)", r"a number is no function: write \*"),
    ("y = x^2", r"\^ is not allowed: write \*\* for powers"),
    ("y = x % 2", "character 5: % is not allowed"),
    ("y = x // 2", "// is not allowed"),
    ("y = x @ x", "@ is not allowed"),
    ("y = ~x", "Invert is not allowed"),
    ("y = not x", "Not is not allowed"),
    ("y = x > 0", "a comparison is not allowed"),
    ("y == x", "a comparison is not allowed"),
    ("y = x and z", "and / or is not allowed"),
    ("y = x if z else 1", "if … else is not allowed"),
    ("y = x.real", r"character 5: access to an attribute \(a dot\) is not allowed"),
    ("y = x[0]", "an index in brackets is not allowed"),
    ("y = [x]", "a list is not allowed"),
    ("y = [a for a in x]", "a comprehension is not allowed"),
    ("y = sin(a for a in x)", "a comprehension is not allowed"),
    ("y = {x}", "a set is not allowed"),
    ("y = {x: 1}", "a dict is not allowed"),
    ("y = 0,5*x", "a comma is not allowed: write decimals with a point"),
    ("y = lambda x: x", "a lambda is not allowed"),
    ("y = (z := x)", ":= is not allowed"),
    ("y = 'x'", "text is not allowed"),
    ("y = b'x'", "text is not allowed"),
    ("y = f'{x}'", "text is not allowed"),
    ("y = True*x", "True is not a real number"),
    ("y = None", "None is not a real number"),
    ("y = 3j*x", "3j is not a real number"),
    ("y = ...", "Ellipsis is not a real number"),
    ("y = 1e999*x", "beyond float64"),
    ("y = x*1" + "0" * 400, "beyond float64"),
    ("import os", "an import is not allowed"),
    ("from os import system", "an import is not allowed"),
    ("del x", "del is not allowed"),
    ("y += x", "an assignment with an operator"),
    ("y: float = x", "an annotation"),
    ("def f(): pass", "a def is not allowed"),
    ("y = await x", "Await is not allowed"),
    ("y = (yield x)", "Yield is not allowed"),
    ("y = x\0", "null bytes"),
    ("exec('touch pwned')", "unknown function 'exec'"),
    ("eval(x)", "unknown function 'eval'"),
    ("y = __import__('os').system('touch pwned')", "access to an attribute"),
    ("y = ().__class__.__bases__", "access to an attribute"),
    ("y = getattr(x, 'a')", "unknown function 'getattr'"),
    ("y = " + "(" * 900 + "x" + ")" * 900, "too many nested parentheses"),
    ("y = " + "(" * 5000 + "x" + ")" * 5000, "has 10005 characters, more than 2000"),
    ("y = " + "-" * 1900 + "x", "more than 100 expressions inside one another"),
    ("y = " + "+".join(["x"] * 900), "more than 100 expressions"),
    ("y = x" + "**2" * 600, "more than 100 expressions|characters"),
    ("y = " + "9**" * 150 + "x", "more than 100 expressions"),
    ("y = " + "not " * 400 + "x", "more than 100 expressions"),
    ("y = " + "x if x else " * 150 + "x", "more than 100 expressions"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text[:40] for text, _ in REFUSED])
def test_what_is_no_formula_is_refused_in_one_line_and_not_run(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=message) as caught:
        Expression.parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not list(tmp_path.iterdir())


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="xyz()+-*/=.,'\"[]{}:;0123456789_ \n\\#@lambdsinexp", max_size=60))
def test_any_text_is_a_formula_or_refused(text: str) -> None:
    said = ""
    try:
        formula = Expression.parse(text)
    except ConfigurationError as error:
        said = str(error)
    else:
        formula(torch.zeros(2, len(formula.variables)))
    assert "\n" not in said


def test_a_tower_of_powers_ends_at_infinity_at_once() -> None:
    formula = Expression.parse("y = 9**9**9**9 + x")
    assert formula(torch.zeros(2, 1, dtype=torch.float64)).isinf().all()
    assert formula.part_not_finite(torch.zeros(1).double()) == "9**9**9"
