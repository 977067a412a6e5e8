"""An equation with its conditions, validated once, and its residuals for a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kanlit.chain_rule import Along
from kanlit.errors import ConfigurationError
from kanlit.problems.columns import as_columns, first_place
from kanlit.problems.conditions import Condition, Values
from kanlit.problems.domains import Face
from kanlit.problems.equation_domain import check_parameters, checked_domain
from kanlit.problems.equations.base import Equation
from kanlit.problems.exactness import largest_residuals, random_networks
from kanlit.problems.fields import fields_of
from kanlit.problems.form import SolutionForm
from kanlit.problems.names import Needs, Network, Vocabulary
from kanlit.problems.observations import OBSERVATIONS, observation_residual
from kanlit.problems.overlap import check_overlap
from kanlit.problems.solution import Solution
from kanlit.problems.unknown import CoefficientColumns, start_columns, unknown_coefficients

__all__ = ["BoundaryValueProblem"]

_DRAWN = 64  # points at which given values are tried
_RESERVED = ("collocation", "source", "pde", OBSERVATIONS)


class BoundaryValueProblem:
    """Residuals of an equation inside its domain and of its conditions on the faces.

    Points and values are passed in dicts: ``collocation`` ``(n, d)`` and ``source``; for each
    condition its points under its name, and ``NAME_values`` or ``NAME_opposite`` if needed.

    Args:
        equation: The equation, read once; later changes to it have no effect.

    Attributes:
        domain: Where the equation holds.
        form: What the equation puts around the network.
        conditions: The conditions that need points.
        coefficients: The unknown coefficients by name.
        fields: Inputs of the network of each unknown that has its own, see :func:`fields_of`.
        exact: Names of the conditions that hold exactly for any network, and need none.
        faces: Faces of each condition by name, see :meth:`Condition.faces`.

    Raises:
        ConfigurationError: If it is not an equation, bounds or names are invalid, a residual has
            an unknown parameter, or a condition contradicts the period of a coordinate or does not
            hold exactly as it claims.
    """

    def __init__(self, equation: Equation) -> None:
        if not isinstance(equation, Equation):
            raise ConfigurationError(
                f"equation must be an instance of a subclass of kanlit.Equation, got {equation!r}: "
                f"derive the class from it, and pass an instance"
            )
        self.equation = equation
        self.name = type(equation).__name__
        check_parameters(equation)
        vocabulary = Vocabulary(self.name, equation.variables, equation.unknowns)
        self.domain = checked_domain(equation)
        self.coefficients = unknown_coefficients(equation)
        for name in self.coefficients:
            if vocabulary.denotes(name) or name in ("source", "given"):
                raise ConfigurationError(
                    f"unknown coefficient {name} of {self.name} has the name of something else in "
                    f"a residual: rename it"
                )
        self._given = ("source",) * hasattr(equation, "source") + tuple(self.coefficients)
        self._needs = vocabulary.needs(
            equation.residual, f"residual of {self.name}", given=self._given
        )
        self.form = SolutionForm(equation, vocabulary)
        self.fields = fields_of(equation, self.form)
        self._condition_needs: dict[str, Needs] = {}
        self.faces: dict[str, list[Face]] = {}
        listed = list(equation.conditions())
        for condition in listed:
            self._read(condition, vocabulary)
        self._check_named()
        check_overlap(self.name, self.domain, self.faces, self._condition_needs)
        self._check_parameters(listed)
        self.exact = self._exact(listed)
        self.conditions = [each for each in listed if each.name not in self.exact]

    def _read(self, condition: Condition, vocabulary: Vocabulary) -> None:
        if not isinstance(condition, Condition):
            raise ConfigurationError(
                f"conditions of {self.name} must be a list of kanlit.Condition, got {condition!r}: "
                f"create them with dirichlet, neumann, periodic or Condition"
            )
        name: Any = condition.name  # as written by the user
        label = f"condition {name} of {self.name}"
        if not isinstance(name, str) or not name.isidentifier() or name in _RESERVED:
            raise ConfigurationError(f"{label}: use an identifier as its name, such as initial")
        if name in self.faces:
            raise ConfigurationError(f"{label} is defined twice: give each condition its own name")
        if not 0 < condition.weight < float("inf"):
            raise ConfigurationError(f"{label}: weight must be positive, got {condition.weight}")
        given = ("given",) * (condition.given is not None) + tuple(self.coefficients)
        self.faces[name] = condition.faces(self.name, self.equation.coordinates, self.domain)
        needs = vocabulary.needs(condition.residual, label, given, condition.names, True)
        self._condition_needs[name] = needs
        for face in self.faces[name] if needs.normals else ():
            if isinstance(face, str) and (cure := self.domain.lacks_normals(face)):
                raise ConfigurationError(
                    f"{label} has a derivative along the normal, which is not known on {face}: "
                    f"{cure}"
                )

    def _check_named(self) -> None:
        """Raises for an unknown coefficient that no residual names."""
        every = (self._needs, *self._condition_needs.values())
        for name in self.coefficients:
            if not any(name in needs.names for needs in every):
                raise ConfigurationError(
                    f"unknown coefficient {name} of {self.name} is in no residual, so nothing can "
                    f"be learnt of it: add the parameter {name} to residual, and use it in place "
                    f"of self.{name}"
                )

    def _check_parameters(self, listed: Sequence[Condition]) -> None:
        """Raises for a parameter on which no residual, ansatz or given value depends."""
        every = (self._needs, *self._condition_needs.values())
        named = {name for needs in every for name in needs.columns} | set(self.form.ansatz_names)
        functions = [each.given for each in listed if callable(each.given)]
        functions += [self.equation.source] if hasattr(self.equation, "source") else []
        x = self.domain.drawn(_DRAWN, torch.Generator().manual_seed(0))
        for axis, name in enumerate(self.equation.variables):
            if name not in self.equation.parameters or name in named:
                continue
            low, high = (self.domain.onto((axis, end), x)[0] for end in (0, 1))
            if all(torch.equal(function(low), function(high)) for function in functions):
                raise ConfigurationError(
                    f"parameter {name} of {self.name} is in no residual and changes no given "
                    f"value: add the parameter {name} to residual, and use it in place of "
                    f"self.{name}, or remove it from parameters"
                )

    def _exact(self, listed: Sequence[Condition]) -> tuple[str, ...]:
        """Names of the conditions that hold for two random networks, hence for any."""
        if self.form.is_plain:
            for condition in listed:
                if condition.exact:
                    raise ConfigurationError(
                        f"condition {condition.name} of {self.name} is exact, but there is no "
                        f"ansatz that satisfies it: add a method ansatz, or remove exact"
                    )
            return ()
        for condition in listed:
            self._check_period(condition)
        networks = random_networks(len(self.form.inputs), len(self.equation.unknowns))
        solutions = [Solution(network, self.form) for network in networks]
        for network in networks:
            self.form.check(network)
        found = []
        for condition in listed:
            misses = largest_residuals(self, condition, solutions)
            face, worst = max(misses.items(), key=lambda item: item[1])
            if condition.exact and worst:
                place = f"the part {face}"
                if not isinstance(face, str):
                    axis, end = face
                    place = f"{self.equation.coordinates[axis]} = {self.domain.bounds[axis][end]:g}"
                raise ConfigurationError(
                    f"condition {condition.name} of {self.name} is exact, but with a random "
                    f"network the ansatz misses it by {worst:.2g} at {place}: correct the ansatz, "
                    f"or remove exact"
                )
            if not worst:
                found.append(condition.name)
        return tuple(found)

    def _check_period(self, condition: Condition) -> None:
        """Raises for a condition on the ends of a coordinate in which the network is periodic."""
        for face in self.faces[condition.name]:
            if isinstance(face, str):
                continue
            name = self.equation.coordinates[face[0]]
            circle = self.form.circles.get(name)
            if circle is not None and circle.turns:
                raise ConfigurationError(
                    f"condition {condition.name} of {self.name} is on the ends of {name}, but the "
                    f"solution has the period {circle.period:g} there by itself: remove the "
                    f"condition, or {name} from periodic"
                )

    @property
    def order(self) -> int:
        """Order of the highest derivative in the equation or a condition."""
        return max(needs.order for needs in (self._needs, *self._condition_needs.values()))

    def orders_in(self, axis: int) -> list[int]:
        """Order of each unknown's highest derivative in a coordinate, in the equation."""
        orders = [0] * len(self.equation.unknowns)
        for term in self._needs.terms.values():
            orders[term.unknown] = max(orders[term.unknown], term.along.count(axis))
        return orders

    def terms_of(self, condition: Condition) -> list[tuple[int, Along]]:
        """The unknowns and derivatives in a condition, by index and multi-index."""
        terms = self._condition_needs[condition.name].terms.values()
        return [(term.unknown, term.along) for term in terms]

    @property
    def has_solution(self) -> bool:
        return hasattr(self.equation, "solution")

    def solution(self, x: Tensor) -> Tensor:
        """The exact or reference solution ``(n, unknowns)`` at points ``(n, d)``."""
        label = f"solution of {self.name}"
        values = self.equation.solution(x)  # type: ignore[attr-defined]
        return as_columns(values, len(x), len(self.equation.unknowns), label)

    def given_within(self, x: Tensor) -> dict[str, Tensor]:
        """Given values of the residual at points ``(n, d)`` inside the domain, by name."""
        if "source" not in self._needs.names:
            return {}
        source = self.equation.source(x)  # type: ignore[attr-defined]
        return {"source": as_columns(source, len(x), 1, f"source of {self.name}")}

    def given_on(
        self, condition: Condition, faces: Sequence[tuple[Tensor, Tensor]]
    ) -> dict[str, Tensor]:
        """Points ``(m, d)`` of a condition and what belongs to them, by name.

        That is the given values, opposite points and outward normals, as far as it needs them.

        Args:
            condition: One of :attr:`conditions`.
            faces: Points and outward normals, ``(k, d)`` each, on each of its faces, in order.
        """
        x = torch.cat([points for points, _ in faces])
        tensors = {condition.name: x}
        if self._condition_needs[condition.name].normals:
            tensors[f"{condition.name}_normals"] = torch.cat([normals for _, normals in faces])
        if condition.given is not None:
            label = f"given values of condition {condition.name} of {self.name}"
            tensors[f"{condition.name}_values"] = _values(condition.given, x, label)
        if condition.opposite:
            parts = []
            for face, (points, _) in zip(self.faces[condition.name], faces, strict=True):
                assert not isinstance(face, str)
                parts.append(self.domain.onto((face[0], 1 - face[1]), points)[0])
            tensors[f"{condition.name}_opposite"] = torch.cat(parts)
        return tensors

    def residuals(
        self,
        network: Network,
        batch: Mapping[str, Tensor],
        coefficients: CoefficientColumns | None = None,
    ) -> dict[str, Tensor]:
        """Residuals of the equation, each ``(n, 1)``: ``pde``, or those of a system by name.

        Unknown coefficients have their values at the start of training if these are not given.
        """
        network, x = self.around(network), batch["collocation"]
        given = self._coefficients_at(x, coefficients)
        if "source" in self._needs.names:
            given["source"] = batch["source"]
        found = self.equation.residual(*self._needs.arguments(network, x, given))
        return _blocks(found, len(x), f"residual of {self.name}", "pde")

    def check_finite(self, residuals: Mapping[str, Tensor], x: Tensor) -> None:
        """Raises if a residual of the equation is not finite at a point x ``(n, d)``.

        Raises:
            ConfigurationError: With the first such point.
        """
        for name, values in residuals.items():
            bad = ~values.detach().isfinite()[:, 0]
            if bool(bad.any()):
                place = first_place(self.equation.variables, x, bad)
                raise ConfigurationError(
                    f"residual {name} of {self.name} is NaN or infinite at {int(bad.sum())} of "
                    f"{len(x)} points, first at {place}: rewrite it so that it is finite there, or "
                    f"change the bounds"
                )

    def _coefficients_at(self, x: Tensor, given: CoefficientColumns | None) -> dict[str, Tensor]:
        if not self.coefficients:
            return {}
        return dict((given or start_columns(self.coefficients))(x))

    def condition_residuals(
        self,
        network: Network,
        batch: Mapping[str, Tensor],
        coefficients: CoefficientColumns | None = None,
    ) -> dict[str, tuple[float, Tensor]]:
        """Weight and residuals ``(m, 1)`` of each condition: ``NAME``, or ``NAME.PART``."""
        network = self.around(network)
        found: dict[str, tuple[float, Tensor]] = {}
        for condition in self.conditions:
            blocks = self.residuals_of(condition, network, batch, coefficients)
            found |= {name: (condition.weight, block) for name, block in blocks.items()}
        return found

    def observation_residual(self, network: Network, batch: Mapping[str, Tensor]) -> Tensor:
        """Residual ``(m, 1)`` of the measured values in a batch."""
        return observation_residual(self.around(network), batch)

    def around(self, network: Network) -> Network:
        """The unknowns as a function of the coordinates, with this network inside."""
        return network if self.form.is_plain else Solution(network, self.form)

    def residuals_of(
        self,
        condition: Condition,
        solution: Network,
        batch: Mapping[str, Tensor],
        coefficients: CoefficientColumns | None = None,
    ) -> dict[str, Tensor]:
        """Residuals ``(m, 1)`` of a condition for the unknowns as :meth:`around` gives them."""
        blocks = self._on(condition, solution, batch, condition.name, coefficients)
        if condition.opposite:
            there = f"{condition.name}_opposite"
            other = self._on(condition, solution, batch, there, coefficients)
            blocks = {name: block - other[name] for name, block in blocks.items()}
        return blocks

    def _on(
        self,
        condition: Condition,
        network: Network,
        batch: Mapping[str, Tensor],
        points: str,
        coefficients: CoefficientColumns | None,
    ) -> dict[str, Tensor]:
        name, x = condition.name, batch[points]
        given = self._coefficients_at(x, coefficients)
        if condition.given is not None:
            given["given"] = batch[f"{name}_values"]
        outward = batch.get(f"{name}_normals")
        arguments = self._condition_needs[name].arguments(network, x, given, outward)
        label = f"residual of condition {name} of {self.name}"
        return _blocks(condition.residual(*arguments), len(x), label, name, f"{name}.")


def _values(given: Values, x: Tensor, label: str) -> Tensor:
    if callable(given):
        return as_columns(given(x), len(x), 1, label)
    return x.new_full((len(x), 1), float(given))


def _blocks(
    found: Tensor | Mapping[str, Tensor], rows: int, label: str, name: str, prefix: str = ""
) -> dict[str, Tensor]:
    if not isinstance(found, Mapping):
        return {name: as_columns(found, rows, 1, label)}
    if not found:
        raise ConfigurationError(f"{label} returned an empty dict: return a residual by name")
    return {
        f"{prefix}{part}": as_columns(values, rows, 1, f"{part} in {label}")
        for part, values in found.items()
    }
