"""Names of bases: short names for those of kanlit, class paths for all others."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isabstract
from typing import Any, Literal

from kanlit.bases.base import Basis
from kanlit.bases.bspline import BSplineBasis
from kanlit.bases.chebyshev import ChebyshevBasis
from kanlit.bases.fourier import FourierBasis
from kanlit.bases.radial import RadialBasis
from kanlit.errors import ConfigurationError

__all__ = ["BASES", "BasisName", "basis_class", "basis_name"]

BasisName = Literal["bspline", "radial", "chebyshev", "fourier"]
BASES: dict[str, type[Basis]] = {
    "bspline": BSplineBasis,
    "radial": RadialBasis,
    "chebyshev": ChebyshevBasis,
    "fourier": FourierBasis,
}


def basis_class(basis: str | type[Basis]) -> type[Basis]:
    """Looks up the class of a basis.

    Never imports anything, because the name may come from a checkpoint: a class path must name a
    class that is already imported.

    Args:
        basis: A class, a short name, or a class path.

    Raises:
        ConfigurationError: If the name or the class is not that of a basis.
    """
    if isinstance(basis, str):
        member: object = {basis_name(each): each for each in _subclasses(Basis)}.get(basis)
    else:
        member = basis
    if not (isinstance(member, type) and issubclass(member, Basis)) or isabstract(member):
        raise ConfigurationError(
            f"basis must be one of {', '.join(BASES)} or an imported subclass of "
            f"kanlit.bases.Basis, got {basis!r}"
        )
    return member


def basis_name(basis: type[Basis]) -> str:
    """The short name of a basis of kanlit, or the class path of any other."""
    short = {member: name for name, member in BASES.items()}
    return short.get(basis, f"{basis.__module__}.{basis.__qualname__}")


def _subclasses(basis: Any) -> Iterator[type[Basis]]:
    for each in basis.__subclasses__():
        yield each
        yield from _subclasses(each)
