"""The unknown coefficients of an equation as parameters of a module."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kanlit.optim.uncertainty import Spread
from kanlit.problems.unknown import Unknown

__all__ = ["Coefficients", "Estimate"]

_QUANTILE = 1.959964  # of the normal distribution, at 97.5 %
_FEW = 10  # observations beyond the effective parameters


class Estimate(NamedTuple):
    """A coefficient and what is known of it.

    Attributes:
        value: Its value.
        error: Its standard error; None if it is not known.
    """

    value: float
    error: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of the interval that contains it with a probability of 95 %."""
        if self.error is None:
            return None
        return self.value - _QUANTILE * self.error, self.value + _QUANTILE * self.error


class Coefficients(nn.Module):
    """One parameter θ per unknown coefficient, 0 at the start.

    They are the weights of a linear layer on a column of ones: the optimizer that needs a Jacobian
    then gets theirs from the same backward pass as that of the network.

    Args:
        count: Number of coefficients.

    Attributes:
        unknowns: The coefficients by name; empty until they are known.
        spread: How well the observations determine them; None if it was not computed for these
            values.
        note: Why that is not known, or means little; empty if neither.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.theta = nn.Linear(1, count, bias=False)
        nn.init.zeros_(self.theta.weight)
        self.unknowns: dict[str, Unknown] = {}
        self.spread: Spread | None = None
        self.note = ""

    def columns(self, x: Tensor) -> dict[str, Tensor]:
        """The coefficients ``(n, 1)`` at points ``(n, d)``, by name."""
        each = self.theta(x.new_ones(len(x), 1)).split(1, 1)
        return {
            name: unknown.at(theta)
            for (name, unknown), theta in zip(self.unknowns.items(), each, strict=True)
        }

    def estimates(self) -> dict[str, Estimate]:
        """Values and standard errors by name, in float64."""
        theta = self.theta.weight.detach().double().cpu()[:, 0]
        found = {}
        for number, (name, unknown) in enumerate(self.unknowns.items()):
            point = theta[number].clone().requires_grad_()
            with torch.enable_grad():
                value = unknown.at(point)
                (slope,) = torch.autograd.grad(value, point)
            error = None
            if self.is_known(number):
                assert self.spread is not None
                error = abs(float(slope)) * self.spread.deviations[number]
            found[name] = Estimate(float(value.detach()), error)
        return found

    def is_known(self, number: int) -> bool:
        """Whether a standard error is known of a coefficient, counted from 0."""
        return (
            self.spread is not None
            and self.spread.determined[number]
            and math.isfinite(self.spread.noise)
        )

    def set_spread(
        self, spread: Spread | None, note: str = "", signs_of_misfit: Sequence[str] = ()
    ) -> None:
        """Sets what is known of the present values.

        Args:
            spread: From :func:`~kanlit.optim.uncertainty.spread_of_parameter`; None if unknown.
            note: Why it is unknown.
            signs_of_misfit: From :func:`~kanlit.modules.misfit.signs_of_misfit`.
        """
        self.spread, self.note = spread, note
        if signs_of_misfit:
            self.note = (
                f"they mean nothing, for the solution does not fit the observations "
                f"({'; '.join(signs_of_misfit)}): a poor minimum, or a wrong equation. Train from "
                f"another seed, and adapt the grids"
            )
            return
        if spread is None:
            return
        undetermined = [
            n for n, known in zip(self.unknowns, spread.determined, strict=True) if not known
        ]
        beyond = spread.rows - spread.freedom
        if undetermined:
            self.note = (
                f"{', '.join(undetermined)}: not determined by the observations (the Jacobian is "
                f"rank deficient): no standard error"
            )
        elif beyond < _FEW:
            self.note = (
                f"{spread.rows} observations for {spread.freedom:.1f} effective parameters are too "
                f"few for a reliable standard error"
            )

    def lines(self) -> Iterator[str]:
        """A line for each coefficient, the misfit, and what limits their standard errors."""
        for name, each in self.estimates().items():
            line = f"{name}: {each.value:.6g}"
            if each.error is not None and each.interval is not None:
                ends = "{:.6g} to {:.6g}".format(*each.interval)
                line += f" ± {each.error:.2g} (standard error; 95 % interval {ends})"
            yield line
        if self.spread is not None:
            noise, rows = self.spread.noise, self.spread.rows
            yield f"misfit: {noise:.3g} (of {rows} observations, per degree of freedom)"
        if self.note:
            yield f"standard errors: {self.note}"

    def values(self) -> dict[str, Any]:
        """The same as plain values."""
        listed = {
            name: {"value": each.value, "standard_error": each.error, "interval": each.interval}
            for name, each in self.estimates().items()
        }
        spread = self.spread
        misfit = None if spread is None or not math.isfinite(spread.noise) else spread.noise
        return {"coefficients": listed, "misfit": misfit, "note": self.note or None}

    @property
    def starts(self) -> dict[str, list[float]]:
        """Start and bounds of each coefficient by name."""
        return {
            name: [float(u.value), float(u.low), float(u.high)] for name, u in self.unknowns.items()
        }

    def record(self) -> dict[str, Any]:
        """What a checkpoint holds besides θ, as plain values."""
        spread = None if self.spread is None else self.spread._asdict()
        return {"unknowns": self.starts, "spread": spread, "note": self.note}

    def restore(self, record: Mapping[str, Any]) -> None:
        """The inverse of :meth:`record`, whose result has been vetted."""
        self.unknowns = {name: Unknown(*numbers) for name, numbers in record["unknowns"].items()}
        spread = record["spread"]
        self.spread, self.note = None if spread is None else Spread(**spread), record["note"]
