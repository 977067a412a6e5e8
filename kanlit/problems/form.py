"""What an equation puts around its network: inputs made of coordinates, and an ansatz."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from kanlit.errors import ConfigurationError
from kanlit.problems.circle import Circle
from kanlit.problems.columns import as_columns, first_place
from kanlit.problems.domains import Domain
from kanlit.problems.equation_domain import domain_of
from kanlit.problems.equations.base import Equation
from kanlit.problems.functions.target import Bounds, grid_points
from kanlit.problems.names import Vocabulary

__all__ = ["SolutionForm"]

_POINTS = 1024  # about as many points of the domain are checked
_GRIDDED = 10  # coordinates up to which they form a grid
_TOLERANCE = 1e-9  # relative, for rounding


class SolutionForm:
    r"""The functions E and A of an equation around the network N.

    .. math:: u(x) = A\big(N(E(x)), x\big)

    E is the equation's ``inputs``, or follows from ``periodic``; A is its ``ansatz``. Both take and
    return columns ``(n, 1)``, which are tensors, or jets for exact derivatives.

    Args:
        equation: The equation, with valid coordinates, unknowns and bounds.
        vocabulary: Its names.

    Attributes:
        inputs: Names of the network's inputs.
        circles: The periodic coordinates by name.
        ansatz_names: Names of the parameters of A.

    Raises:
        ConfigurationError: A period is invalid, or a function has an unknown parameter, or returns
            what is no column.
    """

    def __init__(self, equation: Equation, vocabulary: Vocabulary) -> None:
        self._owner = type(equation).__name__
        self._equation = equation
        self._domain = domain_of(equation)
        self.circles = _circles(self._owner, equation, self._domain.bounds)
        self._embed: Any = getattr(equation, "inputs", None)
        self._ansatz: Any = getattr(equation, "ansatz", None)
        self._embed_label = f"inputs of {self._owner}"
        self._ansatz_label = f"ansatz of {self._owner}"
        if self._embed is not None:
            if self.circles:
                raise ConfigurationError(
                    f"{self._owner} has both inputs and periodic: put the cosine and sine into "
                    f"inputs, and remove periodic"
                )
            self._embed_names = vocabulary.plain_names(self._embed, self._embed_label, False)
        self.ansatz_names: list[str] = []
        if self._ansatz is not None:
            self.ansatz_names = vocabulary.plain_names(self._ansatz, self._ansatz_label)
        corners = torch.tensor(self._domain.bounds, dtype=torch.float64).T
        named = self._named(list(corners.split(1, 1)))
        for name, values in named.items():
            as_columns(values, len(corners), 1, f"{name} in {self._embed_label}")
        self.inputs = tuple(named)

    @property
    def is_plain(self) -> bool:
        """Whether the network maps the coordinates to the unknowns themselves."""
        return not self.embeds and self._ansatz is None

    @property
    def embeds(self) -> bool:
        """Whether the network's inputs are other than the coordinates."""
        return self._embed is not None or bool(self.circles)

    def embedded(self, columns: Sequence[Any]) -> list[Any]:
        """E: the network's inputs for the coordinates."""
        return list(self._named(columns).values()) if self.embeds else list(columns)

    def column_of(self, axis: int) -> int | None:
        """Index of the network's input that is this coordinate itself; None if there is none."""
        x = _drawn(self._domain)
        columns = enumerate(self.embedded(x.split(1, 1)))
        return next((k for k, each in columns if torch.equal(each, x[:, axis : axis + 1])), None)

    def inputs_of(self, axes: Collection[int]) -> Tensor:
        """Which of the network's inputs depend on these coordinates alone, bool ``(in,)``."""
        x, other = _drawn(self._domain), _drawn(self._domain).flip(0)
        kept = torch.tensor([axis in axes for axis in range(x.shape[1])])
        one, same = (self.embedded(p.split(1, 1)) for p in (x, torch.where(kept, x, other)))
        return torch.tensor([torch.equal(a, b) for a, b in zip(one, same, strict=True)])

    def completed(self, raw: Sequence[Any], columns: Sequence[Any]) -> list[Any]:
        """A: the unknowns for the network's outputs and the coordinates."""
        if self._ansatz is None:
            return list(raw)
        return self._completed(
            raw,
            [
                self.circles[name].position(column) if name in self.circles else column
                for name, column in zip(self._equation.variables, columns, strict=True)
            ],
        )

    def _completed(self, raw: Sequence[Any], columns: Sequence[Any]) -> list[Any]:
        unknowns = self._equation.unknowns
        by_name = dict(zip(self._equation.variables, columns, strict=True))
        by_name |= dict(zip(unknowns, raw, strict=True))
        found = self._ansatz(*(by_name[name] for name in self.ansatz_names))
        if not isinstance(found, Mapping):
            if len(unknowns) > 1:
                raise ConfigurationError(
                    f"{self._ansatz_label} returned one of {len(unknowns)} unknowns: return a dict "
                    f"by name, such as {{{unknowns[0]!r}: …}}"
                )
            found = {unknowns[0]: found}
        for name in found:
            if name not in unknowns:
                raise ConfigurationError(
                    f"{self._ansatz_label} returned {name!r}, which is no unknown: return a dict "
                    f"with {', '.join(unknowns)}"
                )
        return [_column(found[name]) if name in found else by_name[name] for name in unknowns]

    @torch.no_grad()
    def check(self, network: Callable[[Tensor], Tensor]) -> None:
        """Raises if E or A is not finite somewhere in the domain, or A not periodic as x is.

        Args:
            network: N, any network that is finite, in float64.

        Raises:
            ConfigurationError: With the first such place; or A returned what is no column.
        """
        names, bounds = self._equation.variables, self._domain.bounds
        each = max(2, int(_POINTS ** (1 / len(bounds))))
        gridded = len(bounds) <= _GRIDDED and not self._domain.dim
        points = grid_points(bounds, each) if gridded else _drawn(self._domain)
        inputs = torch.cat(self.embedded(points.split(1, 1)), 1)
        raw = network(inputs).split(1, 1)
        completed = zip(
            self._equation.unknowns, self.completed(raw, points.split(1, 1)), strict=True
        )
        unknowns = torch.cat(
            [
                as_columns(values, len(points), 1, f"{name} in {self._ansatz_label}")
                for name, values in completed
            ],
            1,
        )
        for label, values in ((self._embed_label, inputs), (self._ansatz_label, unknowns)):
            bad = ~values.isfinite().all(1)
            if bool(bad.any()):
                place = first_place(names, points, bad)
                raise ConfigurationError(
                    f"{label}: NaN or infinite at {place}: rewrite it so that it is finite there"
                )
        for axis, name in enumerate(names):
            if self._ansatz is None or name not in self.circles:
                continue
            circle = self.circles[name]
            ends = circle.low, circle.low + circle.period
            if ends[1] > circle.high and not circle.turns:
                continue  # the domain is less than a period
            faces = [points.clone(), points.clone()]
            for face, end in zip(faces, ends, strict=True):
                face[:, axis] = end
            one, other = (torch.cat(self._completed(raw, face.split(1, 1)), 1) for face in faces)
            jump = float((one - other).abs().max())
            if not jump <= _TOLERANCE * float(unknowns.abs().max()):
                raise ConfigurationError(
                    f"{self._ansatz_label} differs by {jump:.2g} between {name} = {ends[0]:g} and "
                    f"{name} = {ends[1]:g}, but {name} has the period {circle.period:g}: make it "
                    f"periodic, or remove {name} from periodic"
                )

    def _named(self, columns: Sequence[Any]) -> dict[str, Any]:
        variables = self._equation.variables
        if self._embed is None:
            found: dict[str, Any] = {}
            for name, column in zip(variables, columns, strict=True):
                if name in self.circles:
                    angle = self.circles[name].angle(column)
                    found |= {f"cos({name})": torch.cos(angle), f"sin({name})": torch.sin(angle)}
                else:
                    found[name] = column
            return found
        by_name = dict(zip(variables, columns, strict=True))
        returned = self._embed(*(by_name[name] for name in self._embed_names))
        if isinstance(returned, Mapping) and returned:
            return {str(name): _column(values) for name, values in returned.items()}
        if isinstance(returned, (list, tuple)) and returned:
            return {f"z{number}": _column(values) for number, values in enumerate(returned, 1)}
        raise ConfigurationError(
            f"{self._embed_label} returned {type(returned).__name__}: return a dict of the "
            f"network's inputs by name, or a list of them"
        )


