"""Parameter names of residuals, such as u_xx, and the derivatives that they denote."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor

from kanlit.chain_rule import Along
from kanlit.errors import ConfigurationError
from kanlit.hints import near
from kanlit.nn import Jet

__all__ = ["Needs", "Network", "Vocabulary"]


_HIGHEST = 4  # order of derivatives


class Network(Protocol):
    """A network with derivatives, such as :class:`kanlit.nn.KAN`."""

    def __call__(self, x: Tensor, /) -> Any:
        """Values ``(n, out)``."""

    def jet(self, inputs: Jet, /) -> Jet:
        """Values with derivatives, ``(n, out)``, for inputs ``(n, in)`` with derivatives."""


@dataclass(frozen=True)
class Term:
    """An unknown, or its derivative with respect to coordinates, given by index."""

    unknown: int
    along: Along = ()


@dataclass(frozen=True)
class Needs:
    """The quantities that the parameters of a function denote.

    Attributes:
        names: Names of its parameters, in order.
        terms: Unknowns and derivatives by name.
        columns: Indices of coordinates by name.
        normals: Unknowns, by index, of derivatives along the outward normal, by name.
    """

    names: tuple[str, ...]
    terms: Mapping[str, Term]
    columns: Mapping[str, int]
    normals: Mapping[str, int] = field(default_factory=dict)

    @property
    def order(self) -> int:
        """Order of the highest derivative."""
        orders = (len(term.along) for term in self.terms.values())
        return max(orders, default=0) or int(bool(self.normals))

    def arguments(
        self,
        network: Network,
        x: Tensor,
        given: Mapping[str, Tensor],
        outward: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """The arguments of the function at the points x ``(n, d)``, each ``(n, 1)``.

        Derivatives are exact and come from one forward sweep, without nested autograd.

        Args:
            network: The network for the unknowns.
            x: ``(n, d)``.
            given: Values of all other parameters by name.
            outward: Normals at the points ``(n, d)``, if a derivative along them is needed.
        """
        values = dict(given)
        values |= {name: x[:, axis : axis + 1] for name, axis in self.columns.items()}
        wanted = {term.along for term in self.terms.values()}
        if self.normals:
            wanted |= {(axis,) for axis in range(x.shape[1])}
        if wanted:
            outputs = network.jet(Jet.variables(x, wanted))
            # Split once, so that autograd does not fill zeros for every column.
            columns = {along: outputs.stream(along).split(1, 1) for along in wanted}
            for name, term in self.terms.items():
                values[name] = columns[term.along][term.unknown]
            for name, unknown in self.normals.items():
                assert outward is not None
                slopes = torch.cat([columns[axis,][unknown] for axis in range(x.shape[1])], 1)
                values[name] = (slopes * outward).sum(1, keepdim=True)
        return tuple(values[name] for name in self.names)


class Vocabulary:
    """All names available to a residual: coordinates, unknowns and derivatives up to order 4.

    With coordinates x, t and the unknown u these are x, t, u, u_x, u_t, u_xx, u_tt and u_xt, which
    is the same as u_tx, and so on to u_tttt.

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
        # Names of higher derivatives are only read, because there are too many to list.
        self._usual = [
            *self._coordinates,
            *(
                unknown + "_" * bool(order) + "".join(along)
                for unknown in self._unknowns
                for order in (0, 1, 2)
                for along in product(self._coordinates, repeat=order)
            ),
        ]
        for name in self._usual:
            self._meaning(name)

    def _meaning(self, name: str) -> int | Term | None:
        """The index of a coordinate, an unknown or a derivative of it; None for another name."""
        found: set[int | Term] = {
            axis for axis, coordinate in enumerate(self._coordinates) if coordinate == name
        }
        for number, unknown in enumerate(self._unknowns):
            if name == unknown:
                found.add(Term(number))
            elif name.startswith(f"{unknown}_"):
                alongs = self._spelled(name.removeprefix(f"{unknown}_"))
                found |= {Term(number, along) for along in alongs if along}
        if len(found) > 1:
            raise ConfigurationError(
                f"names of {self._owner}: {name} could mean two things with coordinates "
                f"{', '.join(self._coordinates)} and unknowns {', '.join(self._unknowns)}: "
                f"rename one"
            )
        return found.pop() if found else None

    def denotes(self, name: str) -> bool:
        """Whether a name is that of a coordinate, an unknown or a derivative."""
        return self._meaning(name) is not None

    def _spelled(self, letters: str) -> set[Along]:
        """The multi-indices that a sequence of names of coordinates can denote."""
        if not letters:
            return {()}
        return {
            tuple(sorted((axis, *rest)))
            for axis, coordinate in enumerate(self._coordinates)
            if letters.startswith(coordinate)
            for rest in self._spelled(letters.removeprefix(coordinate))
        }

    def needs(
        self,
        function: Callable[..., Any],
        label: str,
        given: Sequence[str] = (),
        names: Sequence[str] | None = None,
        on_boundary: bool = False,
    ) -> Needs:
        """Looks up the parameter names of a function.

        Args:
            function: The function.
            label: Its description for messages.
            given: Other allowed names.
            names: Names of its parameters; read from its signature if omitted.
            on_boundary: Whether there is an outward normal, so that ``u_n`` has a meaning.

        Raises:
            ConfigurationError: If a name is unknown or its order too high, there are ``*args``, or
                no parameter is an unknown or its derivative.
        """
        if names is None:
            names = self._parameters(function, label)
        terms: dict[str, Term] = {}
        columns: dict[str, int] = {}
        normals: dict[str, int] = {}
        along_normal = {f"{each}_n": i for i, each in enumerate(self._unknowns) if on_boundary}
        for name in names:
            if name in given:
                continue
            meaning = self._meaning(name)
            if meaning is None and name in along_normal:
                normals[name] = along_normal[name]
            elif meaning is None:
                self._refuse(name, label, [*given, *along_normal])
            elif isinstance(meaning, Term):
                if len(meaning.along) > _HIGHEST:
                    raise ConfigurationError(
                        f"{label}: {name} is a derivative of order {len(meaning.along)}, and a "
                        f"derivative order above four is not supported: name a lower derivative as "
                        f"an unknown of its own, with an equation that defines it"
                    )
                terms[name] = meaning
            else:
                columns[name] = meaning
        if not terms and not normals:
            raise ConfigurationError(
                f"{label} names no unknown, so nothing can be learnt from it: add a parameter such "
                f"as {self._unknowns[0]} or {self._unknowns[0]}_{self._coordinates[0]}"
            )
        return Needs(tuple(names), terms, columns, normals)

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
        _refuse(name, label, [*self._usual, *given], " or a derivative up to the fourth")


def _refuse(name: str, label: str, known: Sequence[str], also: str = "") -> NoReturn:
    hint = near(name, known, cutoff=0.5)  # names such as u_xx are short
    raise ConfigurationError(
        f"{label}: unknown name {name}: {hint}choose from {', '.join(known)}{also}"
    )
