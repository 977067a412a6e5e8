"""Parameter names of residuals, such as u_xx, and the derivatives that they denote."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any, NoReturn, Protocol

from torch import Tensor

from kanlit.errors import ConfigurationError

__all__ = ["Needs", "Network", "Vocabulary"]


class Network(Protocol):
    """A network with derivatives, such as :class:`kanlit.nn.KAN`."""

    def __call__(self, x: Tensor, /) -> Any:
        """Values ``(n, out)``."""

    def sweep(self, x: Tensor, pairs: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor]:
        """Values ``(n, out)``, gradient ``(n, out, in)``, second ``(n, out, len(pairs))``."""


@dataclass(frozen=True)
class Term:
    """An unknown, or its derivative with respect to coordinates, given by index."""

    unknown: int
    along: tuple[int, ...] = ()


@dataclass(frozen=True)
class Needs:
    """The quantities that the parameters of a function denote.

    Attributes:
        names: Names of its parameters, in order.
        terms: Unknowns and derivatives by name.
        columns: Indices of coordinates by name.
    """

    names: tuple[str, ...]
    terms: Mapping[str, Term]
    columns: Mapping[str, int]

    @property
    def order(self) -> int:
        """Order of the highest derivative."""
        return max((len(term.along) for term in self.terms.values()), default=0)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of the second derivatives, for a sweep."""
        along = {term.along for term in self.terms.values()}
        return sorted((d, e) for d, e in (pair for pair in along if len(pair) == 2))

    def arguments(
        self, network: Network, x: Tensor, given: Mapping[str, Tensor]
    ) -> tuple[Tensor, ...]:
        """The arguments of the function at the points x ``(n, d)``, each ``(n, 1)``.

        Derivatives are exact and come from one forward sweep, without nested autograd.

        Args:
            network: The network for the unknowns.
            x: ``(n, d)``.
            given: Values of all other parameters by name.
        """
        values = dict(given)
        values |= {name: x[:, axis : axis + 1] for name, axis in self.columns.items()}
        if self.terms:
            streams = self._streams(network, x)
            for name, term in self.terms.items():
                columns = streams[term.along]
                values[name] = columns[term.unknown]
        return tuple(values[name] for name in self.names)

    def _streams(self, network: Network, x: Tensor) -> dict[tuple[int, ...], Sequence[Tensor]]:
        """The columns ``(n, 1)`` of the unknowns for each derivative."""
        if self.order == 0:
            return {(): network(x).split(1, 1)}
        pairs = self.pairs
        value, gradient, second = network.sweep(x, pairs)
        asked = {term.along for term in self.terms.values()}
        streams: dict[tuple[int, ...], Tensor] = {}
        # Split only what is needed, so that autograd does not process zeros for the rest.
        if () in asked:
            streams[()] = value
        if any(len(along) == 1 for along in asked):
            streams |= {(axis,): part for axis, part in enumerate(gradient.unbind(2))}
        if pairs:
            streams |= dict(zip(pairs, second.unbind(2), strict=True))
        return {along: streams[along].split(1, 1) for along in asked}


