"""The output of ``kanlit formula``: text, LaTeX and JSON, with errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy
from torch import Tensor

from kanlit.metrics import RelativeL2Error
from kanlit.symbolic import Edge, Formula
from kanlit.symbolic.compose import SplineEdge

__all__ = ["FormulaReport", "FormulaSamples", "latex_of"]


@dataclass(frozen=True)
class FormulaSamples:
    """Samples for fitting and testing; ``exact`` is False if y are outputs of the network."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor
    inputs: list[str]
    targets: list[str]
    exact: bool


@dataclass(frozen=True)
class FormulaReport:
    """Describes a formula as text, LaTeX and JSON."""

    formula: Formula
    data: FormulaSamples
    predicted: Tensor
    r2: float

    def text(self, latex: bool) -> str:
        lines = []
        for name, output in zip(self.data.targets, self.formula.outputs, strict=True):
            lines.append(f"{name} = {sympy.sstr(_rounded(output.expression))}")
            if latex:
                lines.append(f"LaTeX: {latex_of(name, output.expression)}")
        of, error = self.errors()
        lines.append(f"relative L2 {of}: formula {error['formula']:.3e}" + self._beside(error))
        lines += [self._spline(edge) for edge in self.formula.splines]
        if zero := [edge.name for edge in self.formula.edges if edge.negligible]:
            lines.append(f"negligible, replaced by constants: {', '.join(zero)}")
        return "\n".join(lines)

    def _beside(self, error: dict[str, float]) -> str:
        return f", network {error['network']:.3e}" if "network" in error else ""

    def _spline(self, edge: Edge) -> str:
        layer, p, q = edge.place
        return (
            f"remains a spline: {edge.name}, layer {layer}, input {p} to output {q}: no function "
            f"reaches R² {self.r2:g}, the best has {edge.best_r2:.4f}"
        )

    def errors(self) -> tuple[str, dict[str, float]]:
        """What the errors refer to, and the relative L2 errors."""
        values = self.formula(self.data.test_x)
        if not self.data.exact:
            return "to the network", {"formula": _error(values, self.predicted)}
        return "on the test data", {
            "formula": _error(values, self.data.test_y),
            "network": _error(self.predicted, self.data.test_y),
        }

    def json(self) -> dict[str, Any]:
        of, error = self.errors()
        taken = {
            id(edge): output.choice[edge.place].candidate.name
            for output in self.formula.outputs
            for edge in output.edges
            if edge.place in output.choice
        }
        return {
            "outputs": [
                {
                    "name": name,
                    "formula": sympy.sstr(output.expression, full_prec=True),
                    "latex": latex_of(name, output.expression),
                }
                for name, output in zip(self.data.targets, self.formula.outputs, strict=True)
            ],
            "relative_l2": error,
            "measured": of,
            "edges": [
                {
                    "layer": edge.place[0],
                    "input": edge.place[1],
                    "output": edge.place[2],
                    "name": edge.name,
                    "function": "constant" if edge.negligible else taken.get(id(edge), "spline"),
                    "fits": [
                        {
                            "function": fit.candidate.name,
                            "constants": list(fit.constants),
                            "r2": fit.r2,
                            "complexity": fit.candidate.complexity,
                        }
                        for fit in edge.fits
                    ],
                }
                for edge in self.formula.edges
            ],
        }


def _error(values: Tensor, targets: Tensor) -> float:
    metric = RelativeL2Error(targets.shape[1])
    metric.update(values, targets)
    return float(metric.compute())


def _rounded(expression: sympy.Expr) -> sympy.Expr:
    """Rounds decimals to six digits."""
    return expression.xreplace({f: sympy.Float(f, 6) for f in expression.atoms(sympy.Float)})


def latex_of(name: str, expression: sympy.Expr) -> str:
    """The equation of the output ``name``."""
    shown = _rounded(expression).replace(
        lambda node: isinstance(node, SplineEdge),
        lambda node: sympy.Function(_phi(node.func.__name__))(*node.args),
    )
    return f"{sympy.latex(sympy.Symbol(name))} = {sympy.latex(shown)}"


def _phi(name: str) -> str:
    """φ with its three numbers as indices, in LaTeX."""
    return "\\varphi_{" + ",".join(name.split("_")[1:]) + "}"