def _drawn(domain: Domain) -> Tensor:
    return domain.drawn(_POINTS, torch.Generator().manual_seed(0))


def _column(values: Any) -> Any:
    """What a user's function returns, as a column: ``(n,)`` counts as one."""
    return values.unsqueeze(1) if isinstance(values, Tensor) and values.ndim == 1 else values


def _circles(owner: str, equation: Equation, bounds: Bounds) -> dict[str, Circle]:
    given: Any = equation.periodic  # as written by the user
    example = equation.coordinates[0]
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"periodic of {owner} must be a dict of periods by coordinate, got {given!r}: write "
            f'periodic = {{"{example}": 1.0}}'
        )
    for name, period in given.items():
        if name not in equation.coordinates:
            raise ConfigurationError(
                f"periodic of {owner}: no coordinate {name!r}: choose from "
                f"{', '.join(equation.coordinates)}"
            )
        number = isinstance(period, (int, float)) and not isinstance(period, bool)
        if not (number and isfinite(period) and period > 0):
            raise ConfigurationError(
                f"periodic of {owner}: the period of {name} must be a positive number, got "
                f"{period!r}: give the length after which the solution repeats"
            )
    ends = dict(zip(equation.variables, bounds, strict=True))
    return {name: Circle(*ends[name], float(period)) for name, period in given.items()}
