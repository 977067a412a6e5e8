"""Conditions on pieces of a boundary that overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

from kanlit.errors import ConfigurationError
from kanlit.problems.domains import Domain, Face
from kanlit.problems.names import Needs

__all__ = ["check_overlap"]


def check_overlap(
    owner: str, domain: Domain, faces: Mapping[str, Sequence[Face]], needs: Mapping[str, Needs]
) -> None:
    """Raises for two conditions on one piece of a boundary that can hardly both be meant.

    Args:
        owner: Name of the equation.
        domain: Its domain.
        faces: The faces of each condition.
        needs: What each condition's residual takes.
    """
    for one, other in combinations(faces, 2):
        alike = (
            needs[one].terms == needs[other].terms and needs[one].normals == needs[other].normals
        )
        for here, there in product(faces[one], faces[other]):
            if not (isinstance(here, str) and isinstance(there, str)) or here == there:
                continue
            if (alike or "rest" in (here, there)) and domain.meet(here, there):
                raise ConfigurationError(
                    f"conditions {one} and {other} of {owner} are on {here} and {there}, which "
                    f"have some of the boundary in common: name pieces of it in parts of the "
                    f"domain, and put each condition on its own (rest is what is in none of the "
                    f"parts)"
                )