class Vocabulary:
    """All names available to a residual: coordinates, unknowns and derivatives up to order 2.

    With coordinates x, t and the unknown u these are x, t, u, u_x, u_t, u_xx, u_tt and u_xt, which
    is the same as u_tx.

    Args:
        owner: Name of the equation, for messages.
        coordinates: Names of the coordinates, in the order of the columns of the points.
        unknowns: Names of the unknowns, in the order of the network's outputs.

    Raises:
        ConfigurationError: If a name is not an identifier, or is ambiguous.
    """

    def __init__(self, owner: str, coordinates: Sequence[str], unknowns: Sequence[str]) -> None:
        self._owner = owner
        names: Any  # as written by the user
        for kind, names in (("coordinates", coordinates), ("unknowns", unknowns)):
            if isinstance(names, str) or not isinstance(names, Sequence) or not names:
                raise ConfigurationError(
                    f"{kind} of {owner} must be a tuple of names, got {names!r}: write "
                    f'{kind} = ("{"x" if kind == "coordinates" else "u"}",)'
                )
            for name in names:
                if not isinstance(name, str) or not name.isidentifier():
                    raise ConfigurationError(
                        f"{kind} of {owner}: {name!r} cannot name a parameter: take letters and "
                        f"digits, such as x or x1"
                    )
        self._coordinates, self._unknowns = tuple(coordinates), tuple(unknowns)
        self._meaning: dict[str, int | Term] = {}
        for axis, name in enumerate(coordinates):
            self._add(name, axis)
        for name, term in self._derivatives((0, 1, 2)):
            self._add(name, term)

    def _derivatives(self, orders: Sequence[int]) -> list[tuple[str, Term]]:
        return [
            (unknown + "_" * bool(along) + "".join(self._coordinates[axis] for axis in along),
             Term(number, tuple(sorted(along))))
            for number, unknown in enumerate(self._unknowns)
            for order in orders
            for along in product(range(len(self._coordinates)), repeat=order)
        ]  # fmt: skip

    def _add(self, name: str, meaning: int | Term) -> None:
        if self._meaning.setdefault(name, meaning) != meaning:
            raise ConfigurationError(
                f"names of {self._owner}: {name} could mean two things with coordinates "
                f"{', '.join(self._coordinates)} and unknowns {', '.join(self._unknowns)}: "
                f"rename one"
            )

    def needs(
        self,
        function: Callable[..., Any],
        label: str,
        given: Sequence[str] = (),
        names: Sequence[str] | None = None,
    ) -> Needs:
        """Looks up the parameter names of a function.

        Args:
            function: The function.
            label: Its description for messages.
            given: Other allowed names.
            names: Names of its parameters; read from its signature if omitted.

        Raises:
            ConfigurationError: If a name is unknown or a third derivative, there are ``*args``, or
                no parameter is an unknown or its derivative.
        """
        if names is None:
            names = self._parameters(function, label)
        terms: dict[str, Term] = {}
        columns: dict[str, int] = {}
        for name in names:
            if name in given:
                continue
            meaning = self._meaning.get(name)
            if meaning is None:
                self._refuse(name, label, given)
            elif isinstance(meaning, Term):
                terms[name] = meaning
            else:
                columns[name] = meaning
        if not terms:
            raise ConfigurationError(
                f"{label} names no unknown, so nothing can be learnt from it: add a parameter such "
                f"as {self._unknowns[0]} or {self._unknowns[0]}_{self._coordinates[0]}"
            )
        return Needs(tuple(names), terms, columns)

    def plain_names(
        self, function: Callable[..., Any], label: str, unknowns: bool = True
    ) -> list[str]:
        """Parameter names of a function of coordinates and, with ``unknowns``, of unknowns.

        Raises:
            ConfigurationError: If there is another name, or none of a kind that is needed.
        """
        names = self._parameters(function, label)
        needed = self._unknowns if unknowns else self._coordinates
        known = [*self._coordinates, *self._unknowns] if unknowns else list(self._coordinates)
        for name in names:
            if name not in known:
                _refuse(name, label, known)
        if not set(names) & set(needed):
            raise ConfigurationError(
                f"{label} names {'no unknown' if unknowns else 'no coordinate'}: add a parameter "
                f"such as {needed[0]}"
            )
        return names

    def _parameters(self, function: Callable[..., Any], label: str) -> list[str]:
        if not callable(function):
            raise ConfigurationError(
                f"{label} is {function!r}, not a function: write a function of names such as "
                f"{self._unknowns[0]}"
            )
        parameters = inspect.signature(function).parameters.values()
        for p in parameters:
            if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.KEYWORD_ONLY):
                raise ConfigurationError(
                    f"{label} takes {p}: name what it needs one by one, such as "
                    f"(self, {self._unknowns[0]}, {self._unknowns[0]}_{self._coordinates[0]})"
                )
        return [p.name for p in parameters]

    def _refuse(self, name: str, label: str, given: Sequence[str]) -> None:
        if name in dict(self._derivatives((3, 4))):
            raise ConfigurationError(
                f"{label}: {name} is a derivative beyond the second, which a sweep does not carry: "
                f"name a lower derivative as an unknown of its own, with an equation that defines "
                f"it"
            )
        _refuse(name, label, [*self._meaning, *given])


def _refuse(name: str, label: str, known: Sequence[str]) -> NoReturn:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigurationError(f"{label}: unknown name {name}: {hint}choose from {', '.join(known)}")
