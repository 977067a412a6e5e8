"""Bases by name: short for those of kanlit, a class path for any other."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isabstract
from typing import Any, Literal

from kanlit.bases.base import Basis
from kanlit.bases.bspline import BSplineBasis
from kanlit.bases.chebyshev import ChebyshevBasis
from kanlit.bases.fourier import FourierBasis
from kanlit.bases.radial import RadialBasis

__all__ = ["BASES", "BasisName", "basis_class", "basis_name"]

BasisName = Literal["bspline", "radial", "chebyshev", "fourier"]
BASES: dict[str, type[Basis]] = {
    "bspline": BSplineBasis,
    "radial": RadialBasis,
    "chebyshev": ChebyshevBasis,
    "fourier": FourierBasis,
}


def basis_class(basis: str | type[Basis]) -> type[Basis]:
    """The class of a basis.

    A name never imports anything, for it may come from a checkpoint: a class path stands for a
    class that has been imported already.

    Args:
        basis: A class, a short name, or a class path.

    Raises:
        ValueError: A name that stands for no basis, or a class that is none.
    """
    if isinstance(basis, str):
        found: object = {basis_name(each): each for each in _subclasses(Basis)}.get(basis)
    else:
        found = basis
    if not (isinstance(found, type) and issubclass(found, Basis)) or isabstract(found):
        raise ValueError(
            f"basis must be one of {', '.join(BASES)} or a subclass of kanlit.bases.Basis that "
            f"is imported, got {basis!r}"
        )
    return found


def basis_name(basis: type[Basis]) -> str:
    """The short name of a basis of kanlit, the class path of any other."""
    short = {member: name for name, member in BASES.items()}
    return short.get(basis, f"{basis.__module__}.{basis.__qualname__}")


def _subclasses(basis: Any) -> Iterator[type[Basis]]:
    for each in basis.__subclasses__():
        yield each
        yield from _subclasses(each)
