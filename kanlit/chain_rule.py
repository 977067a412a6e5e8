r"""Product and chain rule for partial derivatives of any order.

A multi-index is a sorted tuple of variable indices: ``()`` is the value, ``(0,)`` the derivative
with respect to the first variable, ``(0, 0, 1)`` the third derivative twice along the first and
once along the second.

Source: M. Hardy, Combinatorics of Partial Derivatives, Electronic Journal of Combinatorics 13
(2006), R1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import combinations
from math import prod

from torch import Tensor

__all__ = ["Along", "chain_factors", "check_closed", "closure", "product_rule", "set_partitions"]

Along = tuple[int, ...]


def _rank(along: Along) -> tuple[int, Along]:
    return len(along), along


def closure(wanted: Iterable[Along]) -> tuple[Along, ...]:
    """All multi-indices that derivatives depend on: every sub-multiset, the lowest orders first.

    >>> closure([(0, 0, 1)])
    ((), (0,), (1,), (0, 0), (0, 1), (0, 0, 1))
    """
    return _closure(frozenset(wanted))


@cache
def _closure(wanted: frozenset[Along]) -> tuple[Along, ...]:
    found: set[Along] = {()}
    for along in wanted:
        for size in range(1, len(along) + 1):
            found.update(combinations(sorted(along), size))
    return tuple(sorted(found, key=_rank))


@cache
def check_closed(alongs: tuple[Along, ...]) -> None:
    """Raises ValueError if derivatives lack others that they depend on, or orders do not rise."""
    missing = set(closure(alongs)) - {(), *alongs}
    orders = [len(along) for along in alongs]
    if missing or not alongs or min(orders) == 0 or orders != sorted(orders):
        raise ValueError(
            f"multi-indices must not be empty, and must contain those of lower order that they "
            f"depend on, the lowest first, got {list(alongs)}: order them by closure"
        )


@cache
def set_partitions(along: Along) -> tuple[tuple[tuple[Along, ...], int], ...]:
    """The partitions of a multi-index into blocks, each with the number of times it occurs.

    >>> set_partitions((0, 0, 0))
    ((((0, 0, 0),), 1), (((0,), (0, 0)), 3), (((0,), (0,), (0,)), 1))
    """
    counts = Counter(tuple(sorted(blocks, key=_rank)) for blocks in _partitions(along))
    return tuple(sorted(counts.items(), key=lambda item: len(item[0])))


def _partitions(along: Along) -> Iterator[tuple[Along, ...]]:
    if not along:
        yield ()
        return
    rest = along[1:]
    for size in range(len(rest) + 1):
        for chosen in combinations(range(len(rest)), size):
            block = (along[0], *(rest[i] for i in chosen))
            others = tuple(rest[i] for i in range(len(rest)) if i not in chosen)
            for blocks in _partitions(others):
                yield (block, *blocks)


@cache
def product_rule(along: Along) -> tuple[tuple[Along, Along, int], ...]:
    """The terms of the derivative of a product: derivative of each factor, and how often.

    >>> product_rule((0, 0))
    (((), (0, 0), 1), ((0,), (0,), 2), ((0, 0), (), 1))
    """
    counts: Counter[tuple[Along, Along]] = Counter()
    numbers = range(len(along))
    for size in range(len(along) + 1):
        for chosen in combinations(numbers, size):
            left = tuple(along[i] for i in chosen)
            counts[left, tuple(along[i] for i in numbers if i not in chosen)] += 1
    return tuple((left, right, count) for (left, right), count in counts.items())


def chain_factors(along: Along, streams: Mapping[Along, Tensor]) -> dict[int, Tensor]:
    r"""The factors of f', f'', … in a derivative of f(x).

    .. math:: \partial_\alpha f(x) = \sum_{m=1}^{|\alpha|} f^{(m)}(x)\, P_m, \qquad
              P_m = \sum_{|\pi| = m} \prod_{B \in \pi} x_B

    with the set partitions π of α.

    Args:
        along: α, not empty.
        streams: The derivatives x_B of x; those that are absent are zero.

    Returns:
        P_m by m, without those that are zero.
    """
    factors: dict[int, Tensor] = {}
    for blocks, count in set_partitions(along):
        if all(block in streams for block in blocks):
            term = prod((streams[block] for block in blocks[1:]), start=streams[blocks[0]])
            if count > 1:
                term = count * term
            m = len(blocks)
            factors[m] = factors[m] + term if m in factors else term
    return factors
